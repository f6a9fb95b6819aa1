"""Curves whose x and y differ in length: the common tail is drawn, the last n of each, and it is said aloud.

matplotlib refuses them. Tutorials have them where a measurement was taken once more than it was counted; the newest
values belong together. Active only while a program runs under ``freshpot run`` (:mod:`figures`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["cut"]


@contextlib.contextmanager
def cut(say: Callable[[str], None]) -> Iterator[None]:
    """Let ``plot`` and ``scatter`` of matplotlib's axes take x and y of unequal length while the block runs.

    Args:
        say: told what was done, in words.
    """
    from matplotlib.axes import Axes

    axes: Any = Axes
    plain = {"plot": axes.plot, "scatter": axes.scatter}

    @functools.wraps(plain["plot"])
    def plot(self: Any, *args: Any, data: Any = None, **keywords: Any) -> Any:
        if data is None:
            args = tuple(part for group in _groups(args) for part in _pair(group, say))
        return plain["plot"](self, *args, data=data, **keywords)

    @functools.wraps(plain["scatter"])
    def scatter(self: Any, x: Any, y: Any, s: Any = None, c: Any = None, *args: Any, **keywords: Any) -> Any:
        if keywords.get("data") is None:
            sizes = {_count(x), _count(y)}
            x, y = _pair((x, y), say)
            if len(sizes) == 2:  # sizes and colours given one a point
                s, c = (_tail(v, _count(y)) if _count(v) in sizes else v for v in (s, c))
        return plain["scatter"](self, x, y, s, c, *args, **keywords)

    axes.plot, axes.scatter = plot, scatter
    try:
        yield
    finally:
        axes.plot, axes.scatter = plain["plot"], plain["scatter"]


def _groups(args: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """``x, y, format, x, y …`` in its parts, as ``plot`` takes them: two, and a format if one follows."""
    while args:
        size = 3 if len(args) > 2 and isinstance(args[2], str) else 2
        yield args[:size]
        args = args[size:]


def _pair(group: tuple[Any, ...], say: Callable[[str], None]) -> tuple[Any, ...]:
    """x, y and what follows them; x and y are cut where they must be."""
    if len(group) < 2:
        return group
    x, y, *more = group
    in_x, in_y = _count(x), _count(y)
    if not in_x or not in_y or in_x == in_y:  # no values, or as matplotlib wants them
        return group
    n = min(in_x, in_y)
    say(f"x has {in_x} values, y {in_y}: the last {n} are drawn")
    return (_tail(x, n), _tail(y, n), *more)


def _count(values: Any) -> int | None:
    """How many values; None for a single one, a text, or what has no number of them."""
    if isinstance(values, str | bytes | dict | set) or np.ndim(values) == 0:
        return None
    try:
        return len(values)
    except TypeError:
        return None


def _tail(values: Any, n: int | None) -> Any:
    """The last n; tables of pandas have their rows cut."""
    rows = getattr(values, "iloc", values)
    return rows[len(values) - (n or 0) :]
