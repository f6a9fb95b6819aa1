"""What entries of the table work with: a call, its inputs and attributes. Called by this package and ``_program``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from freshpot.paddle._state import to_dtype
from freshpot.paddle._stream import ELEMENTS

__all__ = ["Arguments", "Call", "Entry", "dtype_of", "layout_of", "of_x", "same"]


@dataclass
class Call:
    """One operator: its kind, the variables at its slots, its attributes."""

    kind: str
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    attrs: dict[str, Any]

    def __str__(self) -> str:
        read = ", ".join(name for names in self.inputs.values() for name in names)
        return f"{self.kind} of {read}"


class Arguments:
    """A call's inputs and attributes: ``a.X`` is the tensor at slot X (None where there is none)."""

    def __init__(self, call: Call, values: dict[str, Any], training: bool) -> None:
        self.call, self.values, self.training = call, values, training

    def __getattr__(self, slot: str) -> Any:
        names = self.call.inputs.get(slot)
        return self.values[names[0]] if names else None

    def all(self, slot: str) -> list[Any]:
        """All tensors at a slot."""
        return [self.values[name] for name in self.call.inputs.get(slot, [])]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.call.attrs.get(name, default)

    def sizes(self, attr: str, tensor: str, parts: str = "") -> list[int]:
        """Whole numbers that an attribute says, or a tensor, or a list of tensors."""
        if parts and self.call.inputs.get(parts):
            return [int(part.data_.reshape(-1)[0]) for part in self.all(parts)]
        given = getattr(self, tensor)
        return [int(v) for v in given.data_.reshape(-1)] if given is not None else list(self.get(attr, []))


#: takes a call's arguments, and gives the first output, or a dictionary of outputs
Entry = Callable[[Arguments], Any]


def dtype_of(number: int) -> torch.dtype:
    """The element type that a program's attribute means."""
    return torch.bfloat16 if number == 22 else to_dtype(ELEMENTS[number])


def layout_of(a: Arguments, key: str = "data_format") -> str:
    """Where a call says the channels are."""
    said = a.get(key, "NCHW")
    return "NCHW" if said == "AnyLayout" else str(said)


def of_x(function: Callable[..., Any], *attributes: tuple[str, Any]) -> Entry:
    """A function of X, and of attributes with their defaults."""
    return lambda a: function(a.X, *(a.get(name, default) for name, default in attributes))


def same(a: Arguments) -> Any:
    """X as it is."""
    return a.X
