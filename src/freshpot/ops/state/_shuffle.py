"""Shuffling as C++ does without a seed: always the same.

Owned here: that. Who calls it: `sort_and_shuffle`. Source: the C++ standard (minstd_rand0), GCC's library (shuffle).
"""

from __future__ import annotations

from typing import Any

_MODULUS = 2**31 - 1
_RANGE = _MODULUS - 2


class _Engine:
    """The numbers 1 … 2**31 - 2, each 16807 times the one before."""

    def __init__(self) -> None:
        self._state = 1

    def below(self, count: int) -> int:
        """A number from 0 to count - 1, all as likely."""
        if _RANGE <= count - 1:
            raise ValueError(f"{count} is too many to choose from")
        scale = _RANGE // count
        while True:
            self._state = self._state * 16807 % _MODULUS
            found = self._state - 1
            if found < count * scale:
                return found // scale


def shuffle(items: list[Any]) -> None:
    """Shuffle a list in place, as std::shuffle does with a new std::default_random_engine."""
    engine, size = _Engine(), len(items)

    def swap(i: int, j: int) -> None:
        items[i], items[j] = items[j], items[i]

    if not size:
        return
    if _RANGE // size < size:
        for i in range(1, size):
            swap(i, engine.below(i + 1))
        return
    i = 1
    if size % 2 == 0:
        swap(1, engine.below(2))
        i = 2
    while i < size:  # two places from one number
        both = engine.below((i + 1) * (i + 2))
        swap(i, both // (i + 2))
        swap(i + 1, both % (i + 2))
        i += 2
