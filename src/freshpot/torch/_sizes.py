"""Sizes that an export left open: those that follow the batch's.

Owned here: from a symbolic size to "k times the first size of that blob". Who calls it: `_graph`, `_capture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Size = int | torch.SymInt


class OpenSizes:
    """Which input each open size is the first size of."""

    def __init__(self) -> None:
        self._blobs: dict[Any, str] = {}

    def learn(self, blob: str, like: Any) -> None:
        """An input: its first size may be open."""
        if isinstance(like, Tensor) and like.dim() and isinstance(like.shape[0], torch.SymInt):
            symbol = like.shape[0].node.expr
            if not symbol.is_number:
                self._blobs.setdefault(symbol, blob)

    def closed(self, shape: Sequence[Size]) -> tuple[list[int], str | None]:
        """Sizes as an operator's argument, -k for k times the first size of the blob that is returned.

        Sizes that follow two blobs, or none, are those of the example.
        """
        sizes, like = [], None
        for size in shape:
            factor, blob = self._factor(size)
            if blob is None or like not in (None, blob):
                sizes.append(int(size))
                continue
            like = blob
            sizes.append(-factor)
        return sizes, like

    def _factor(self, size: Size) -> tuple[int, str | None]:
        if not isinstance(size, torch.SymInt):
            return 0, None
        factor, rest = size.node.expr.as_coeff_Mul()
        blob = self._blobs.get(rest)
        return (int(factor), blob) if blob is not None and int(factor) > 0 else (0, None)


def is_open(size: Size) -> bool:
    """True for a size that is not fixed."""
    return isinstance(size, torch.SymInt) and not size.node.expr.is_number


def same(one: Size, other: Size) -> bool:
    """True if two sizes are equal at every batch."""
    if is_open(one) or is_open(other):
        return is_open(one) and is_open(other) and one.node.expr == other.node.expr  # type: ignore[union-attr]
    return int(one) == int(other)
