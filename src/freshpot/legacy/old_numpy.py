"""What numpy had in the time of the programs and has no more: names, and forms of calls."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["CHANGED", "GONE"]

_fromstring, _loadtxt = np.fromstring, np.loadtxt


def _from_string(string: Any, dtype: Any = float, count: int = -1, *, sep: str = "", **keywords: Any) -> Any:
    """``np.fromstring``; without a separator the bytes themselves, as an array that may be written to."""
    if sep:
        return _fromstring(string, dtype, count, sep=sep, **keywords)
    data = string.encode("latin-1") if isinstance(string, str) else string
    return np.frombuffer(data, dtype, count).copy()


def _load_text(*args: Any, **keywords: Any) -> Any:
    """``np.loadtxt``; with the end of a line for a delimiter a line is one value."""
    if keywords.get("delimiter") in ("\n", "\r\n"):
        keywords["delimiter"] = "\x1f"
    return _loadtxt(*args, **keywords)


def _random_integers(low: int, high: int | None = None, size: Any = None) -> Any:
    """Whole numbers from ``low`` to ``high``, both included; from 1 if only one bound is given."""
    return np.random.randint(*((1, low + 1) if high is None else (low, high + 1)), size=size)


def _built_in(name: str) -> Callable[[], Any]:
    return lambda: getattr(builtins, name)


_NAMES: dict[str, Callable[[], Any]] = {
    **{name: _built_in(name) for name in ("bool", "complex", "float", "int", "object", "str")},
    "long": lambda: int,
    "unicode": lambda: str,
    "bool8": lambda: np.bool_,
    "complex_": lambda: np.complex128,
    "float_": lambda: np.float64,
    "string_": lambda: np.bytes_,
    "unicode_": lambda: np.str_,
    "Inf": lambda: np.inf,
    "Infinity": lambda: np.inf,
    "infty": lambda: np.inf,
    "NaN": lambda: np.nan,
    "NINF": lambda: -np.inf,
    "PINF": lambda: np.inf,
    "alltrue": lambda: np.all,
    "asfarray": lambda: lambda a, dtype=np.float64: np.asarray(a, dtype),
    "asscalar": lambda: lambda a: a.item(),
    "cumproduct": lambda: np.cumprod,
    "in1d": lambda: lambda a, b, **keywords: np.isin(a, b, **keywords).ravel(),
    "msort": lambda: lambda a: np.sort(a, axis=0),
    "product": lambda: np.prod,
    "rank": lambda: np.ndim,
    "round_": lambda: np.round,
    "row_stack": lambda: np.vstack,
    "sometrue": lambda: np.any,
    "trapz": lambda: np.trapezoid,
}

#: names that today's numpy lacks; those that it still has keep their meaning
GONE: tuple[tuple[Any, dict[str, Any]], ...] = (
    (np, {name: make() for name, make in _NAMES.items() if name not in np.__dict__}),
    (np.random, {"random_integers": _random_integers}),
)
#: functions that take less than they took
CHANGED: tuple[tuple[Any, dict[str, Any]], ...] = ((np, {"fromstring": _from_string, "loadtxt": _load_text}),)
