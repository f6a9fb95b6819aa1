"""Readers (functions that give iterators of samples), as in 1.x: in lists, in random order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from freshpot.errors import ArgumentError

__all__ = ["batch", "shuffle"]


def batch(
    reader: Callable[[], Any], batch_size: int, drop_last: bool = False
) -> Callable[[], Iterator[list[Any]]]:
    """A reader of lists of ``batch_size`` samples; the last may be shorter, unless it is dropped.

    Raises:
        ArgumentError: a size below 1.
    """
    if int(batch_size) < 1:
        raise ArgumentError(f"batch: batch_size must be 1 or more, got {batch_size}")

    def read() -> Iterator[list[Any]]:
        made: list[Any] = []
        for sample in reader():
            made.append(sample)
            if len(made) == batch_size:
                yield made
                made = []
        if made and not drop_last:
            yield made

    return read


def shuffle(reader: Callable[[], Any], buf_size: int) -> Callable[[], Iterator[Any]]:
    """A reader that gives the samples of another in random order, within so many at a time."""

    def read() -> Iterator[Any]:
        held: list[Any] = []
        for sample in reader():
            held.append(sample)
            if len(held) >= buf_size:
                random.shuffle(held)
                yield from held
                held = []
        random.shuffle(held)
        yield from held

    return read
