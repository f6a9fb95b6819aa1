"""Imdb and Imikolov: texts as numbers of words, by how often words occur."""

from __future__ import annotations

import collections
import re
import string
import tarfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from freshpot.errors import ArgumentError
from freshpot.paddle._archives import choice, find_archive, member, reading
from freshpot.paddle.io.dataset import Dataset

__all__ = ["Imdb", "Imikolov"]


def numbered(counts: dict[Any, int], cutoff: int, unknown: str = "<unk>") -> dict[Any, int]:
    """A number for each word that occurs more than ``cutoff`` times, the most frequent first, then one for the rest."""
    frequent = sorted(
        (word for word in counts if counts[word] > cutoff), key=lambda word: (-counts[word], word)
    )
    return {**{word: number for number, word in enumerate(frequent)}, unknown: len(frequent)}


class Imdb(Dataset):
    """Reviews of films: numbers of words, and [0] for praise or [1] for blame. From ``aclImdb_v1.tar.gz``.

    Args:
        data_file: the archive; None: where :mod:`freshpot.paddle._archives` looks.
        mode: "train" or "test".
        cutoff: words must occur more often to have a number of their own.

    Attributes:
        word_idx: numbers by word (bytes); "<unk>" for the rest.

    Raises:
        ArgumentError: another mode. DataError: the archive is missing. FormatError: it is broken, or has no reviews.
    """

    def __init__(
        self, data_file: str | None = None, mode: str = "train", cutoff: int = 150, download: bool = True
    ) -> None:
        self.mode = choice("Imdb", "mode", mode, ("train", "test"))
        path = find_archive("Imdb", data_file, "imdb", "imdb%2FaclImdb_v1.tar.gz", download)
        self.data_file = str(path)
        reviews: dict[tuple[str, str], list[list[bytes]]] = collections.defaultdict(list)
        pattern = re.compile(r"aclImdb/(train|test)/(pos|neg)/.*\.txt$")
        drop = string.punctuation.encode()
        with reading(path), tarfile.open(path) as archive:
            for entry in archive:
                hit = pattern.match(entry.name)
                file = archive.extractfile(entry) if hit else None
                if hit and file is not None:
                    words = file.read().rstrip(b"\n\r").translate(None, drop).lower().split()
                    reviews[hit[1], hit[2]].append(words)
            if not reviews:
                raise ValueError("no aclImdb/train/pos/*.txt and so on in it")
        self.word_idx = numbered(
            collections.Counter(word for part in reviews.values() for review in part for word in review),
            cutoff,
        )
        rest = self.word_idx["<unk>"]
        self.docs, self.labels = [], []
        for label, kind in enumerate(("pos", "neg")):
            for review in reviews[self.mode, kind]:
                self.docs.append([self.word_idx.get(word, rest) for word in review])
                self.labels.append(label)

    def __getitem__(self, idx: int) -> tuple[Any, Any]:
        return np.array(self.docs[idx]), np.array([self.labels[idx]])

    def __len__(self) -> int:
        return len(self.docs)


class Imikolov(Dataset):
    """The Penn Treebank as numbers of words, from ``simple-examples.tgz``.

    Args:
        data_type: "NGRAM": ``window_size`` words in a row; "SEQ": a sentence, and the same one word later.
        window_size: words of an n-gram; for "SEQ" the longest sentence that is kept, if above 0.
        min_word_freq: words must occur more often to have a number of their own.

    Raises:
        ArgumentError: another mode or kind, n-grams without ``window_size``.
        DataError: the archive is missing. FormatError: it is broken.
    """

    def __init__(
        self,
        data_file: str | None = None,
        data_type: str = "NGRAM",
        window_size: int = -1,
        mode: str = "train",
        min_word_freq: int = 50,
        download: bool = True,
    ) -> None:
        self.data_type = choice("Imikolov", "data_type", data_type, ("ngram", "seq")).upper()
        self.mode = choice("Imikolov", "mode", mode, ("train", "test"))
        if self.data_type == "NGRAM" and window_size < 0:
            raise ArgumentError("Imikolov: n-grams want window_size, the number of words in a row")
        self.window_size, self.min_word_freq = window_size, min_word_freq
        path = find_archive("Imikolov", data_file, "imikolov", "imikolov%2Fsimple-examples.tgz", download)
        self.data_file = str(path)
        with reading(path), tarfile.open(path) as archive:
            text = {
                part: [
                    line.strip().split()
                    for line in member(archive, f"simple-examples/data/ptb.{part}.txt").splitlines()
                ]
                for part in {"train", "valid", self.mode}
            }
        self.word_idx = self._numbers([*text["train"], *text["valid"]])
        self.data: list[tuple[Any, ...]] = []
        for line in text[self.mode]:
            self._take(line)

    def _numbers(self, lines: Iterable[list[bytes]]) -> dict[Any, int]:
        counts: collections.Counter[Any] = collections.Counter()
        for line in lines:
            counts.update(line)
            counts["<s>"] += 1
            counts["<e>"] += 1
        counts.pop("<unk>", None)
        frequent = [word for word in counts if counts[word] > self.min_word_freq]
        order = sorted(
            frequent, key=lambda word: (-counts[word], word if isinstance(word, bytes) else word.encode())
        )
        return {**{word: number for number, word in enumerate(order)}, "<unk>": len(order)}

    def _take(self, words: list[bytes]) -> None:
        numbers, rest = self.word_idx, self.word_idx["<unk>"]
        known = [numbers.get(word, rest) for word in words]
        start, end = numbers.get("<s>", rest), numbers.get("<e>", rest)
        if self.data_type == "NGRAM":
            row, size = [start, *known, end], self.window_size
            self.data += [tuple(row[last - size : last]) for last in range(size, len(row) + 1)]
        elif not 0 < self.window_size < len(known) + 1:
            self.data.append(([start, *known], [*known, end]))

    def __getitem__(self, idx: int) -> tuple[Any, ...]:
        return tuple(np.array(part) for part in self.data[idx])

    def __len__(self) -> int:
        return len(self.data)
