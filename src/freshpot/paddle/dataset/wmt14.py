"""``paddle.dataset.wmt14``: sentences in two languages, as readers of (source, target, target one word later)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from freshpot.paddle.text import WMT14

__all__ = ["gen", "get_dict", "test", "train"]

Rows = tuple[list[int], list[int], list[int]]


def _reader(mode: str, dict_size: int) -> Callable[[], Iterator[Rows]]:
    data = WMT14(mode=mode, dict_size=dict_size)
    return lambda: zip(data.src_ids, data.trg_ids, data.trg_ids_next, strict=True)


def train(dict_size: int) -> Callable[[], Iterator[Rows]]:
    """A reader of the training part; so many words are known."""
    return _reader("train", dict_size)


def test(dict_size: int) -> Callable[[], Iterator[Rows]]:
    """A reader of the test part."""
    return _reader("test", dict_size)


def gen(dict_size: int) -> Callable[[], Iterator[Rows]]:
    """A reader of the part to translate."""
    return _reader("gen", dict_size)


def get_dict(dict_size: int, reverse: bool = True) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Words by number of both languages; numbers by word without ``reverse``."""
    return WMT14(dict_size=dict_size).get_dict(reverse)
