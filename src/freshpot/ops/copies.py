"""Copies of the values that programs give, fit to be held by a blob.

Owned here: `own_copy`. Who calls it: workspaces, doors, the tensors that Python operators see.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.errors import DTypeError
from freshpot.ops.dtypes import TORCH

#: numpy types that tensors have, in this machine's byte order
_NUMPY = frozenset(np.dtype(name) for name in TORCH)


def own_copy(name: str, value: Any) -> Any:
    """A copy of a value that a blob may own: numpy arrays become tensors, text arrays arrays of bytes."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OSU":
            return _string_array(name, value)
        return torch.from_numpy(_native(name, value).copy())
    return value


def _native(name: str, value: np.ndarray) -> np.ndarray:
    """The array in this machine's byte order."""
    if value.dtype in _NUMPY:
        return value
    native = value.dtype.newbyteorder("=")
    if native not in _NUMPY:
        raise DTypeError(
            f"blob '{name}': numpy type {value.dtype} is not a tensor type; known: {', '.join(TORCH)}."
            " Convert it with astype().",
            blob=name,
        )
    return value.astype(native)


def _string_array(name: str, value: np.ndarray) -> np.ndarray:
    flat = [_as_bytes(name, v) for v in value.ravel().tolist()]
    made = np.empty(len(flat), dtype=object)
    made[:] = flat
    return made.reshape(value.shape)


def _as_bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise DTypeError(
        f"blob '{name}': an array of objects may hold only text and bytes, found {type(value).__name__}.",
        blob=name,
    )
