"""``paddle.dataset.conll05``: sentences with a verb and the roles of their words, as a reader of nine lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from freshpot.paddle.text import Conll05st

__all__ = ["get_dict", "get_embedding", "test"]


def get_dict() -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Numbers of words, verbs and roles."""
    return Conll05st().get_dict()


def get_embedding() -> str:
    """The path of the words' vectors."""
    return Conll05st().get_embedding()


def test() -> Callable[[], Iterator[tuple[list[int], ...]]]:
    """A reader of the sentences."""
    data: Any = Conll05st()
    return lambda: (tuple(part.tolist() for part in data[place]) for place in range(len(data)))
