"""Deconvolution as Caffe has it: any number of dimensions that convolution has, and dilation."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops._window import channels_last
from freshpot.ops.convolution.conv import conv_gradient


class _Deconvolving(Operator, abstract=True):
    args = (
        Arg("kernels", [int], doc="window size in each dimension, pixels"),
        Arg("strides", [int], doc="distance of windows on the output in each dimension, pixels"),
        Arg("pads", [int], doc="cut off the output: all heads, then all tails (as the heads), pixels"),
        Arg("dilations", [int], doc="distance of neighbours in the window in each dimension, pixels"),
        Arg("group", int, 1, "number of groups of channels that do not see each other"),
        Arg("no_bias", int, 0, "of the gradient: the deconvolution has no bias"),
    )

    def setup(self) -> None:
        n = len(self.kernels)
        if not 1 <= n <= 3 or [len(self.strides), len(self.dilations), len(self.pads)] != [n, n, 2 * n]:
            self.refuse(
                "kernels, strides and dilations must have 1 to 3 numbers each, pads twice as many.",
                ArgumentError,
            )
        if self.pads[:n] != self.pads[n:]:
            self.refuse(f"padding must be the same at both ends, got {self.pads}.", ArgumentError)
        none = [0] * n
        self._window = (self.strides, self.pads[:n], self.dilations, True, none, self.group)

    def check_filter(self, X: Tensor, W: Tensor) -> None:
        """Refuse an image and a filter that do not fit, or leave nothing."""
        n = len(self.kernels)
        if X.dim() != n + 2 or W.dim() != n + 2 or list(W.shape[2:]) != self.kernels:
            self.refuse(
                f"X and the filter W must have {n + 2} dimensions, W the kernel {self.kernels}; got "
                f"{tuple(X.shape)} and {tuple(W.shape)}."
            )
        if W.shape[0] != X.shape[1] or X.shape[1] % self.group:
            self.refuse(
                f"the filter W {tuple(W.shape)} must start with the {X.shape[1]} channels of X, which "
                f"{self.group} groups must divide."
            )
        if min(self.space(X)) < 1:
            self.refuse(f"padding {self.pads} leaves nothing of the output of X {tuple(X.shape)}.")

    def space(self, X: Tensor) -> tuple[int, ...]:
        """Spatial size of the output."""
        rows = zip(X.shape[2:], self.kernels, self.strides, self.dilations, self.pads, strict=False)
        return tuple((size - 1) * s + d * (k - 1) + 1 - 2 * p for size, k, s, d, p in rows)


class Deconvolution(_Deconvolving):
    """Y = the gradient of a convolution with respect to its input, with X as the output's gradient, + b.

    Shapes:   X: (N, C, space), W: (C, M / group, kernel), b: (M,) -> Y: (N, M, space'),
              space' = (space - 1) * stride + dilation * (kernel - 1) + 1 - 2 * pad; 1 to 3 dimensions
    Raises:   ShapeError if they do not fit or nothing is left; ArgumentError for incomplete arguments.
    Source:   caffe/layers/deconv_layer.cpp; Long et al., 2015
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("b", FLOAT, optional=True))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(conv_gradient)

    def check(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> None:
        self.check_filter(X, W)
        M = W.shape[1] * self.group
        if b is not None and tuple(b.shape) != (M,):
            self.refuse(f"the bias must have shape ({M},), got {tuple(b.shape)}.")

    def infer(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> tuple[Tensor, ...]:
        """From the sizes alone, as `Conv` does it."""
        shape = (X.shape[0], W.shape[1] * self.group, *self.space(X))
        return (torch.empty(shape, dtype=X.dtype, device="meta"),)

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        return torch.ops.aten.convolution(channels_last(X), W, b, *self._window)


class DeconvolutionGradient(_Deconvolving):
    """Gradient of Deconvolution: dW, db (unless no_bias), dX if the net asks for it.

    Source:   caffe/layers/deconv_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("dY", FLOAT))
    outputs = (Port("dW"), Port("db", optional=True), Port("dX", optional=True))
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, W: Tensor, dY: Tensor) -> None:
        self.check_filter(X, W)
        wanted = (X.shape[0], W.shape[1] * self.group, *self.space(X))
        if tuple(dY.shape) != wanted:
            self.refuse(f"dY must be the gradient of Y {wanted}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        with_bias = not self.no_bias
        wanted = [self.num_outputs > 1 + with_bias, True, with_bias]
        dX, dW, db = torch.ops.aten.convolution_backward(
            channels_last(dY), channels_last(X), W, [dY.shape[1]], *self._window, wanted
        )
        return tuple(made for made in (dW.contiguous(), db, dX) if made is not None)
