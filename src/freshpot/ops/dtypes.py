"""Element types: the names that nets and messages use, and what torch and numpy call them.

Owned here: one table. Who calls it: operators, engine, doors. Numbers are `TensorProto.DataType`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.errors import DTypeError

#: name -> (number in TensorProto.DataType, torch type)
_TABLE: dict[str, tuple[int, torch.dtype | None]] = {
    "float32": (1, torch.float32),
    "int32": (2, torch.int32),
    "byte": (3, None),
    "string": (4, None),
    "bool": (5, torch.bool),
    "uint8": (6, torch.uint8),
    "int8": (7, torch.int8),
    "uint16": (8, torch.uint16),
    "int16": (9, torch.int16),
    "int64": (10, torch.int64),
    "float16": (12, torch.float16),
    "float64": (13, torch.float64),
}
NUMBER = {name: number for name, (number, _) in _TABLE.items()}
TORCH = {name: dtype for name, (_, dtype) in _TABLE.items() if dtype is not None}
NAME = {number: name for name, number in NUMBER.items()}
_NAME_OF_TORCH = {dtype: name for name, dtype in TORCH.items()}


def name_of(value: Any) -> str:
    """The element type of what a blob holds: "float32", "string" …, else its Python type's name."""
    if isinstance(value, torch.Tensor):
        return _NAME_OF_TORCH.get(value.dtype, str(value.dtype).removeprefix("torch."))
    if isinstance(value, np.ndarray) and value.dtype == object:
        return "string"
    return type(value).__name__


def torch_dtype(number: int) -> torch.dtype:
    """The torch type for a `TensorProto.DataType` number.

    Raises:
        DTypeError: the number names no type that a tensor of numbers can have.
    """
    name = NAME.get(number)
    if name not in TORCH:
        known = ", ".join(f"{NUMBER[n]} ({n})" for n in TORCH)
        raise DTypeError(
            f"{number} ({name or 'unknown'}) is not a type for tensors of numbers; known: {known}."
        )
    return TORCH[name]


def describe(value: Any) -> str:
    """A blob's value in a few words, never its contents: ``float32 (64, 1, 28, 28)``."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{name_of(value)} {tuple(value.shape)}"
    return name_of(value)
