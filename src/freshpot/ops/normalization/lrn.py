"""Local response normalisation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, as_first, gradient
from freshpot.ops._window import ORDER


class LRN(Operator):
    """Y = X * scale^(-beta), scale = bias + alpha / size * sum of X^2 over ``size`` neighbouring channels.

    Shapes:   X: (N, C, H, W), or (N, H, W, C) with order NHWC -> Y, Y_scale: as X
    Raises:   ShapeError if X has not 4 dimensions; ArgumentError if size is less than 1.
    Source:   caffe2/operators/local_response_normalization_op.cc; Krizhevsky et al., 2012
    """

    inputs = (Port("X", FLOAT, "* * * *"),)
    outputs = (Port("Y"), Port("Y_scale", optional=True))
    args = (
        Arg("size", int, 0, "number of channels in the sum, at least 1"),
        Arg("alpha", float, 0.0, "weight of the sum"),
        Arg("beta", float, 0.0, "exponent"),
        Arg("bias", float, 1.0, "constant part of the scale"),
        ORDER,
    )
    infer = as_first

    def setup(self) -> None:
        if self.size < 1:
            self.refuse(f"size must be at least 1, got {self.size}.", ArgumentError)
        self._axis = 1 if self.order == "NCHW" else 3
        self._before = (self.size - 1) // 2

    def _sum(self, T: Tensor, before: int) -> Tensor:
        """Sum over the neighbouring channels, the first of them ``before`` this one."""
        sides = [0] * (2 * (3 - self._axis)) + [before, self.size - 1 - before]
        padded, C = pad_tensor(T, sides), T.shape[self._axis]
        total = padded.narrow(self._axis, 0, C).clone()
        for k in range(1, self.size):
            total += padded.narrow(self._axis, k, C)
        return total

    def _scale(self, X: Tensor) -> Tensor:
        return self._sum(X * X, self._before).mul_(self.alpha / self.size).add_(self.bias)

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        scale = self._scale(X)
        return torch.pow(scale, -self.beta).mul_(X), scale

    @gradient("X Y dY -> dX")
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        scale = self._scale(X)
        # windows of even size lean to one side; the original turns them round for NCHW only
        before = self.size - 1 - self._before if self._axis == 1 else self._before
        spread = self._sum(dY * Y / scale, before).mul_(X)
        return (
            torch.pow(scale, -self.beta).mul_(dY).sub_(spread, alpha=2 * self.alpha * self.beta / self.size)
        )
