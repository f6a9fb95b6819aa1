"""Average pooling."""

from __future__ import annotations

from functools import reduce
from typing import ClassVar

import torch
from torch import Tensor

from freshpot.net.schema import Arg
from freshpot.ops._operator import gradient
from freshpot.ops._window import Layout, channels_last, fitted, unfitted
from freshpot.ops.pooling._pool import Pool

_ATEN = torch.ops.aten


class AveragePooling(Pool, abstract=True):
    """What average pooling in any number of dimensions shares.

    One-dimensional images are pooled as images of height 1.
    """

    args: ClassVar[tuple[Arg, ...]] = (
        *Pool.args,
        Arg("count_include_pad", int, 0, "1: padding counts as zeros; 0: only pixels count"),
    )

    def setup(self) -> None:
        super().setup()
        self._flat = len(self.kernels) == 1
        self._window = (
            ([1, *self.kernels], [1, *self.strides]) if self._flat else (self.kernels, self.strides)
        )
        self._shares: dict[tuple[object, ...], Tensor] = {}

    def _share(self, layout: Layout, like: Tensor) -> Tensor:
        """What one pixel counts in each window: 1 / (number of pixels), of shape (1, 1, outputs)."""
        key = (layout.sizes, like.device)
        found = self._shares.get(key)
        if found is None:
            counts = [self._counts(layout, dim, like) for dim in range(len(layout.sizes))]
            grid = reduce(lambda a, b: a.unsqueeze(-1) * b, counts)
            found = self._shares[key] = 1.0 / grid[None, None]
        return found

    def _counts(self, layout: Layout, dim: int, like: Tensor) -> Tensor:
        kernel, stride = self.kernels[dim], self.strides[dim]
        first = torch.arange(layout.outputs[dim], device=like.device) * stride - layout.heads[dim]
        if self.count_include_pad:
            counted = torch.full_like(first, kernel)
        else:
            counted = (first + kernel).clamp(max=layout.sizes[dim]) - first.clamp(min=0)
        return counted.to(like.dtype)

    def kernel(self, X: Tensor) -> Tensor:
        X = self.channels_second(X)
        if self.global_pooling:
            return self.in_order(X.mean(tuple(range(2, X.dim())), keepdim=True))
        layout = self.layout(tuple(X.shape[2:]))
        share = self._share(layout, X)
        X = fitted(X, layout, self.kernels, self.strides, 0.0)
        return self.in_order(self._sums(X).mul_(share))

    def _sums(self, X: Tensor) -> Tensor:
        if self._flat:
            X = X.unsqueeze(2)
        pool = _ATEN.avg_pool3d if X.dim() == 5 else _ATEN.avg_pool2d
        none = [0] * (X.dim() - 2)
        Y = pool(channels_last(X), *self._window, none, False, True, 1)
        return Y.squeeze(2) if self._flat else Y

    def _spread(self, dY: Tensor, X: Tensor) -> Tensor:
        if self._flat:
            dY, X = dY.unsqueeze(2), X.unsqueeze(2)
        spread = _ATEN.avg_pool3d_backward if X.dim() == 5 else _ATEN.avg_pool2d_backward
        none = [0] * (X.dim() - 2)
        dX = spread(channels_last(dY), channels_last(X), *self._window, none, False, True, 1)
        return dX.squeeze(2) if self._flat else dX

    @gradient("X Y dY -> dX", check=Pool.check_gradient)
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        """dX: each pixel gets its share of dY of every window it is in."""
        X, dY = self.channels_second(X), self.channels_second(dY)
        if self.global_pooling:
            return self.in_order((dY / X.shape[2:].numel()).expand(X.shape).contiguous())
        layout = self.layout(tuple(X.shape[2:]))
        dY = dY * self._share(layout, dY)
        images = fitted(X, layout, self.kernels, self.strides, 0.0)
        return self.in_order(unfitted(self._spread(dY, images), layout, self.kernels, self.strides))


class AveragePool(AveragePooling):
    """Y[n, c, i] = the mean of X[n, c] in window i.

    Shapes:   X: (N, C, space) -> Y: (N, C, space'); with order NHWC X: (N, space, C) -> Y: (N, space', C)
    Raises:   ShapeError if X does not fit the window; ArgumentError for a window that makes no sense.
    Source:   caffe2/operators/pool_op.cc
    """


class AveragePool1D(AveragePooling):
    """AveragePool under the name that says one dimension. Source: caffe2/operators/pool_op.cc"""


class AveragePool2D(AveragePooling):
    """AveragePool under the name that says two dimensions. Source: caffe2/operators/pool_op.cc"""


class AveragePool3D(AveragePooling):
    """AveragePool under the name that says three dimensions. Source: caffe2/operators/pool_op.cc"""
