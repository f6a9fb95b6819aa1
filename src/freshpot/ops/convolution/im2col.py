"""Images to the columns of a convolution's matrix, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import fold, unfold

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._window import WINDOW_ARGS, Windowed


def _im2col_gradient(g: GradientMaker) -> list[Op]:
    return [g.new("Col2Im", [g.GO(0), g.I(0)], [g.GI(0)])]


def _col2im_gradient(g: GradientMaker) -> list[Op]:
    return [g.new("Im2Col", [g.GO(0)], [g.GI(0)])]


class _Columns(Windowed, abstract=True):
    args = WINDOW_ARGS

    def setup(self) -> None:
        super().setup()
        if len(self.kernels) != 2:
            self.refuse(f"the kernel must have 2 dimensions, got {self.kernels}.", ArgumentError)
        if self.heads != self.tails:
            self.refuse("padding must be the same on all sides: give pad.", ArgumentError)
        self._window: dict[str, Any] = {
            "kernel_size": self.kernels,
            "dilation": self.dilations,
            "padding": self.heads,
            "stride": self.strides,
        }

    def per_channel(self) -> int:
        """Pixels of a window."""
        return self.kernels[0] * self.kernels[1]


class Im2Col(_Columns):
    """Y[n, :, i] = the pixels of X that window i sees.

    Shapes:   X: (N, C, H, W) -> Y: (N, C * kernel, H', W'), or (N, H, W, C) -> (N, H', W', kernel * C)
    Raises:   ShapeError if X does not fit the window.
    Source:   caffe2/operators/im2col_op.h
    """

    inputs = (Port("X", FLOAT, "* * * *"),)
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_im2col_gradient)

    def check(self, X: Tensor) -> None:
        self.layout(tuple(self.channels_second(X).shape[2:]))

    def kernel(self, X: Tensor) -> Tensor:
        images = self.channels_second(X)
        N, C = images.shape[:2]
        space = self.layout(tuple(images.shape[2:])).outputs
        if not images.numel():
            return (
                X.new_empty(N, *space, C * self.per_channel())
                if self.nhwc
                else X.new_empty(N, C * self.per_channel(), *space)
            )
        columns = unfold(images, **self._window).view(N, C, self.per_channel(), *space)
        if self.nhwc:
            return columns.permute(0, 3, 4, 2, 1).reshape(N, *space, -1)
        return columns.view(N, -1, *space)


class Col2Im(_Columns):
    """Y = the image in which each pixel is the sum of its places in the columns: Im2Col's gradient.

    Shapes:   X: what Im2Col gives, Z: an image of the shape to make -> Y: as Z
    Raises:   ShapeError if they do not fit.
    Source:   caffe2/operators/im2col_op.h
    """

    inputs = (Port("X", FLOAT, "* * * *"), Port("Z", FLOAT, "* * * *"))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_col2im_gradient)

    def check(self, X: Tensor, Z: Tensor) -> None:
        images = self.channels_second(Z)
        space = self.layout(tuple(images.shape[2:])).outputs
        wanted = (images.shape[0], images.shape[1] * self.per_channel(), *space)
        if tuple(self.channels_second(X).shape) != wanted:
            self.refuse(f"X must be the columns {wanted} (N, C * kernel, H', W') of Z; got {tuple(X.shape)}.")

    def kernel(self, X: Tensor, Z: Tensor) -> Tensor:
        images = self.channels_second(Z)
        N, C = images.shape[:2]
        if not X.numel():
            return torch.zeros_like(Z)
        if self.nhwc:
            X = X.unflatten(-1, (self.per_channel(), C)).permute(0, 4, 3, 1, 2)
        columns = X.reshape(N, C * self.per_channel(), -1)
        return self.in_order(fold(columns, tuple(images.shape[2:]), **self._window))
