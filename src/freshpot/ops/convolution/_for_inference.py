"""A convolution's weights for inference, in the forms that its kernels want.

Owned here: `Weights`, which runs the convolution by oneDNN on packed weights, or by ATen where that is missing, and
packs weights for machine code (`native.blocks`). Who calls it: `fused_conv`; nets in blocks of channels, through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

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
        again: makes the filters, where they can be made again.
    """

    __slots__ = ("_again", "_blocked", "_filters", "_packed", "bias", "shape")

    def __init__(
        self,
        filters: Tensor,
        bias: Tensor | None,
        *,
        packable: bool,
        again: Callable[[], Tensor] | None = None,
    ) -> None:
        #: not kept where every kernel has packed ones of its own
        self._filters = None if packable and again is not None else filters
        self.bias, self._again = bias, again
        #: of the filters
        self.shape = tuple(filters.shape)
        self._packed = _packed.PackedWeights() if packable else None
        self._blocked: dict[Any, tuple[Tensor, Tensor]] = {}

    def filters(self) -> Tensor:
        """The filters."""
        if self._filters is None and self._again is not None:
            return self._again()
        return cast(Tensor, self._filters)

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

        each = self.shape[0] // (1 if run is None else groups)
        filters = self.filters()
        mine = slice(group * each, (group + 1) * each)
        count = -(-each // lanes()) * lanes()
        bias = blocks.pack_channels(None if self.bias is None else self.bias[mine], count)
        if run is None:
            return blocks.pack_depthwise(filters), bias
        if form == "tiles":
            return winograd.pack(filters[mine], run), bias[run[0] * lanes() :]
        return blocks.pack(filters[mine], run, form == "planes"), bias[run[0] * lanes() :]

    def forget(self) -> int:
        """Let go of what `run` packed, which is packed again when it is wanted; about how many bytes that were."""
        if self._packed is None:
            return 0
        self._packed.forget()
        return 4 * math.prod(self.shape)

    def run(self, way: Way, X: Tensor, other: Tensor | None, padding: list[int], overwrite: bool) -> Tensor:
        """The convolution of X (channels last), plus ``other`` (overwritten if it may be), rectified."""
        if self._packed is None:
            return self._aten_run(way, X, other, padding)
        window = (padding, way.strides, way.dilations, way.groups)
        W, relu = self._packed.for_images(self.filters, X.shape, *window), way.relu
        if other is None:
            return _packed.convolution(X, W, self.bias, *window, "relu" if relu else "none")
        if overwrite:
            return _packed.convolution_sum_(other, X, W, self.bias, *window, "relu" if relu else None)
        return _packed.convolution_sum(X, other, W, self.bias, *window, "relu" if relu else None)

    def _aten_run(self, way: Way, X: Tensor, other: Tensor | None, padding: list[int]) -> Tensor:
        none = [0] * len(padding)
        Y = torch.ops.aten.convolution(
            X, self.filters(), self.bias, way.strides, padding, way.dilations, False, none, way.groups
        )
        if other is not None:
            Y += other
        return torch.relu_(Y) if way.relu else Y
