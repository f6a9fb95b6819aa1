"""``paddle.dataset.wmt16``: sentences in two languages, as readers of (source, target, target one word later)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from freshpot.paddle.text import WMT16

__all__ = ["get_dict", "test", "train", "validation"]

Rows = tuple[list[int], list[int], list[int]]


def _reader(mode: str, source: int, target: int, lang: str) -> Callable[[], Iterator[Rows]]:
    data = WMT16(None, mode, source, target, lang)
    return lambda: zip(data.src_ids, data.trg_ids, data.trg_ids_next, strict=True)


def train(src_dict_size: int, trg_dict_size: int, src_lang: str = "en") -> Callable[[], Iterator[Rows]]:
    """A reader of the training part; so many words are known."""
    return _reader("train", src_dict_size, trg_dict_size, src_lang)


def test(
    src_dict_size: int,
    trg_dict_size: int,
    src_lang: str = "en",  # noqa: PT028 - a reader, no test
) -> Callable[[], Iterator[Rows]]:
    """A reader of the test part."""
    return _reader("test", src_dict_size, trg_dict_size, src_lang)


def validation(src_dict_size: int, trg_dict_size: int, src_lang: str = "en") -> Callable[[], Iterator[Rows]]:
    """A reader of the validation part."""
    return _reader("val", src_dict_size, trg_dict_size, src_lang)


def get_dict(lang: str, dict_size: int, reverse: bool = False) -> dict[Any, Any]:
    """Numbers by word of "en" or "de"; words by number with ``reverse``."""
    return WMT16(src_dict_size=dict_size, trg_dict_size=dict_size).get_dict(lang, reverse)
