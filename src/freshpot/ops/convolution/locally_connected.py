"""Locally connected layers: convolution with a filter of its own at every place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._window import WINDOW_ARGS, Layout, Windowed, fitted, unfitted
from freshpot.ops.convolution.conv import conv_gradient


class LocallyConnected(Windowed, abstract=True):
    """What all locally connected layers share. P stands for the number of places, G for the groups."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT), Port("W", FLOAT), Port("b", FLOAT, optional=True))
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    args: ClassVar[tuple[Arg, ...]] = (
        *WINDOW_ARGS,
        Arg("group", int, 1, "number of groups of channels that do not see each other"),
        Arg("no_bias", int, 0, "of the gradient: the layer has no bias"),
    )
    gradient_rule: ClassVar[Any] = staticmethod(conv_gradient)

    def setup(self) -> None:
        super().setup()
        if self.group < 1:
            self.refuse(f"group must be at least 1, got {self.group}.", ArgumentError)
        pairs = zip(self.kernels, self.dilations, strict=True)
        self._spans = [(k - 1) * d + 1 for k, d in pairs]

    def check(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> None:
        self.check_dims(X)
        images = self.channels_second(X)
        C, n = images.shape[1], len(self.kernels)
        outputs = self.layout(tuple(images.shape[2:])).outputs
        inner = [*self.kernels, C // self.group] if self.nhwc else [C // self.group, *self.kernels]
        wanted = [*outputs, "M", *inner]
        M = W.shape[n] if W.dim() == 2 * n + 2 else 0
        if list(W.shape) != [*outputs, M, *inner] or C % self.group or M % self.group:
            self.refuse(f"the filter W must be {wanted} with {self.group} groups, got {tuple(W.shape)}.")
        if b is not None and list(b.shape) != [*outputs, M]:
            self.refuse(f"the bias must be {[*outputs, M]}, got {tuple(b.shape)}.")

    def columns(self, images: Tensor, layout: Layout) -> Tensor:
        """The pixels each window sees: (P * G, N, C / G * kernel)."""
        X = fitted(images, layout, self._spans, self.strides, 0.0).contiguous()
        N, C = X.shape[:2]
        steps = X.stride()[2:]
        inner = [s * d for s, d in zip(steps, self.dilations, strict=True)]
        outer = [s * t for s, t in zip(steps, self.strides, strict=True)]
        n, G = len(steps), self.group
        view = X.as_strided(
            (N, G, C // G, *self.kernels, *layout.outputs),
            (X.stride(0), X.stride(1) * (C // G), X.stride(1), *inner, *outer),
        )
        places = range(3 + n, 3 + 2 * n)
        return view.permute(*places, 1, 0, *range(2, 3 + n)).reshape(-1, N, C // G * self.kernel_size())

    def kernel_size(self) -> int:
        """Pixels of a window."""
        return torch.Size(self.kernels).numel()

    def filters(self, W: Tensor) -> Tensor:
        """W as (P * G, M / G, C / G * kernel)."""
        n = len(self.kernels)
        W = W.movedim(-1, n + 1) if self.nhwc else W
        width = W.shape[n + 1 :].numel()
        return W.reshape(W.shape[:n].numel() * self.group, W.shape[n] // self.group, width)

    def places(self, Y: Tensor) -> Tensor:
        """(N, M, space) as (P * G, N, M / G)."""
        N, M = Y.shape[:2]
        parts = Y.reshape(N, self.group, M // self.group, Y.shape[2:].numel())
        return parts.permute(3, 1, 0, 2).reshape(-1, N, M // self.group)

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        images = self.channels_second(X)
        layout = self.layout(tuple(images.shape[2:]))
        N, M = images.shape[0], W.shape[len(self.kernels)]
        Y = torch.bmm(self.columns(images, layout), self.filters(W).transpose(1, 2))
        Y = Y.view(-1, self.group, N, M // self.group).permute(2, 1, 3, 0).reshape(N, M, *layout.outputs)
        if b is not None:
            Y = Y + b.movedim(-1, 0)
        return self.in_order(Y)


class LocallyConnectedGradient(LocallyConnected, abstract=True):
    """What their gradients share: dW, db (unless no_bias), dX if the net asks for it."""

    inputs = (Port("X", FLOAT), Port("W", FLOAT), Port("dY", FLOAT))
    outputs = (Port("dW"), Port("db", optional=True), Port("dX", optional=True))
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, W: Tensor, dY: Tensor) -> None:
        super().check(X, W)
        images = self.channels_second(X)
        outputs = self.layout(tuple(images.shape[2:])).outputs
        wanted = (images.shape[0], W.shape[len(self.kernels)], *outputs)
        if tuple(self.channels_second(dY).shape) != wanted:
            self.refuse(f"dY must be the gradient of Y {wanted} (N, M, space); got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        images, dY = self.channels_second(X), self.channels_second(dY)
        layout = self.layout(tuple(images.shape[2:]))
        places = self.places(dY)
        made = [self._filter_gradient(torch.bmm(places.transpose(1, 2), self.columns(images, layout)), W)]
        if not self.no_bias:
            made.append(dY.sum(0).movedim(0, -1).contiguous())
        if self.num_outputs > len(made):
            made.append(self.in_order(self._spread(torch.bmm(places, self.filters(W)), images, layout)))
        return tuple(made)

    def _filter_gradient(self, dW: Tensor, W: Tensor) -> Tensor:
        n = len(self.kernels)
        if not self.nhwc:
            return dW.view(W.shape)
        return dW.view(*W.shape[: n + 1], W.shape[-1], *self.kernels).movedim(n + 1, -1).contiguous()

    def _spread(self, columns: Tensor, images: Tensor, layout: Layout) -> Tensor:
        """The sum of each pixel's places in the columns."""
        N, C = images.shape[:2]
        n = len(self.kernels)
        parts = columns.view(*layout.outputs, self.group, N, C // self.group, *self.kernels)
        parts = parts.permute(n + 1, n, *range(n + 2, 2 * n + 3), *range(n))
        parts = parts.reshape(N, C, *self.kernels, *layout.outputs)
        dX = torch.zeros_like(fitted(images, layout, self._spans, self.strides, 0.0))
        every = (slice(None), slice(None))
        for place, window in self._windows(layout):
            to: tuple[slice, ...] = (*every, *window)
            source: tuple[slice | int, ...] = (*every, *place)
            dX[to] += parts[source]
        return unfitted(dX, layout, self._spans, self.strides)

    def _windows(self, layout: Layout) -> Iterator[tuple[tuple[int, ...], list[slice]]]:
        for place in product(*(range(k) for k in self.kernels)):
            rows = zip(place, self.dilations, self.strides, layout.outputs, strict=True)
            yield place, [slice(p * d, p * d + (count - 1) * s + 1, s) for p, d, s, count in rows]


class LC(LocallyConnected):
    """Y as Conv's, but each place has its own filter and bias.

    Shapes:   X: (N, C, space), W: (space', M, C / group, kernel), b: (space', M) -> Y: (N, M, space');
              with order NHWC X: (N, space, C), W: (space', M, kernel, C / group) -> Y: (N, space', M)
    Raises:   ShapeError if they do not fit; ArgumentError for a window that makes no sense.
    Source:   caffe2/operators/locally_connected_op.cc
    """


class LC1D(LocallyConnected):
    """LC under the name that says one dimension. Source: caffe2/operators/locally_connected_op.cc"""


class LC2D(LocallyConnected):
    """LC under the name that says two dimensions. Source: caffe2/operators/locally_connected_op.cc"""


class LC3D(LocallyConnected):
    """LC under the name that says three dimensions. Source: caffe2/operators/locally_connected_op.cc"""


class LCGradient(LocallyConnectedGradient):
    """Gradient of LC."""


class LC1DGradient(LocallyConnectedGradient):
    """Gradient of LC1D."""


class LC2DGradient(LocallyConnectedGradient):
    """Gradient of LC2D."""


class LC3DGradient(LocallyConnectedGradient):
    """Gradient of LC3D."""
