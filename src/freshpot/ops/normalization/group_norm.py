"""Group normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops._window import ORDER


class GroupNorm(Operator):
    """Y = gamma * (X - mean) / std + beta; mean and std of each image over a group of channels and all space.

    The third output is 1 / sqrt(variance + epsilon), under the original's name for it.

    Shapes:   X: (N, C, space) or (N, space, C); gamma, beta: (C,) -> Y: as X; mean, std: (N, group)
    Raises:   ShapeError unless group divides C and gamma and beta have C elements.
    Source:   caffe2/operators/group_norm_op.cc; Wu and He, 2018
    """

    inputs = (Port("X", FLOAT), Port("gamma", FLOAT), Port("beta", FLOAT))
    outputs = (Port("Y"), Port("mean", optional=True), Port("std", optional=True))
    args = (
        Arg("group", int, 32, "number of groups of channels"),
        Arg("num_groups", int, 32, "not read, as in the original: it is 'group' that counts"),
        Arg("epsilon", float, 1e-5, "added to the variance"),
        Arg("is_test", int, 0, "1: only Y"),
        ORDER,
    )

    def setup(self) -> None:
        if self.group < 1:
            self.refuse(f"group must be at least 1, got {self.group}.", ArgumentError)

    def check(self, X: Tensor, gamma: Tensor, beta: Tensor) -> None:
        if X.dim() < 2:
            self.refuse(f"X must have batch and channels, got {tuple(X.shape)}.")
        C = X.shape[1 if self.order == "NCHW" else -1]
        if C % self.group:
            self.refuse(f"{self.group} groups do not divide the {C} channels of X {tuple(X.shape)}.")
        for name, value in (("gamma", gamma), ("beta", beta)):
            if value.numel() != C:
                self.refuse(f"{name} must have {C} elements, one a channel; got {tuple(value.shape)}.")

    def check_gradient(self, dY: Tensor, X: Tensor, gamma: Tensor, beta: Tensor, *stats: Tensor) -> None:
        """Of the gradient operator."""
        GroupNorm.check(self, X, gamma, beta)
        if dY.shape != X.shape:
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def _channels_second(self, X: Tensor) -> Tensor:
        return (X.movedim(-1, 1) if self.order == "NHWC" else X).contiguous()

    def _in_order(self, Y: Tensor) -> Tensor:
        return Y.movedim(1, -1).contiguous() if self.order == "NHWC" else Y

    def kernel(self, X: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
        X = self._channels_second(X)
        N, C = X.shape[:2]
        Y, mean, rstd = torch.ops.aten.native_group_norm(
            X, gamma.flatten(), beta.flatten(), N, C, X.shape[2:].numel(), self.group, self.epsilon
        )
        return self._in_order(Y), mean, rstd

    @gradient("dY X gamma beta mean std -> dX dgamma dbeta", check=check_gradient)
    def backward(
        self, dY: Tensor, X: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, std: Tensor
    ) -> tuple[Tensor, ...]:
        X, dY = self._channels_second(X), self._channels_second(dY)
        N, C = X.shape[:2]
        dX, dgamma, dbeta = torch.ops.aten.native_group_norm_backward(
            dY, X, mean, std, gamma.flatten(), N, C, X.shape[2:].numel(), self.group, [True, True, True]
        )
        return self._in_order(dX), dgamma.view(gamma.shape), dbeta.view(beta.shape)
