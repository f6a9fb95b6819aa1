"""Sums over batch and space, for each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import gradient
from freshpot.ops._window import ORDER
from freshpot.ops.normalization._channels import ByChannel, along_channels, reduced


class ChannelStats(ByChannel):
    """sum and sumsq: sums of X and of X^2 over batch and space.

    Shapes:   X: (N, C, space) or (N, space, C) -> sum, sumsq: (C,)
    Raises:   ShapeError if X has no channels.
    Source:   caffe2/operators/channel_stats_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("sum"), Port("sumsq"))
    args = (ORDER,)

    def check(self, X: Tensor) -> None:
        self.channels(X)

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        X = self.channels_second(X)
        return X.sum(reduced(X)), X.square().sum(reduced(X))


class ChannelBackpropStats(ByChannel):
    """scale_grad = sum of dY * (X - mean) * inv_std, bias_grad = sum of dY, over batch and space.

    Shapes:   X, dY: (N, C, space); mean, inv_std: (C,) -> scale_grad, bias_grad: (C,)
    Raises:   ShapeError if they do not fit.
    Source:   caffe2/operators/channel_backprop_stats_op.h
    """

    inputs = (Port("X", FLOAT), Port("mean", FLOAT), Port("inv_std", FLOAT), Port("dY", FLOAT))
    outputs = (Port("scale_grad"), Port("bias_grad"))
    args = (ORDER,)

    def check(self, X: Tensor, mean: Tensor, inv_std: Tensor, dY: Tensor) -> None:
        self.check_channels(self.channels(X), mean=mean, inv_std=inv_std)
        self.check_alike(X=X, dY=dY)

    def kernel(self, X: Tensor, mean: Tensor, inv_std: Tensor, dY: Tensor) -> tuple[Tensor, Tensor]:
        X, dY = self.channels_second(X), self.channels_second(dY)
        normal = (X - along_channels(mean, X)).mul_(along_channels(inv_std, X))
        return normal.mul_(dY).sum(reduced(X)), dY.sum(reduced(X))


class BatchMoments(ByChannel):
    """mu and var: means of X and of X^2 over batch and space.

    Shapes:   X: (N, C, space) or (N, space, C) -> mu, var: (C,)
    Raises:   ShapeError if X has no channels.
    Source:   caffe2/operators/batch_moments_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("mu"), Port("var"))
    args = (ORDER,)

    def check(self, X: Tensor) -> None:
        self.channels(X)

    def check_gradient(self, dmu: Tensor, dvar: Tensor, X: Tensor) -> None:
        """Of the gradient operator."""
        self.check_channels(self.channels(X), dmu=dmu, dvar=dvar)

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        X = self.channels_second(X)
        return X.mean(reduced(X)), X.square().mean(reduced(X))

    @gradient("dmu dvar X -> dX", check=check_gradient)
    def backward(self, dmu: Tensor, dvar: Tensor, X: Tensor) -> Tensor:
        X = self.channels_second(X)
        count = X.numel() // max(X.shape[1], 1)
        twice = torch.mul(X, along_channels(dvar, X)).mul_(2)
        return self.in_order(twice.add_(along_channels(dmu, X)).div_(count))
