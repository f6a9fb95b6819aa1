"""``paddle.dataset.imdb``: reviews of films as readers of (numbers of words, 0 for praise and 1 for blame)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from freshpot.paddle.text import Imdb

__all__ = ["test", "train", "word_dict"]


def word_dict(cutoff: int = 150) -> dict[Any, int]:
    """Numbers of the words that occur more than ``cutoff`` times; "<unk>" for the rest."""
    return Imdb(cutoff=cutoff).word_idx


def _reader(mode: str, word_idx: Mapping[Any, int]) -> Callable[[], Iterator[tuple[list[int], int]]]:
    data = Imdb(mode=mode, cutoff=0)
    rest = word_idx["<unk>"]
    known = [word_idx.get(word, rest) for word in data.word_idx]
    return lambda: (
        ([known[word] for word in review], label)
        for review, label in zip(data.docs, data.labels, strict=True)
    )


def train(word_idx: Mapping[Any, int]) -> Callable[[], Iterator[tuple[list[int], int]]]:
    """A reader of the training half, by the numbers of :func:`word_dict`."""
    return _reader("train", word_idx)


def test(word_idx: Mapping[Any, int]) -> Callable[[], Iterator[tuple[list[int], int]]]:
    """A reader of the test half."""
    return _reader("test", word_idx)
