"""WMT14 and WMT16: sentences in two languages as numbers of words."""

from __future__ import annotations

import collections
import tarfile
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError
from freshpot.paddle._archives import choice, find_archive, member, reading
from freshpot.paddle.io.dataset import Dataset

__all__ = ["WMT14", "WMT16"]

_START, _END, _UNKNOWN = "<s>", "<e>", "<unk>"
_LONGEST = 80  # words; WMT14 leaves longer sentences out
_WORDS = {"en": 11250, "de": 19220}  # that WMT16 has


class _Pairs(Dataset):
    """Three rows a sample: the source, the target from its start, the target to its end."""

    src_ids: list[list[int]]
    trg_ids: list[list[int]]
    trg_ids_next: list[list[int]]

    def __getitem__(self, idx: int) -> tuple[Any, Any, Any]:
        return np.array(self.src_ids[idx]), np.array(self.trg_ids[idx]), np.array(self.trg_ids_next[idx])

    def __len__(self) -> int:
        return len(self.src_ids)


def _pairs(data: bytes) -> list[list[str]]:
    rows = (line.strip().split("\t") for line in data.decode().split("\n"))
    return [row for row in rows if len(row) == 2]


def _sized(who: str, size: int) -> int:
    if size <= 0:
        raise ArgumentError(f"{who}: the dictionary's size must be above 0, got {size}")
    return size


def _turned(words: dict[str, int], reverse: bool) -> dict[Any, Any]:
    return {number: word for word, number in words.items()} if reverse else words


class WMT14(_Pairs):
    """French sentences for English ones, from ``wmt14.tgz``, which has the dictionaries too.

    Args:
        mode: "train", "test" or "gen".
        dict_size: so many words of each dictionary are known.

    Raises:
        ArgumentError: another mode, no ``dict_size``. DataError: the archive is missing. FormatError: it is broken.
    """

    def __init__(
        self, data_file: str | None = None, mode: str = "train", dict_size: int = -1, download: bool = True
    ) -> None:
        self.mode = choice("WMT14", "mode", mode, ("train", "test", "gen"))
        self.dict_size = _sized("WMT14", dict_size)
        path = find_archive("WMT14", data_file, "wmt14", "wmt14.tgz", download)
        self.data_file = str(path)
        self.src_ids, self.trg_ids, self.trg_ids_next = [], [], []
        with reading(path), tarfile.open(path) as archive:
            self.src_dict, self.trg_dict = (self._words(archive, f"{side}.dict") for side in ("src", "trg"))
            for name in archive.getnames():
                if name.endswith(f"{self.mode}/{self.mode}"):
                    for source, target in _pairs(member(archive, name)):
                        self._take(source.split(), target.split())

    def _words(self, archive: tarfile.TarFile, end: str) -> dict[str, int]:
        names = [name for name in archive.getnames() if name.endswith(end)]
        if len(names) != 1:
            raise KeyError(f"{len(names)} files in it end in {end}, expected one")
        lines = member(archive, names[0]).decode().split("\n")[: self.dict_size]
        return {word.strip(): number for number, word in enumerate(lines)}

    def _take(self, source: list[str], target: list[str]) -> None:
        unknown = 2
        row = [self.src_dict.get(word, unknown) for word in (_START, *source, _END)]
        other = [self.trg_dict.get(word, unknown) for word in target]
        if len(row) <= _LONGEST and len(other) <= _LONGEST:
            self.src_ids.append(row)
            self.trg_ids.append([self.trg_dict[_START], *other])
            self.trg_ids_next.append([*other, self.trg_dict[_END]])

    def get_dict(self, reverse: bool = False) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Numbers by word of both languages; words by number with ``reverse``."""
        return _turned(self.src_dict, reverse), _turned(self.trg_dict, reverse)


class WMT16(_Pairs):
    """English sentences and German ones, from ``wmt16.tar.gz``; the dictionaries are made of its training half.

    Args:
        mode: "train", "test" or "val".
        src_dict_size, trg_dict_size: so many words are known, "<s>", "<e>" and "<unk>" among them.
        lang: the source, "en" or "de".

    Raises:
        ArgumentError: another mode or language, no sizes. DataError: the archive is missing. FormatError: it is broken.
    """

    def __init__(
        self,
        data_file: str | None = None,
        mode: str = "train",
        src_dict_size: int = -1,
        trg_dict_size: int = -1,
        lang: str = "en",
        download: bool = True,
    ) -> None:
        self.mode = choice("WMT16", "mode", mode, ("train", "test", "val"))
        self.lang = choice("WMT16", "lang", lang, ("en", "de"))
        other = "de" if self.lang == "en" else "en"
        self.src_dict_size = min(_sized("WMT16", src_dict_size), _WORDS[self.lang])
        self.trg_dict_size = min(_sized("WMT16", trg_dict_size), _WORDS[other])
        path = find_archive("WMT16", data_file, "wmt16", "wmt16.tar.gz", download)
        self.data_file = str(path)
        with reading(path), tarfile.open(path) as archive:
            training = _pairs(member(archive, "wmt16/train"))
            rows = training if self.mode == "train" else _pairs(member(archive, f"wmt16/{self.mode}"))
        source = 0 if self.lang == "en" else 1
        self.src_dict = _frequent([row[source] for row in training], self.src_dict_size)
        self.trg_dict = _frequent([row[1 - source] for row in training], self.trg_dict_size)
        self.src_ids, self.trg_ids, self.trg_ids_next = [], [], []
        for row in rows:
            target = [self.trg_dict.get(word, 2) for word in row[1 - source].split()]
            self.src_ids.append([0, *(self.src_dict.get(word, 2) for word in row[source].split()), 1])
            self.trg_ids.append([0, *target])
            self.trg_ids_next.append([*target, 1])

    def get_dict(self, lang: str, reverse: bool = False) -> dict[Any, Any]:
        """Numbers by word of "en" or "de"; words by number with ``reverse``."""
        known = self.src_dict if choice("WMT16", "lang", lang, ("en", "de")) == self.lang else self.trg_dict
        return _turned(known, reverse)


def _frequent(sentences: list[str], size: int) -> dict[str, int]:
    counts = collections.Counter(word for sentence in sentences for word in sentence.split())
    words = sorted(counts, key=lambda word: -counts[word])[: max(size - 3, 0)]
    return {word: number for number, word in enumerate([_START, _END, _UNKNOWN, *words])}
