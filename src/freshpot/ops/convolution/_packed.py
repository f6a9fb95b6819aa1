"""oneDNN's convolutions with what comes after them, on weights in its own layout.

Owned here: whether this build of PyTorch has them and they work on this machine; packing weights. Who calls it:
`fused_conv`. They are what PyTorch's own compiler uses; where they are missing, ATen's are used.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

#: packed copies of one weight, one for each layout that oneDNN wants for some size of image
_MOST_COPIES = 4
#: sizes of images that are remembered
_MOST_SIZES = 32


@functools.cache
def available() -> bool:
    """True if the operators are there and compute what ATen computes."""
    try:
        X, W = torch.rand(1, 3, 5, 5), torch.rand(4, 3, 3, 3) - 0.5
        images = X.contiguous(memory_format=torch.channels_last)
        wanted = torch.ops.aten.convolution(X, W, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
        window = ([1, 1], [1, 1], [1, 1], 1)
        packed = _reorder(W, list(X.shape), *window)
        other = torch.ones_like(wanted).contiguous(memory_format=torch.channels_last)
        summed = convolution_sum(images, other, packed, None, *window, "relu")
        found = convolution(images, packed, None, *window, "none")
        convolution_sum_(other, images, packed, None, *window, "relu")
        return all(
            torch.allclose(got, want, atol=1e-5)
            for got, want in (
                (found, wanted),
                (summed, torch.relu(wanted + 1)),
                (other, torch.relu(wanted + 1)),
            )
        )
    except (AttributeError, RuntimeError, NotImplementedError):
        return False


def convolution(
    X: Tensor,
    W: Tensor,
    b: Tensor | None,
    padding: list[int],
    strides: list[int],
    dilations: list[int],
    groups: int,
    activation: str,
) -> Tensor:
    """activation(conv(X, W, b)); activation is "none" or "relu"."""
    return torch.ops.mkldnn._convolution_pointwise.default(
        X, W, b, padding, strides, dilations, groups, activation, [], None
    )


def convolution_sum(
    X: Tensor,
    other: Tensor,
    W: Tensor,
    b: Tensor | None,
    padding: list[int],
    strides: list[int],
    dilations: list[int],
    groups: int,
    activation: str | None,
) -> Tensor:
    """activation(conv(X, W, b) + other); activation is None or "relu"."""
    return torch.ops.mkldnn._convolution_pointwise.binary(
        X, other, W, b, padding, strides, dilations, groups, "add", 1.0, activation, [], None
    )


def convolution_sum_(
    other: Tensor,
    X: Tensor,
    W: Tensor,
    b: Tensor | None,
    padding: list[int],
    strides: list[int],
    dilations: list[int],
    groups: int,
    activation: str | None,
) -> Tensor:
    """The same, written into ``other``."""
    return torch.ops.mkldnn._convolution_pointwise_.binary(
        other, X, W, b, padding, strides, dilations, groups, "add", 1.0, activation, [], None
    )


def _reorder(W: Tensor, size: list[int], padding: Any, strides: Any, dilations: Any, groups: int) -> Tensor:
    return torch.ops.mkldnn._reorder_convolution_weight(W, padding, strides, dilations, groups, size)


class PackedWeights:
    """A weight (M, C / group, kernel) in the layouts that oneDNN wants for the images that came so far."""

    __slots__ = ("_by_layout", "_by_size")

    def __init__(self) -> None:
        self._by_size: dict[tuple[int, ...], Tensor] = {}
        self._by_layout: dict[bytes, Tensor] = {}

    def for_images(
        self,
        weight: Callable[[], Tensor],
        size: tuple[int, ...],
        padding: Sequence[int],
        strides: Sequence[int],
        dilations: Sequence[int],
        groups: int,
    ) -> Tensor:
        """The weight, which ``weight`` gives and never is another, for images of this size (N, C, H, W)."""
        found = self._by_size.get(size)
        if found is None:
            if len(self._by_size) >= _MOST_SIZES:
                self._by_size.clear()
                self._by_layout.clear()
            packed = _reorder(weight().contiguous(), list(size), padding, strides, dilations, groups)
            found = self._by_size[size] = self._share(packed)
        return found

    def forget(self) -> None:
        """Let go of all of them."""
        self._by_size.clear()
        self._by_layout.clear()

    def _share(self, packed: Tensor) -> Tensor:
        """One copy for each layout; beyond a few the first one serves (oneDNN reorders it as it runs)."""
        layout = bytes(torch.ops.mkldnn._get_mkldnn_serialized_md(packed).tolist())
        if layout not in self._by_layout and len(self._by_layout) >= _MOST_COPIES:
            return next(iter(self._by_layout.values()))
        return self._by_layout.setdefault(layout, packed)
