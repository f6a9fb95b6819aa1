"""batch: samples of a reader (a function that gives an iterator) in lists, as in 1.x."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from freshpot.errors import ArgumentError

__all__ = ["batch"]


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
