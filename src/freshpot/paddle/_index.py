"""Indices of tensors: what Paddle's users write, as torch takes it. Called by :mod:`freshpot.paddle._tensor`."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import NotSupportedError
from freshpot.paddle._layout import Layout

__all__ = ["parts_of", "plain_index"]


def plain_index(index: Any) -> Any:
    """torch's form of an index; single numbers held in tensors of shape [1] are numbers."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))
    if isinstance(index, slice):
        parts: tuple[Any, ...] = (index.start, index.stop, index.step)
        return slice(*[int(part.data_) if isinstance(part, Layout) else part for part in parts])
    if isinstance(index, Layout):
        data: torch.Tensor = index.data_
        return int(data) if data.numel() == 1 and data.dtype != torch.bool and data.dim() <= 1 else data
    return index


def parts_of(data: torch.Tensor, index: Any) -> torch.Tensor:
    """What a plain index chooses; slices may go backwards.

    Raises:
        NotSupportedError: a negative step beside lists or tensors of places.
    """
    parts = index if isinstance(index, tuple) else (index,)
    turned = any(isinstance(part, slice) and part.step is not None and part.step < 0 for part in parts)
    return _backwards(data, list(parts)) if turned else data[index]


def _backwards(data: torch.Tensor, parts: list[Any]) -> torch.Tensor:
    """The same elements forwards, then turned round."""
    if not all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
        raise NotSupportedError("a negative step beside places in lists or tensors: index twice")
    if Ellipsis in parts:
        named = sum(part is not None and part is not Ellipsis for part in parts)
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (data.dim() - named)
    turned, axis, made = [], 0, 0
    for place, part in enumerate(parts):
        if isinstance(part, slice) and part.step is not None and part.step < 0:
            start, _, step = part.indices(data.shape[axis])
            count = len(range(*part.indices(data.shape[axis])))
            low = start + step * (count - 1)
            parts[place] = slice(low, start + 1, -step) if count else slice(0, 0)
            turned.append(made)
        axis += part is not None
        made += not isinstance(part, int)
    return data[tuple(parts)].flip(turned)
