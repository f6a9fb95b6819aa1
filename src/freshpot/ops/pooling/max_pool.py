"""Max pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.ops._operator import Call, gradient
from freshpot.ops._window import Layout, channels_last, fitted, unfitted
from freshpot.ops.pooling._pool import Pool, native_way, offsets

#: windows of up to this many pixels are maxima of shifted views, which vectorises better than a pooling loop
_SMALL = 9
_POOL = {
    1: torch.ops.aten.max_pool1d,
    2: torch.ops.aten.max_pool2d,
    3: torch.ops.aten.max_pool3d,
}


class MaxPooling(Pool, abstract=True):
    """What max pooling in any number of dimensions shares."""

    def kernel(self, X: Tensor) -> Tensor:
        images = self.channels_second(X)
        if self.global_pooling:
            return self.in_order(images.amax(tuple(range(2, images.dim())), keepdim=True))
        layout = self.layout(tuple(images.shape[2:]))
        if (way := self._native(X, layout)) is not None:
            return way[0].forward(way[1], X)
        images = fitted(images, layout, self.kernels, self.strides, -math.inf)
        return self.in_order(self._maxima(images, layout))

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        way = self._native_of(inputs[0])
        return None if way is None else way[0].forward_calls(way[1], inputs[0], outputs[0])

    def _native_of(self, X: Tensor) -> tuple[Any, Any] | None:
        return None if self.global_pooling or self.nhwc else self._native(X, self.layout(tuple(X.shape[2:])))

    def _native(self, X: Tensor, layout: Layout) -> tuple[Any, Any] | None:
        """The module of machine code for X as it lies in memory, and the sizes; None: ATen does it."""
        if X.dim() != 4 or self.nhwc or any((*self.heads, *self.tails)):
            return None
        return native_way(X, self.kernels, self.strides, layout.outputs)

    def _maxima(self, images: Tensor, layout: Layout) -> Tensor:
        large = (
            math.prod(self.kernels) > _SMALL or torch.compiler.is_compiling()
        )  # a tracer wants the one call
        if large and images.numel():
            return _POOL[len(self.kernels)](channels_last(images), self.kernels, self.strides)
        views = offsets(images, layout, self.kernels, self.strides)
        Y = next(views)
        second = next(views, None)
        if second is None:
            return Y.clone()
        Y = torch.maximum(Y, second)
        for view in views:
            torch.maximum(Y, view, out=Y)
        return Y

    def _backward_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        way = self._native_of(inputs[0])
        X, Y, dY = inputs
        return None if way is None else way[0].backward_calls(way[1], X, Y, dY, outputs[0])

    @gradient("X Y dY -> dX", check=Pool.check_gradient, calls=_backward_calls)
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        """dX: each pixel gets dY of every window whose maximum it equals, so ties all get it, as in the original."""
        X, Y, dY = (self.channels_second(t) for t in (X, Y, dY))
        if self.global_pooling:
            return self.in_order(torch.eq(X, Y) * dY)
        layout = self.layout(tuple(X.shape[2:]))
        if (way := self._native(X, layout)) is not None:
            return way[0].backward(way[1], X, Y, dY)
        if self._tiles(X):
            return self.in_order(_tiled(X, Y, dY))
        images = fitted(X, layout, self.kernels, self.strides, -math.inf)
        dX = torch.zeros_like(images)
        places = zip(
            offsets(images, layout, self.kernels, self.strides),
            offsets(dX, layout, self.kernels, self.strides),
            strict=True,
        )
        apart = all(k <= s for k, s in zip(self.kernels, self.strides, strict=True))
        for x, dx in places:
            if apart:
                torch.mul(torch.eq(x, Y), dY, out=dx)
            else:
                dx.addcmul_(torch.eq(x, Y).to(dY.dtype), dY)
        return self.in_order(unfitted(dX, layout, self.kernels, self.strides))

    def _tiles(self, X: Tensor) -> bool:
        """True if 2 x 2 windows cover an image exactly: the common case, done in whole passes."""
        return (
            X.dim() == 4
            and self.kernels == self.strides == [2, 2]
            and not any((*self.heads, *self.tails, *(size % 2 for size in X.shape[2:])))
            and X.numel() > 0
        )


def _tiled(X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
    space = list(X.shape[2:])
    X = channels_last(X)
    is_maximum = torch.ops.aten.upsample_nearest2d(channels_last(Y), space).eq_(X)
    return is_maximum.mul_(torch.ops.aten.upsample_nearest2d(channels_last(dY), space))


class MaxPool(MaxPooling):
    """Y[n, c, i] = the largest X[n, c] in window i. Padding never wins.

    Shapes:   X: (N, C, space) -> Y: (N, C, space'); with order NHWC X: (N, space, C) -> Y: (N, space', C)
    Raises:   ShapeError if X does not fit the window; ArgumentError for a window that makes no sense.
    Source:   caffe2/operators/pool_op.cc
    """


class MaxPool1D(MaxPooling):
    """MaxPool under the name that says one dimension. Source: caffe2/operators/pool_op.cc"""


class MaxPool2D(MaxPooling):
    """MaxPool under the name that says two dimensions. Source: caffe2/operators/pool_op.cc"""


class MaxPool3D(MaxPooling):
    """MaxPool under the name that says three dimensions. Source: caffe2/operators/pool_op.cc"""
