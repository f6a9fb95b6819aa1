"""A convolution's weights for inference, in the forms that its kernels want.

Owned here: `Weights`, which runs the convolution by oneDNN on packed weights, or by ATen where that is missing, and
packs weights for machine code (`native.blocks`). Who calls it: `fused_conv`; nets in blocks of channels, through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from freshpot.native.machine import lanes
from freshpot.ops.convolution import _packed


@dataclass(slots=True)
class Way:
    """How one operator's windows go: strides, dilations and groups; and what comes after: a sum, Relu."""

    strides: list[int]
    dilations: list[int]
    groups: int
    relu: bool
    sum: bool


class Weights:
    """Filters (M, C / group, kernel) and bias of one convolution.

    Args:
        filters, bias: the numbers; they do not change.
        packable: False: ATen's convolution only.
    """

    __slots__ = ("_blocked", "_packed", "bias", "filters")

    def __init__(self, filters: Tensor, bias: Tensor | None, *, packable: bool) -> None:
        self.filters, self.bias = filters, bias
        self._packed = _packed.PackedWeights(filters.contiguous()) if packable else None
        self._blocked: dict[Any, tuple[Tensor, Tensor]] = {}

    def blocked(
        self, group: int, groups: int, run: tuple[int, int, int] | None, form: str
    ) -> tuple[Tensor, Tensor]:
        """Filters and bias of one of the groups as machine code reads them.

        ``run``: output blocks as `native.blocks.split` has them; None: each channel by itself. ``form``: "blocks",
        "planes" for images in planes, "tiles" for `native.winograd`.
        """
        key = (group, groups, run, form)
        found = self._blocked.get(key)
        if found is None:
            found = self._blocked[key] = self._pack(group, groups, run, form)
        return found

    def _pack(
        self, group: int, groups: int, run: tuple[int, int, int] | None, form: str
    ) -> tuple[Tensor, Tensor]:
        from freshpot.native import blocks, winograd  # they need llvmlite, which not every machine has

        each = self.filters.shape[0] // (1 if run is None else groups)
        mine = slice(group * each, (group + 1) * each)
        count = -(-each // lanes()) * lanes()
        bias = blocks.pack_channels(None if self.bias is None else self.bias[mine], count)
        if run is None:
            return blocks.pack_depthwise(self.filters), bias
        if form == "tiles":
            return winograd.pack(self.filters[mine], run), bias[run[0] * lanes() :]
        return blocks.pack(self.filters[mine], run, form == "planes"), bias[run[0] * lanes() :]

    def forget_packed(self) -> None:
        """Let go of what `run` packed; it is packed again when it is wanted."""
        if self._packed is not None:
            self._packed.forget()

    def run(self, way: Way, X: Tensor, other: Tensor | None, padding: list[int], overwrite: bool) -> Tensor:
        """The convolution of X (channels last), plus ``other`` (overwritten if it may be), rectified."""
        if self._packed is None:
            return self._aten_run(way, X, other, padding)
        window = (padding, way.strides, way.dilations, way.groups)
        W, relu = self._packed.for_images(X.shape, *window), way.relu
        if other is None:
            return _packed.convolution(X, W, self.bias, *window, "relu" if relu else "none")
        if overwrite:
            return _packed.convolution_sum_(other, X, W, self.bias, *window, "relu" if relu else None)
        return _packed.convolution_sum(X, other, W, self.bias, *window, "relu" if relu else None)

    def _aten_run(self, way: Way, X: Tensor, other: Tensor | None, padding: list[int]) -> Tensor:
        none = [0] * len(padding)
        Y = torch.ops.aten.convolution(
            X, self.filters, self.bias, way.strides, padding, way.dilations, False, none, way.groups
        )
        if other is not None:
            Y += other
        return torch.relu_(Y) if way.relu else Y
