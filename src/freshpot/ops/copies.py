"""Copies of the values that programs give, fit to be held by a blob.

Owned here: `own_copy`. Who calls it: workspaces, doors, the tensors that Python operators see.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.errors import DTypeError


def own_copy(name: str, value: Any) -> Any:
    """A copy of a value that a blob may own: numpy arrays become tensors, text arrays arrays of bytes."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "OSU":
            return _string_array(name, value)
        native = value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))
        try:
            return torch.from_numpy(native.copy())
        except TypeError as error:
            raise DTypeError(
                f"blob '{name}': numpy type {value.dtype} is not a tensor type; convert it with astype().",
                blob=name,
            ) from error
    return value


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
