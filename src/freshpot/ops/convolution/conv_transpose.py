"""Transposed convolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._window import SAME, VALID, WINDOW_ARGS, Windowed, channels_last
from freshpot.ops.convolution.conv import conv_gradient


class _Transposed(Windowed, abstract=True):
    """What ConvTranspose and its gradient share."""

    adjs: list[int]

    args = (
        *WINDOW_ARGS,
        Arg("adj", int, 0, "rows and columns added behind the output, pixels"),
        Arg("adj_h", int, 0, "rows added below the output, pixels"),
        Arg("adj_w", int, 0, "columns added right of the output, pixels"),
        Arg("adjs", [int], [], "pixels added behind the output in each dimension"),
        Arg("group", int, 1, "number of groups of channels that do not see each other"),
        Arg("no_bias", int, 0, "of the gradient: the convolution has no bias"),
    )

    def setup(self) -> None:
        super().setup()
        if len(self.kernels) != 2:
            self.refuse(f"the kernel must have 2 dimensions, got {self.kernels}.", ArgumentError)
        if self.legacy_pad in (VALID, SAME):
            self.refuse("legacy_pad 1 and 2 are not defined for it: give pads.", ArgumentError)
        if self.group < 1:
            self.refuse(f"group must be at least 1, got {self.group}.", ArgumentError)
        self._short["adj"] = self.adj
        self.adjs = self._sizes("adj", self.adjs) or [0, 0]
        if len(self.adjs) != 2 or not all(0 <= a <= s for a, s in zip(self.adjs, self.strides, strict=False)):
            self.refuse(f"adjs must be two numbers from 0 to the stride, got {self.adjs}.", ArgumentError)
        self._ones = [1, 1]

    def check_filter(self, X: Tensor, W: Tensor) -> None:
        """Refuse an image and a filter that do not fit."""
        self.check_dims(X)
        images, filters = self.channels_second(X), self.channels_second(W)
        if filters.dim() != 4 or list(filters.shape[2:]) != self.kernels:
            self.refuse(
                f"the filter W must have 4 dimensions and kernel {self.kernels}; got {tuple(W.shape)}."
            )
        if filters.shape[0] != images.shape[1] or images.shape[1] % self.group:
            self.refuse(
                f"the filter W {tuple(W.shape)} must start with the {images.shape[1]} channels of X"
                f" {tuple(X.shape)}, which {self.group} groups must divide."
            )
        if min(self.output_size(images)) < 1:
            self.refuse(f"nothing is left of the output with padding {[*self.heads, *self.tails]}.")

    def output_size(self, images: Tensor) -> tuple[int, ...]:
        """Spatial size of the output for images (N, C, H, W)."""
        whole = self._whole(images)
        return tuple(n - h - t for n, h, t in zip(whole, self.heads, self.tails, strict=True))

    def _whole(self, images: Tensor) -> list[int]:
        """The same before the padding is cut off."""
        rows = zip(images.shape[2:], self.strides, self.kernels, self.adjs, strict=True)
        return [(size - 1) * stride + kernel + adj for size, stride, kernel, adj in rows]

    def margins(self) -> list[int]:
        """What is cut off the whole output, in the order that pad wants."""
        (top, left), (bottom, right) = self.heads, self.tails
        return [left, right, top, bottom]


class ConvTranspose(_Transposed):
    """Y = the gradient of a convolution with respect to its input, with X as the output's gradient, + b.

    Shapes:   X: (N, C, H, W), W: (C, M / group, kernel), b: (M,) -> Y: (N, M, H', W'),
              H' = (H - 1) * stride + kernel + adj - pads; with order NHWC channels last in X, W and Y
    Raises:   ShapeError if they do not fit; ArgumentError for a window that makes no sense.
    Source:   caffe2/operators/conv_transpose_op_impl.h
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("b", FLOAT, optional=True))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(conv_gradient)

    def check(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> None:
        self.check_filter(X, W)
        M = self.channels_second(W).shape[1] * self.group
        if b is not None and tuple(b.shape) != (M,):
            self.refuse(f"the bias must have shape ({M},), got {tuple(b.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        images, filters = self.channels_second(X), self.channels_second(W)
        M = filters.shape[1] * self.group
        Y = images.new_empty(images.shape[0], M, *self._whole(images))
        Y = torch.ops.aten.convolution_backward(
            channels_last(images),
            channels_last(Y),
            filters,
            None,
            self.strides,
            [0, 0],
            self._ones,
            False,
            [0, 0],
            self.group,
            [True, False, False],
        )[0]
        if any(self.margins()):
            Y = pad_tensor(Y, [-m for m in self.margins()])
        if b is not None:
            Y = Y + b.view(1, -1, 1, 1)
        return self.in_order(Y)


class ConvTransposeGradient(_Transposed):
    """Gradient of ConvTranspose: dW, db (unless no_bias), dX if the net asks for it."""

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("dY", FLOAT))
    outputs = (Port("dW"), Port("db", optional=True), Port("dX", optional=True))
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, W: Tensor, dY: Tensor) -> None:
        self.check_filter(X, W)
        images = self.channels_second(X)
        wanted = (images.shape[0], self.channels_second(W).shape[1] * self.group, *self.output_size(images))
        if tuple(self.channels_second(dY).shape) != wanted:
            self.refuse(f"dY must be the gradient of Y {wanted} (N, M, H, W); got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        images, filters, dY = (self.channels_second(t) for t in (X, W, dY))
        with_bias = not self.no_bias
        db = dY.sum((0, 2, 3)) if with_bias else None
        if any(self.margins()):
            dY = pad_tensor(dY, self.margins())
        window = (self.strides, [0, 0], self._ones, False, [0, 0], self.group)
        dW = torch.ops.aten.convolution_backward(
            channels_last(images), channels_last(dY), filters, None, *window, [False, True, False]
        )[1]
        made = [self.in_order(dW).contiguous(), *([] if db is None else [db])]
        if self.num_outputs > len(made):
            made.append(self.in_order(torch.ops.aten.convolution(channels_last(dY), filters, None, *window)))
        return tuple(made)
