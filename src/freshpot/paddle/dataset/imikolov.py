"""``paddle.dataset.imikolov``: the Penn Treebank as readers of n-grams, or of sentences and what follows in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from freshpot.paddle.text import Imikolov

__all__ = ["DataType", "build_dict", "test", "train"]


class DataType:
    """What a sample is: n words in a row, or a sentence and the same one word later."""

    NGRAM = 1
    SEQ = 2


def build_dict(min_word_freq: int = 50) -> dict[Any, int]:
    """Numbers of the words that occur more often than that; "<unk>" for the rest."""
    return Imikolov(window_size=1, min_word_freq=min_word_freq).word_idx


def _reader(mode: str, word_idx: Mapping[Any, int], n: int, data_type: int) -> Callable[[], Iterator[Any]]:
    data = Imikolov(None, "NGRAM" if data_type == DataType.NGRAM else "SEQ", n, mode, 0)
    rest = word_idx["<unk>"]
    known = [word_idx.get(word, rest) for word in data.word_idx]

    def changed(part: Any) -> Any:
        return [known[word] for word in part] if isinstance(part, list) else known[part]

    return lambda: (tuple(changed(part) for part in sample) for sample in data.data)


def train(
    word_idx: Mapping[Any, int], n: int, data_type: int = DataType.NGRAM
) -> Callable[[], Iterator[Any]]:
    """A reader of the training part, by the numbers of :func:`build_dict`."""
    return _reader("train", word_idx, n, data_type)


def test(
    word_idx: Mapping[Any, int],
    n: int,
    data_type: int = DataType.NGRAM,  # noqa: PT028 - a reader, no test
) -> Callable[[], Iterator[Any]]:
    """A reader of the test part."""
    return _reader("test", word_idx, n, data_type)
