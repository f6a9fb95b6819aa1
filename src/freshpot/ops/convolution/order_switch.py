"""Moving the channels, shuffling them."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops._window import ORDER


class _Move(Operator, abstract=True):
    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)

    def check(self, X: Tensor) -> None:
        if X.dim() < 3:
            self.refuse(f"X must have batch, channels and space; got {tuple(X.shape)}.")


def _nchw_to_nhwc_gradient(g: GradientMaker) -> list[Op]:
    return [g.new("NHWC2NCHW", [g.GO(0)], [g.GI(0)])]


def _nhwc_to_nchw_gradient(g: GradientMaker) -> list[Op]:
    return [g.new("NCHW2NHWC", [g.GO(0)], [g.GI(0)])]


class NCHW2NHWC(_Move):
    """Y = X with the channels moved last.

    Shapes:   X: (N, C, space) -> Y: (N, space, C)
    Raises:   ShapeError if X has fewer than 3 dimensions.
    Source:   caffe2/operators/order_switch_ops.h
    """

    gradient_rule = staticmethod(_nchw_to_nhwc_gradient)

    def kernel(self, X: Tensor) -> Tensor:
        return X.movedim(1, -1).clone(memory_format=torch.contiguous_format)


class NHWC2NCHW(_Move):
    """Y = X with the channels moved to the second place.

    Shapes:   X: (N, space, C) -> Y: (N, C, space)
    Raises:   ShapeError if X has fewer than 3 dimensions.
    Source:   caffe2/operators/order_switch_ops.h
    """

    gradient_rule = staticmethod(_nhwc_to_nchw_gradient)

    def kernel(self, X: Tensor) -> Tensor:
        return X.movedim(-1, 1).clone(memory_format=torch.contiguous_format)


class ChannelShuffle(Operator):
    """Y = X with the channels of ``group`` groups dealt out in turn.

    Shapes:   X: (N, C, space) or (N, space, C) -> Y: as X
    Raises:   ShapeError unless group divides C; ArgumentError if group is less than 1.
    Source:   caffe2/operators/channel_shuffle_op.h; Zhang et al., 2017
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (ORDER, Arg("group", int, 1, "number of groups"))

    def setup(self) -> None:
        if self.group < 1:
            self.refuse(f"group must be at least 1, got {self.group}.", ArgumentError)
        self._axis = 1 if self.order == "NCHW" else -1

    def check(self, X: Tensor) -> None:
        if X.dim() < 2 or X.shape[self._axis] % self.group:
            self.refuse(f"{self.group} groups must divide the channels of X {tuple(X.shape)}.")

    def _deal(self, X: Tensor, rows: int) -> Tensor:
        C = X.shape[self._axis]
        axis = self._axis % X.dim()
        parts = X.unflatten(axis, (rows, C // rows)).transpose(axis, axis + 1)
        return parts.clone(memory_format=torch.contiguous_format).view(X.shape)

    def kernel(self, X: Tensor) -> Tensor:
        return self._deal(X, self.group)

    @gradient("dY -> dX", check=check)
    def backward(self, dY: Tensor) -> Tensor:
        return self._deal(dY, max(dY.shape[self._axis] // self.group, 1))
