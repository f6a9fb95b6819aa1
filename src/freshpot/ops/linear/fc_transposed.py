"""Fully connected layer whose weight lies the other way round."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class FCTransposed(Operator):
    """Y = X W + b, with X and W flattened to matrices at an axis.

    Shapes:   X: (M, K), or more dimensions, split before ``axis``; W: (K, N), split before ``axis_w``;
              b: (N,) -> Y: X's dimensions before ``axis``, then N
    Raises:   ShapeError if K of X and W differ, or b is not (N,).
    Source:   caffe2/operators/fully_connected_op.h
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("b", FLOAT))
    outputs = (Port("Y"),)
    args = (
        Arg("axis", int, 1, "first dimension of X that counts as features; may be negative"),
        Arg("axis_w", int, 1, "first dimension of W that counts as output features; may be negative"),
    )

    def _matrix(self, X: Tensor, axis: int) -> Tensor:
        axis = axis + X.dim() if axis < 0 else axis
        return X.reshape(X.shape[:axis].numel(), X.shape[axis:].numel())

    def check(self, X: Tensor, W: Tensor, b: Tensor) -> None:
        K, (K_w, N) = self._matrix(X, self.axis).shape[1], self._matrix(W, self.axis_w).shape
        if K != K_w:
            self.refuse(f"X {tuple(X.shape)} has {K} features, the weight W {tuple(W.shape)} wants {K_w}.")
        if tuple(b.shape) != (N,):
            self.refuse(f"bias b must have shape ({N},), got {tuple(b.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, b: Tensor) -> Tensor:
        axis = self.axis + X.dim() if self.axis < 0 else self.axis
        Y = torch.addmm(b, self._matrix(X, self.axis), self._matrix(W, self.axis_w))
        return Y.view(*X.shape[:axis], Y.shape[1])

    @gradient("X W dY -> dW db dX", check=Operator.check)
    def backward(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        matrix = self._matrix(W, self.axis_w)
        dY = dY.reshape(-1, matrix.shape[1])
        dW = torch.mm(self._matrix(X, self.axis).t(), dY).view(W.shape)
        db = dY.sum(0)
        return (dW, db) if self.num_outputs < 3 else (dW, db, torch.mm(dY, matrix.t()).view(X.shape))
