"""``paddle.compat``: what programs for Python 2 and 3 at once use, as in 2.0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["floor_division", "get_exception_message", "long_type", "round", "to_bytes", "to_text"]

long_type = int


def _changed(obj: Any, change: Callable[[Any], Any], inplace: bool) -> Any:
    """A text, or what is in a list, set or dictionary."""
    if isinstance(obj, dict):
        made: Any = {change(key): change(value) for key, value in obj.items()}
    elif isinstance(obj, (list, set)):
        made = type(obj)(_changed(part, change, inplace) for part in obj)
    else:
        return change(obj)
    if not inplace:
        return made
    obj.clear()
    (obj.extend if isinstance(obj, list) else obj.update)(made)
    return obj


def to_text(obj: Any, encoding: str = "utf-8", inplace: bool = False) -> Any:
    """Bytes as text, also within lists, sets and dictionaries."""
    return _changed(obj, lambda one: one.decode(encoding) if isinstance(one, bytes) else one, inplace)


def to_bytes(obj: Any, encoding: str = "utf-8", inplace: bool = False) -> Any:
    """Text as bytes, also within lists, sets and dictionaries."""
    return _changed(obj, lambda one: one.encode(encoding) if isinstance(one, str) else one, inplace)


def round(x: float, d: int = 0) -> float:
    """Rounded to ``d`` digits, halves away from zero."""
    if not math.isfinite(x):
        return x
    scale = 10**d
    return math.copysign(math.floor(abs(x) * scale + 0.5) / scale, x)


def floor_division(x: Any, y: Any) -> Any:
    """x // y."""
    return x // y


def get_exception_message(exc: BaseException) -> str:
    """What an exception says."""
    return str(exc)
