"""How near two rows are to each other."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient

#: squared lengths are kept at or above this
_SMALLEST = 1e-12


class _OfRows(Operator, abstract=True):
    inputs = (Port("X", FLOAT), Port("Y", FLOAT))
    outputs = (Port("Z"),)

    def check(self, X: Tensor, Y: Tensor) -> None:
        if X.shape != Y.shape:
            self.refuse(f"X and Y must have one shape, got {tuple(X.shape)} and {tuple(Y.shape)}.")

    def rows(self, X: Tensor) -> Tensor:
        """X as a matrix: its first dimension, and all others."""
        return X.reshape(X.shape[0], X.shape[1:].numel()) if X.dim() else X.reshape(1, 1)


class DotProduct(_OfRows):
    """Z[i] = sum_j X[i, j] * Y[i, j].

    Shapes:   X, Y: (N, …) alike -> Z: (N,)
    Raises:   ShapeError if X and Y differ.
    Source:   caffe2/operators/distance_op.h
    """

    def kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return (self.rows(X) * self.rows(Y)).sum(1)

    @gradient("X Y dZ -> dX dY", check=Operator.check)
    def backward(self, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor]:
        dZ = dZ.reshape(-1, *(1,) * (X.dim() - 1))
        return Y * dZ, X * dZ


class L1Distance(_OfRows):
    """Z[i] = sum_j |X[i, j] - Y[i, j]|.

    Shapes:   X, Y: (N, …) alike -> Z: (N,)
    Raises:   ShapeError if X and Y differ.
    Source:   caffe2/operators/distance_op.h
    """

    def kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return (self.rows(X) - self.rows(Y)).abs_().sum(1)

    @gradient("X Y dZ -> dX dY", check=Operator.check)
    def backward(self, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor]:
        difference = X - Y
        # the original counts differences below this as none
        sign = difference.sign() * (difference.abs() > _SMALLEST)
        dX = sign * dZ.reshape(-1, *(1,) * (X.dim() - 1))
        return dX, -dX


class CosineSimilarity(_OfRows):
    """Z[i] = X[i] Y[i] / (|X[i]| |Y[i]|).

    Shapes:   X, Y: (N, …) alike -> Z: (N,)
    Raises:   ShapeError if X and Y differ.
    Source:   caffe2/operators/distance_op.h
    """

    def _parts(self, X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X Y, 1 / |X| and 1 / |Y|, by rows."""
        x, y = self.rows(X), self.rows(Y)
        inverse = (t.square().sum(1, keepdim=True).clamp_(min=_SMALLEST).rsqrt_() for t in (x, y))
        return (x * y).sum(1, keepdim=True), *inverse  # type: ignore[return-value]

    def kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        dot, of_x, of_y = self._parts(X, Y)
        return (dot * of_x * of_y).reshape(-1)

    @gradient("X Y dZ -> dX dY", check=Operator.check)
    def backward(self, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor]:
        dot, of_x, of_y = self._parts(X, Y)
        x, y = self.rows(X), self.rows(Y)
        scale = dZ.reshape(-1, 1) * of_x * of_y
        dX = scale * (y - x * dot * of_x.square())
        dY = scale * (x - y * dot * of_y.square())
        return dX.reshape(X.shape), dY.reshape(Y.shape)
