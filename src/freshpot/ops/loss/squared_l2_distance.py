"""Half the squared Euclidean distance, row by row."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class SquaredL2Distance(Operator):
    """Z[i] = 0.5 * sum_j (X[i, j] - Y[i, j])^2.

    Shapes:   X, Y: (N, ...) alike -> Z: (N,)
    Raises:   ShapeError if X and Y differ in shape.
    Source:   caffe2/operators/distance_op.h
    """

    inputs = (Port("X", FLOAT), Port("Y", FLOAT))
    outputs = (Port("Z"),)

    def check(self, X: Tensor, Y: Tensor) -> None:
        if X.shape != Y.shape:
            self.refuse(f"X and Y must have one shape, got {tuple(X.shape)} and {tuple(Y.shape)}.")

    def kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        squares = (X - Y).square_()
        if X.dim() > 1:
            squares = squares.flatten(1).sum(1)
        return squares.mul_(0.5).view(X.shape[0] if X.dim() else 1)

    @gradient("X Y dZ -> dX dY")
    def backward(self, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor]:
        dX = (X - Y) * dZ.view(-1, *(1,) * (X.dim() - 1))
        return dX, -dX
