"""How a tensor prints. Called by ``Tensor.__repr__``; ``paddle.set_printoptions`` sets the digits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError

__all__ = ["format_values", "set_printoptions"]


@dataclass
class _Options:
    precision: int = 8
    threshold: int = 1000
    edgeitems: int = 3
    sci_mode: bool = False
    linewidth: int = 80


_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    sci_mode: bool | None = None,
    linewidth: int | None = None,
) -> None:
    """How tensors print: digits after the point, from how many elements on only the edges are shown and how many
    there, scientific notation, columns a line. None leaves an option as it is.

    Raises:
        ArgumentError: a negative number.
    """
    for name, value in list(locals().items()):
        if value is None:
            continue
        if not isinstance(value, int) or value < 0:
            raise ArgumentError(f"set_printoptions: {name} must be an integer from 0 on, got {value!r}")
        setattr(_options, name, value)


def format_values(values: np.ndarray[Any, Any], indent: int) -> str:
    """The values in brackets, lines after the first indented by so many columns."""
    if not values.size:
        return "[]"
    few = values.size > _options.threshold
    shown = _edges(values) if few else values
    items = [_item(value) for value in shown.ravel().tolist()]
    signed = any(item.startswith("-") for item in items)
    if signed:
        items = [item if item.startswith("-") else " " + item for item in items]
    width = max(map(len, items), default=0)
    padded = iter([item.ljust(width) for item in items])
    return _nested(values.shape, few, padded, indent, width) if values.ndim else items[0].strip()


def _edges(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    edge = _options.edgeitems
    for axis, size in enumerate(values.shape):
        if size > 2 * edge:
            values = values.take([*range(edge), *range(size - edge, size)], axis)
    return values


def _nested(shape: tuple[int, ...], few: bool, items: Any, indent: int, width: int) -> str:
    edge = _options.edgeitems
    cut = few and shape[0] > 2 * edge
    count = 2 * edge if cut else shape[0]
    if len(shape) == 1:
        parts = [next(items) for _ in range(count)]
    else:
        parts = [_nested(shape[1:], few, items, indent + 1, width) for _ in range(count)]
    if cut:
        parts.insert(edge, "...")
    pad = " " * (indent + 1)
    if len(shape) > 1:
        return "[" + ("," + "\n" * (len(shape) - 1) + pad).join(parts) + "]"
    each = max(1, (_options.linewidth - indent) // (width + 2))
    lines = [", ".join(parts[i : i + each]) for i in range(0, len(parts), each)]
    return "[" + (",\n" + pad).join(lines) + "]"


def _item(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    if isinstance(value, complex):
        return f"({_number(value.real)}{_number(value.imag, '+')}j)"
    if np.isnan(value):
        return "nan"
    if np.isinf(value):
        return "inf." if value > 0 else "-inf."
    if value == int(value) and not _options.sci_mode:
        return f"{value:.0f}."
    return _number(value)


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.{_options.precision}{'e' if _options.sci_mode else 'f'}}"
