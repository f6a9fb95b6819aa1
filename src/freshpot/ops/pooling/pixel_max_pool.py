"""Max pooling for inference, of images whose memory runs along the channels."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.native import pace, pixels
from freshpot.native.call import Native
from freshpot.native.machine import lanes
from freshpot.ops._window import Layout
from freshpot.ops.pooling.caffe_pool import CaffeMaxPool
from freshpot.ops.pooling.max_pool import MaxPool

_FIRST_RUNS = 3
_MOST_SIZES = 64
_NO_GRADIENT = "it is for inference"


class _Code:
    """Machine code by size of image, made after some runs."""

    def __init__(self) -> None:
        self._runs: dict[torch.Size, int] = {}
        self._code: dict[torch.Size, tuple[Native, tuple[int, ...]] | None] = {}

    def run(self, X: Tensor, layout: Layout, kernels: Sequence[int], strides: Sequence[int]) -> Tensor | None:
        """The maxima, or None where there is no such code (yet)."""
        size = X.shape
        if size not in self._code:
            if len(self._runs) >= _MOST_SIZES:
                self._runs.clear()
                self._code.clear()
            self._runs[size] = self._runs.get(size, 0) + 1
            if self._runs[size] <= _FIRST_RUNS or not pace.is_time():
                return None
            start = time.perf_counter()
            self._code[size] = _made(X, layout, kernels, strides)
            pace.spent(time.perf_counter() - start)
        found = self._code[size]
        if found is None or not X.is_contiguous(memory_format=torch.channels_last):
            return None
        native, (N, C, P, Q) = found
        Y = torch.empty_strided((N, C, P, Q), (P * Q * C, 1, Q * C, C))
        native(X, Y)
        return Y


def _made(
    X: Tensor, layout: Layout, kernels: Sequence[int], strides: Sequence[int]
) -> tuple[Native, tuple[int, ...]] | None:
    N, C, H, W = X.shape
    (R, S), (P, Q) = kernels, layout.outputs
    rows = zip(layout.sizes, layout.heads, layout.outputs, strides, kernels, strict=True)
    none_empty = all(head < k and (count - 1) * step < size + head for size, head, count, step, k in rows)
    if not lanes() or lanes() > C or X.device.type != "cpu" or not X.numel() or not none_empty:
        return None
    stride, pad = (strides[0], strides[1]), (layout.heads[0], layout.heads[1])
    return pixels.max_pooling(pixels.Pooling(N, H, W, C, R, S, stride, pad, P, Q)), (N, C, P, Q)


class PixelMaxPool(MaxPool):
    """MaxPool in a plan for inference: machine code where images lie along their channels. Source: freshpot's own"""

    gradient_rule = None
    no_gradient = _NO_GRADIENT

    def setup(self) -> None:
        super().setup()
        self._code = _Code()

    def kernel(self, X: Tensor) -> Tensor:
        if X.dim() == 4 and not self.global_pooling:
            images = self.channels_second(X)
            found = self._code.run(images, self.layout(tuple(images.shape[2:])), self.kernels, self.strides)
            if found is not None:
                return self.in_order(found)
        return super().kernel(X)


class PixelCaffeMaxPool(CaffeMaxPool):
    """CaffeMaxPool in a plan for inference, of which only Y is wanted. Source: freshpot's own"""

    gradient_rule = None
    no_gradient = _NO_GRADIENT

    def setup(self) -> None:
        super().setup()
        self._code = _Code()

    def kernel(self, X: Tensor) -> tuple[Tensor, ...]:
        fit = self.fit(X)
        found = self._code.run(X, fit.layout, fit.kernels, fit.strides)
        return super().kernel(X) if found is None else (found,)
