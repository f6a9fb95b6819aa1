"""Stand-ins for the data sets that Paddle's tutorials download: drawn, in the originals' formats, mostly smaller.

Owned here: what is drawn, and that it is made while a program runs where :mod:`freshpot.paddle` finds no file (put up
by :mod:`freshpot.legacy.surroundings`). Everything is drawn from fixed seeds; what was made is noted. A network can
learn what they show, but what it then scores means nothing for the real data.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from freshpot.legacy.notes import Notes

__all__ = ["housing", "installed", "text"]

_WORDS = 300
_FEW = 40  # words by which praise and blame differ


@contextlib.contextmanager
def installed(folder: Path, notes: Notes) -> Iterator[None]:
    """Make files below ``folder`` for data sets that are not there, for the time of the block."""
    from freshpot.paddle import _archives

    def make(inner: str, name: str) -> Path | None:
        plain = name.rpartition("%2F")[2]
        found = _TABLE.get((inner, plain))
        if found is None:
            return None
        path = folder / inner / plain
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found[1]())
        notes.add(f"paddle's {plain}: {found[0]}; what is learnt from it means nothing for the real data")
        return path

    _archives.stand_ins.append(make)
    try:
        yield
    finally:
        _archives.stand_ins.remove(make)


def _tar(files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w:gz") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def _cifar(classes: int) -> bytes:
    """As many pictures as the original has. Those of a class share a coarse pattern of colours, moved, and noisy."""
    random = np.random.default_rng(32)
    patterns = random.integers(40, 216, (classes, 3, 4, 4), dtype=np.uint8).repeat(8, 2).repeat(8, 3)
    key = "labels" if classes == 10 else "fine_labels"

    def batch(count: int) -> bytes:
        labels = random.permutation(np.arange(count) % classes)
        images = patterns[labels] + random.integers(-40, 40, (count, 3, 32, 32), dtype=np.int8).view(np.uint8)
        moves = random.integers(0, 25, count)  # one of 5 x 5, by up to 4 pixels
        for move in range(25):
            images[moves == move] = np.roll(
                images[moves == move], (move // 5 * 2 - 4, move % 5 * 2 - 4), (2, 3)
            )
        return pickle.dumps({"data": images.reshape(count, 3072), key: labels.tolist()}, protocol=2)

    if classes == 10:
        names = [
            *(f"cifar-10-batches-py/data_batch_{n}" for n in range(1, 6)),
            "cifar-10-batches-py/test_batch",
        ]
        return _tar({name: batch(10_000) for name in names}, "w")
    return _tar({"cifar-100-python/train": batch(50_000), "cifar-100-python/test": batch(10_000)}, "w")


def _word(number: int) -> str:
    """A word that can be spoken: kalo, semi …"""
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    first, second = divmod(number, 70)
    return "".join(consonants[n // 5] + vowels[n % 5] for n in (first % 70, second))


def _sentence(random: np.random.Generator, words: int) -> list[str]:
    """Words that mostly follow from the one before."""
    word = int(random.integers(_WORDS))
    made = []
    for _ in range(words):
        made.append(_word(word))
        step = int(random.integers(1, 4)) if random.random() < 0.8 else int(random.integers(_WORDS))
        word = (word * 7 + step) % _WORDS
    return made


def text(lines: int = 4000) -> bytes:
    """Lines of drawn words, in place of a book."""
    random = np.random.default_rng(1609)
    rows = (" ".join(_sentence(random, int(random.integers(5, 11)))) for _ in range(lines))
    return "\n".join(row.capitalize() + ("." if n % 4 == 3 else ",") for n, row in enumerate(rows)).encode()


def _imdb() -> bytes:
    random = np.random.default_rng(2011)
    files = {}
    for half in ("train", "test"):
        for kind, begin in (("pos", 0), ("neg", _FEW)):
            for number in range(400):
                count = int(random.integers(50, 150))
                own = random.random(count) < 0.2
                words = np.where(
                    own, begin + random.integers(_FEW, size=count), random.integers(_WORDS, size=count)
                )
                files[f"aclImdb/{half}/{kind}/{number}_{9 if kind == 'pos' else 2}.txt"] = " ".join(
                    map(_word, words.tolist())
                ).encode()
    return _tar(files)


def _imikolov() -> bytes:
    random = np.random.default_rng(1993)
    sizes = {"train": 3000, "valid": 300, "test": 300}
    return _tar(
        {
            f"./simple-examples/data/ptb.{half}.txt": "".join(
                f" {' '.join(_sentence(random, int(random.integers(6, 20))))} \n" for _ in range(count)
            ).encode()
            for half, count in sizes.items()
        }
    )


def housing() -> bytes:
    """506 rows of 13 numbers and a price that mostly follows from them."""
    random = np.random.default_rng(1978)
    scale = np.array([9, 60, 20, 1, 0.8, 9, 99, 9, 24, 700, 22, 390, 35])
    rows = random.random((506, 13)) ** np.array([3, 2, 1, 3, 1, 0.4, 0.6, 1.5, 1, 1, 1, 0.2, 1.2]) * scale
    weights = np.array([-4, 1, -2, 3, -2, 18, -1, -3, 1, -2, -3, 2, -15]) / scale
    price = (20 + (rows - rows.mean(0)) @ weights + random.normal(0, 2, 506)).clip(5, 50)
    return "".join(
        " ".join(f"{v:9.4f}" for v in (*row, p)) + "\n" for row, p in zip(rows, price, strict=True)
    ).encode()


def _movielens() -> bytes:
    random = np.random.default_rng(1998)
    kinds = ["Action", "Comedy", "Drama", "Horror", "Romance", "Thriller"]
    films = [(int(random.integers(6)), _sentence(random, int(random.integers(1, 4)))) for _ in range(200)]
    users = [(random.choice(["M", "F"]), int(random.choice([1, 18, 25, 35, 45, 50, 56])), int(random.integers(21)))
             for _ in range(300)]  # fmt: skip
    rows = {
        "movies": [f"{n}::{' '.join(t).title()} ({1960 + n % 40})::{kinds[k]}|{kinds[(k + n % 3) % 6]}"
                   for n, (k, t) in enumerate(films, 1)],
        "users": [f"{n}::{g}::{a}::{j}::00000" for n, (g, a, j) in enumerate(users, 1)],
        "ratings": [],
    }  # fmt: skip
    for _ in range(6000):
        user, film = int(random.integers(300)), int(random.integers(200))
        liked = 3 + 1.5 * np.cos(films[film][0] + users[user][2]) + random.normal(0, 0.5)
        rows["ratings"].append(f"{user + 1}::{film + 1}::{int(np.clip(round(liked), 1, 5))}::978300000")
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, lines in rows.items():
            archive.writestr(f"ml-1m/{name}.dat", "\n".join(lines) + "\n")
    return made.getvalue()


def _pairs(random: np.random.Generator, count: int) -> bytes:
    """A sentence, and its words reversed: a language of its own."""
    rows = []
    for _ in range(count):
        words = _sentence(random, int(random.integers(3, 9)))
        rows.append(f"{' '.join(words)}\t{' '.join(word[::-1] for word in reversed(words))}\n")
    return "".join(rows).encode()


def _wmt14() -> bytes:
    random = np.random.default_rng(2014)
    own = [_word(n) for n in range(_WORDS)]
    words = {"src": own, "trg": [word[::-1] for word in own]}
    files = {
        f"wmt14/{side}.dict": "\n".join(["<s>", "<e>", "<unk>", *words[side], ""]).encode() for side in words
    }
    return _tar({**files, **{f"wmt14/{half}/{half}": _pairs(random, n) for half, n in
                             {"train": 2000, "test": 200, "gen": 100}.items()}})  # fmt: skip


def _wmt16() -> bytes:
    random = np.random.default_rng(2016)
    return _tar(
        {f"wmt16/{half}": _pairs(random, n) for half, n in {"train": 2000, "test": 200, "val": 200}.items()}
    )


_TABLE: dict[tuple[str, str], tuple[str, Callable[[], bytes]]] = {
    ("cifar", "cifar-10-python.tar.gz"): ("60,000 drawn patterns of ten kinds", lambda: _cifar(10)),
    ("cifar", "cifar-100-python.tar.gz"): ("60,000 drawn patterns of a hundred kinds", lambda: _cifar(100)),
    ("imdb", "aclImdb_v1.tar.gz"): ("1,600 reviews of drawn words", _imdb),
    ("imikolov", "simple-examples.tgz"): ("3,600 sentences of drawn words", _imikolov),
    ("uci_housing", "housing.data"): ("506 drawn rows", housing),
    ("sentiment", "ml-1m.zip"): ("6,000 drawn ratings", _movielens),
    ("wmt14", "wmt14.tgz"): ("2,300 pairs of sentences of drawn words", _wmt14),
    ("wmt16", "wmt16.tar.gz"): ("2,400 pairs of sentences of drawn words", _wmt16),
}
