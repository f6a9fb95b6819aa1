"""A line for each feature."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class ElementwiseLinear(Operator):
    """Y[n, d] = X[n, d] * w[d] + b[d].

    Shapes:   X: (N, D), or more dimensions, split into N and D before ``axis``; w, b: (D,) -> Y: as X
    Raises:   ShapeError if w or b has another shape.
    Source:   caffe2/operators/elementwise_linear_op.cc
    """

    inputs = (Port("X", FLOAT), Port("w", FLOAT), Port("b", FLOAT))
    outputs = (Port("Y"),)
    args = (Arg("axis", int, 1, "first dimension of X that counts as features"),)

    def _flat(self, X: Tensor) -> Tensor:
        axis = self.axis + X.dim() if self.axis < 0 else self.axis
        return X.reshape(X.shape[:axis].numel(), X.shape[axis:].numel())

    def check(self, X: Tensor, w: Tensor, b: Tensor) -> None:
        D = self._flat(X).shape[1]
        for name, value in (("w", w), ("b", b)):
            if tuple(value.shape) != (D,):
                self.refuse(
                    f"{name} must have shape ({D},) for X {tuple(X.shape)}, got {tuple(value.shape)}."
                )

    def kernel(self, X: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return (self._flat(X) * w).add_(b).view(X.shape)

    @gradient("dY X w -> dX dw db")
    def backward(self, dY: Tensor, X: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dY, flat = self._flat(dY), self._flat(X)
        return (dY * w).view(X.shape), (dY * flat).sum(0), dY.sum(0)
