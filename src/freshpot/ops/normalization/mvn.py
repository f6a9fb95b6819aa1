"""Mean and variance normalisation."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

_ARGS = (
    Arg("across_channels", int, 0, "1: one mean an image; 0: one a channel of an image"),
    Arg("normalize_variance", int, 1, "1: divide by the deviation too"),
    Arg("eps", float, 1e-9, "added to the deviation (not the variance)"),
)


class _Rows(Operator, abstract=True):
    args = _ARGS

    def rows(self, X: Tensor) -> Tensor:
        """X as a matrix: a row is what one mean is taken of."""
        count = X.shape[0] if self.across_channels else X.shape[0] * X.shape[1]
        return X.reshape(count, -1)


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("MVNGradient", [g.O(0), g.O(1), g.GO(0), g.I(0)], [g.GI(0)])]


class MVN(_Rows):
    """Y = (X - mean) / (deviation + eps), of each channel of an image, or of all its channels together.

    Shapes:   X: 1 to 4 dimensions -> Y: X's with dimensions of 1 added up to 4; divisor: (rows, 1)
    Raises:   ShapeError if X has no or more than 4 dimensions.
    Source:   caffe/layers/mvn_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"), Port("divisor"))
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_rule)

    def check(self, X: Tensor) -> None:
        if not 1 <= X.dim() <= 4:
            self.refuse(
                f"X must have 1 to 4 dimensions (batch, channels, rows, columns); got {tuple(X.shape)}."
            )

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        X = X.reshape(*X.shape, *(1,) * (4 - X.dim()))
        rows = self.rows(X)
        centred = rows - rows.mean(1, keepdim=True)
        if not self.normalize_variance:
            return centred.view(X.shape), X.new_ones(len(rows), 1)
        divisor = centred.square().mean(1, keepdim=True).sqrt_() + self.eps
        return (centred / divisor).view(X.shape), divisor


class MVNGradient(_Rows):
    """dX = (dY - mean(dY) - Y * mean(Y * dY)) / divisor, without the last two where the variance stays.

    Source:   caffe/layers/mvn_layer.cpp
    """

    inputs = (Port("Y", FLOAT), Port("divisor", FLOAT), Port("dY", FLOAT), Port("X", FLOAT))
    outputs = (Port("dX"),)
    inplace = ((2, 0), (3, 0))
    no_gradient = "it is itself a gradient"

    def check(self, Y: Tensor, divisor: Tensor, dY: Tensor, X: Tensor) -> None:
        if dY.shape != Y.shape:
            self.refuse(f"dY must be as Y {tuple(Y.shape)}, got {tuple(dY.shape)}.")

    def kernel(self, Y: Tensor, divisor: Tensor, dY: Tensor, X: Tensor) -> Tensor:
        rows, y = self.rows(dY), self.rows(Y)
        dX = rows - rows.mean(1, keepdim=True)
        if self.normalize_variance:
            dX.sub_(y * (y * rows).mean(1, keepdim=True)).div_(divisor)
        return dX.view(X.shape)
