"""Rows of numbers and of text alike: tensors, and arrays of bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def blank(like: Any, shape: tuple[int, ...]) -> Any:
    """Zeros, or empty texts."""
    if isinstance(like, Tensor):
        return like.new_zeros(shape)
    return np.full(shape, b"", dtype=object)


def as_index(mask: Tensor, data: Any) -> Any:
    """A mask or row numbers in the form that ``data`` is indexed with."""
    return mask if isinstance(data, Tensor) else mask.cpu().numpy()


def take(data: Any, rows: Tensor) -> Any:
    """Copies of these rows."""
    return data[rows.long()] if isinstance(data, Tensor) else data[rows.long().cpu().numpy()]


def join(parts: list[Any]) -> Any:
    """Parts one after another, in memory of their own."""
    return torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)
