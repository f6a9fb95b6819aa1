"""A convolution's weights for inference, in the forms that its kernels want, and the choice between the kernels.

Owned here: `Weights`, which runs the convolution; `Choices`, which remembers by size of image what to run it with:
oneDNN's convolution on packed weights, machine code of ours (`native.pixels`), or ATen's where both are missing.
Who calls it: `fused_conv`.

Machine code is made while the net is in use, a piece at a time, so that no run takes long: at most a third of the time
goes into it. What was made, and which is faster, is remembered on disk.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from freshpot.native import pace, pixels
from freshpot.native.call import Native
from freshpot.ops._tune import choose
from freshpot.ops.convolution import _packed

#: runs with images of one size before machine code for it is thought of
_FIRST_RUNS = 3
#: sizes of images that choices are remembered for
_MOST_SIZES = 64


@dataclass(slots=True)
class Choices:
    """What one operator runs with, for each size of image.

    ``window``: padding aside, strides, dilations and groups; ``relu``, ``sum``: what comes after the convolution.
    """

    strides: list[int]
    dilations: list[int]
    groups: int
    relu: bool
    sum: bool
    _runs: dict[tuple[int, ...], int] = field(default_factory=dict)
    _native: dict[tuple[int, ...], Native | None] = field(default_factory=dict)

    def native(self, weights: Weights, X: Tensor, other: Tensor | None, padding: list[int]) -> Native | None:
        """Machine code for images like X, if there is some and it is the faster way."""
        key = X.shape
        if key in self._native:
            return self._native[key]
        if len(self._runs) >= _MOST_SIZES:
            self._runs.clear()
            self._native.clear()
        runs = self._runs[key] = self._runs.get(key, 0) + 1
        if runs <= _FIRST_RUNS or not pace.is_time():
            return None
        start = time.perf_counter()
        found = self._native[key] = self._choose(weights, X, other, padding)
        pace.spent(time.perf_counter() - start)
        return found

    def _choose(self, weights: Weights, X: Tensor, other: Tensor | None, padding: list[int]) -> Native | None:
        W, b = weights.filters, weights.bias
        K, _, R, S = W.shape
        if self.groups != 1 or self.dilations != [1, 1] or not pixels.fits(K) or not X.numel():
            return None
        N, C, H, width = X.shape
        P, Q = (
            (size + 2 * pad - window) // stride + 1
            for size, pad, window, stride in zip((H, width), padding, (R, S), self.strides, strict=True)
        )
        stride, pad = (self.strides[0], self.strides[1]), (padding[0], padding[1])
        shape = pixels.Shape(N, H, width, C, K, R, S, stride, pad, P, Q, b is not None, self.sum, self.relu)
        way = choose(
            f"FusedConv {shape}",
            {
                "oneDNN": lambda: weights.packed_run(self, X, other, padding, False),
                "native": lambda: weights.native_run(pixels.convolution(shape), X, other, (N, K, P, Q)),
            },
        )
        return pixels.convolution(shape) if way == "native" else None


class Weights:
    """Filters (M, C / group, kernel) and bias of one convolution.

    Args:
        filters, bias: the numbers; they do not change.
        packable: False: ATen's convolution only.
    """

    __slots__ = ("_native", "_packed", "bias", "filters")

    def __init__(self, filters: Tensor, bias: Tensor | None, *, packable: bool) -> None:
        self.filters, self.bias = filters, bias
        self._packed = _packed.PackedWeights(filters.contiguous()) if packable else None
        self._native: Tensor | None = None

    def run(
        self, choices: Choices, X: Tensor, other: Tensor | None, padding: list[int], overwrite: bool
    ) -> Tensor:
        """The convolution of X (channels last), plus ``other`` (overwritten if it may be), rectified."""
        native = None if self._packed is None else choices.native(self, X, other, padding)
        if native is None:
            return self.packed_run(choices, X, other, padding, overwrite)
        N, _, H, W = X.shape
        K, _, R, S = self.filters.shape
        P = (H + 2 * padding[0] - R) // choices.strides[0] + 1
        Q = (W + 2 * padding[1] - S) // choices.strides[1] + 1
        return self.native_run(native, X, other, (N, K, P, Q))

    def native_run(
        self, native: Native, X: Tensor, other: Tensor | None, size: tuple[int, int, int, int]
    ) -> Tensor:
        """By machine code."""
        packed = self._native
        if packed is None:
            packed = self._native = pixels.pack(self.filters)
        _, K, P, Q = size
        Y = torch.empty_strided(size, (P * Q * K, 1, Q * K, K))
        if self.bias is None:
            native(X, packed, Y) if other is None else native(X, packed, Y, other)
        else:
            native(X, packed, Y, self.bias) if other is None else native(X, packed, Y, self.bias, other)
        return Y

    def packed_run(
        self, choices: Choices, X: Tensor, other: Tensor | None, padding: list[int], overwrite: bool
    ) -> Tensor:
        """By oneDNN."""
        if self._packed is None:
            return self._aten_run(choices, X, other, padding)
        window = (padding, choices.strides, choices.dilations, choices.groups)
        W, relu = self._packed.for_images(X.shape, *window), choices.relu
        if other is None:
            return _packed.convolution(X, W, self.bias, *window, "relu" if relu else "none")
        if overwrite:
            return _packed.convolution_sum_(other, X, W, self.bias, *window, "relu" if relu else None)
        return _packed.convolution_sum(X, other, W, self.bias, *window, "relu" if relu else None)

    def _aten_run(self, choices: Choices, X: Tensor, other: Tensor | None, padding: list[int]) -> Tensor:
        none = [0] * len(padding)
        Y = torch.ops.aten.convolution(
            X,
            self.filters,
            self.bias,
            choices.strides,
            padding,
            choices.dilations,
            False,
            none,
            choices.groups,
        )
        if other is not None:
            Y += other
        return torch.relu_(Y) if choices.relu else Y
