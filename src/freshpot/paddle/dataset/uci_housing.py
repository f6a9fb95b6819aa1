"""``paddle.dataset.uci_housing``: houses as readers of (13 numbers, price)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from freshpot.paddle.text import UCIHousing

__all__ = ["feature_names", "test", "train"]

feature_names = [
    "CRIM",
    "ZN",
    "INDUS",
    "CHAS",
    "NOX",
    "RM",
    "AGE",
    "DIS",
    "RAD",
    "TAX",
    "PTRATIO",
    "B",
    "LSTAT",
]


def _reader(mode: str) -> Callable[[], Iterator[tuple[Any, Any]]]:
    rows = UCIHousing(mode=mode).data
    return lambda: ((row[:-1], row[-1:]) for row in rows)


def train() -> Callable[[], Iterator[tuple[Any, Any]]]:
    """A reader of four fifths of the houses."""
    return _reader("train")


def test() -> Callable[[], Iterator[tuple[Any, Any]]]:
    """A reader of the others."""
    return _reader("test")
