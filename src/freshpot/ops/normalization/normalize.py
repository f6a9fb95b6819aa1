"""Vectors of length one, and norms."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient

#: lengths below this count as this
_SHORTEST = 1e-12


class _AlongAxis(Operator, abstract=True):
    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (Arg("axis", int, -1, "the vectors' dimension; may be negative"),)

    def check(self, X: Tensor, *others: Tensor) -> None:
        if not -X.dim() <= self.axis < X.dim():
            self.refuse(f"axis {self.axis} is not a dimension of X {tuple(X.shape)}.")
        for other in others:
            if other.shape != X.shape:
                self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(other.shape)}.")


class Normalize(_AlongAxis):
    """Y = X / max(|X|, 1e-12), |X| the Euclidean length along the axis.

    Shapes:   X: any -> Y: as X
    Raises:   ShapeError if X has no such axis.
    Source:   caffe2/operators/normalize_op.h
    """

    def _length(self, X: Tensor) -> Tensor:
        return torch.linalg.vector_norm(X, 2, self.axis, keepdim=True).clamp(min=_SHORTEST)

    def kernel(self, X: Tensor) -> Tensor:
        return X / self._length(X)

    @gradient("X dY -> dX", check=_AlongAxis.check)
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        length = self._length(X)
        along = (X * dY).sum(self.axis, keepdim=True)
        return dY / length - X * (along / length.pow(3))


class NormalizeL1(_AlongAxis):
    """Y = X / sum of |X| along the axis; zeros stay zeros.

    Shapes:   X: any -> Y: as X
    Raises:   ShapeError if X has no such axis.
    Source:   caffe2/operators/normalize_l1_op.h
    """

    def kernel(self, X: Tensor) -> Tensor:
        total = torch.linalg.vector_norm(X, 1, self.axis, keepdim=True)
        return torch.where(total == 0, X, X / total)


class LpNorm(Operator):
    """Z = sum of |X| (p = 1) or of X^2 (p = 2: no root is taken); divided by the count if ``average``.

    Shapes:   X: any -> Z: (1,)
    Raises:   ArgumentError unless p is 1 or 2.
    Source:   caffe2/operators/lpnorm_op.cc
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Z"),)
    args = (
        Arg("p", int, 2, "1 or 2", choices=(1, 2)),
        Arg("average", bool, False, "True: mean instead of sum"),
    )

    def check_gradient(self, X: Tensor, dZ: Tensor) -> None:
        """Of the gradient operator."""
        if dZ.numel() != 1:
            self.refuse(f"dZ must have one element, got {tuple(dZ.shape)}.")

    def kernel(self, X: Tensor) -> Tensor:
        powers = X.abs() if self.p == 1 else X.square()
        return (powers.mean() if self.average and X.numel() else powers.sum()).reshape(1)

    @gradient("X dZ -> dX", check=check_gradient)
    def backward(self, X: Tensor, dZ: Tensor) -> Tensor:
        slope = torch.sign(X) if self.p == 1 else X * 2
        return slope.mul_(dZ.reshape(()) / (max(X.numel(), 1) if self.average else 1))
