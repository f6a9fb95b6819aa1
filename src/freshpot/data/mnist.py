"""MNIST as a data set: found here, else downloaded, else (said aloud) replaced by synthetic digits.

Where it is looked for, in this order:

1. the folder the caller names, and nowhere else then;
2. ``FRESHPOT_DATA``: that folder, or the usual places below it (``mnist/``, ``MNIST/raw/`` …);
3. the cache (:func:`freshpot.data.cache.cache_folder`);
4. public mirrors, once per process, into the cache;
5. synthetic digits (:mod:`freshpot.data.synthetic`), unless ``strict``. They are never called MNIST.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.data.cache import cache_folder
from freshpot.data.download import RemoteFile, download_files
from freshpot.data.synthetic import load_synthetic
from freshpot.errors import DataError
from freshpot.formats.idx import read_idx

__all__ = ["SYNTHETIC", "MnistSplit", "find_mnist", "load_mnist"]

SYNTHETIC = "synthetic"
"""The name to give as ``folder`` to get synthetic digits by choice."""

SIDE = 28  # pixels
CLASSES = 10
STEMS = {"train": "train", "test": "t10k"}

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# Sizes and SHA-256 of the uncompressed files; smallest first.
FILES = (
    RemoteFile(
        "t10k-labels-idx1-ubyte.gz",
        10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    RemoteFile(
        "train-labels-idx1-ubyte.gz",
        60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    RemoteFile(
        "t10k-images-idx3-ubyte.gz",
        7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    RemoteFile(
        "train-images-idx3-ubyte.gz",
        47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
)

_PLACES = ("", "mnist", "MNIST", "raw", "mnist/raw", "MNIST/raw")
_download_failed: str | None = None  # why; a process tries once
_announced = False


@dataclass(frozen=True)
class MnistSplit:
    """One half of the data set.

    Attributes:
        images: (N, 28, 28) uint8, 0 is paper, 255 is ink.
        labels: (N,) uint8, 0 to 9.
        source: ``"synthetic"``, or the folder the files were read from.
        split: ``"train"`` or ``"test"``.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    source: str
    split: str

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def synthetic(self) -> bool:
        """True when these are not MNIST but drawn by freshpot."""
        return self.source == SYNTHETIC

    @property
    def title(self) -> str:
        """What to call it in front of people: ``"MNIST"`` or ``"synthetic digits"``."""
        return "synthetic digits" if self.synthetic else "MNIST"


def load_mnist(
    folder: str | os.PathLike[str] | None = None,
    split: str = "train",
    *,
    limit: int | None = None,
    strict: bool = False,
) -> MnistSplit:
    """MNIST's training or test half, in file order.

    Args:
        folder: with the IDX files (plain or .gz); ``"synthetic"`` for synthetic digits; None to search.
        split: ``"train"`` (60000) or ``"test"`` (10000).
        limit: only the first so many.
        strict: where MNIST cannot be had, raise instead of taking synthetic digits.

    Raises:
        DataError: the named folder lacks files, files do not fit together, or (strict) no MNIST at all.
        FormatError: a file is broken.
    """
    if split not in STEMS:
        raise DataError(f"MNIST has no split {split!r}; choose 'train' or 'test'")
    if limit is not None and limit < 1:
        raise DataError(f"the limit must be at least 1 image, got {limit}")
    if folder is not None and os.fspath(folder) == SYNTHETIC:
        return _synthetic(split, limit)
    place = _named_folder(Path(folder), split) if folder is not None else find_mnist(split)
    if place is None:
        place = _download(split)
    if place is not None:
        return _read(place, split, limit)
    if strict:
        raise DataError(f"MNIST was not found: {_download_failed}. {_ADVICE}")
    _announce()
    return _synthetic(split, limit)


def find_mnist(split: str = "train") -> Path | None:
    """The folder that holds this split's two files on this machine, or None. No network.

    Raises:
        DataError: ``FRESHPOT_DATA`` names a folder that does not exist.
    """
    named = os.environ.get("FRESHPOT_DATA")
    if named:
        base = Path(named).expanduser()
        if not base.is_dir():
            raise DataError(f"FRESHPOT_DATA names {base}, which is not a folder; mend or unset it")
        found = _search(base, split)
        if found is not None:
            return found
    return _search(cache_folder(), split)


_ADVICE = "Put MNIST's four files in a folder and name it with --data or FRESHPOT_DATA"


def _file(folder: Path, stem: str, kind: str, axes: int) -> Path | None:
    """The file, under one of the names it goes by."""
    for name in (f"{stem}-{kind}-idx{axes}-ubyte", f"{stem}-{kind}.idx{axes}-ubyte"):
        for path in (folder / f"{name}.gz", folder / name):
            if path.is_file():
                return path
    return None


def _pair(folder: Path, split: str) -> tuple[Path | None, Path | None]:
    return _file(folder, STEMS[split], "images", 3), _file(folder, STEMS[split], "labels", 1)


def _search(base: Path, split: str) -> Path | None:
    return next((base / p for p in _PLACES if all(_pair(base / p, split))), None)


def _named_folder(folder: Path, split: str) -> Path:
    """``folder`` or the place below it that has the files; complain where there is none."""
    folder = folder.expanduser()
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}. {_ADVICE}, or say 'synthetic'")
    found = _search(folder, split)
    if found is not None:
        return found
    images, labels = _pair(folder, split)
    stem = STEMS[split]
    missing = [] if images else [f"{stem}-images-idx3-ubyte[.gz]"]
    missing += [] if labels else [f"{stem}-labels-idx1-ubyte[.gz]"]
    raise DataError(f"{folder} does not hold MNIST's {split} files: missing {' and '.join(missing)}")


def _download(split: str) -> Path | None:
    """Try the mirrors, once per process; the folder, or None."""
    global _download_failed
    if _download_failed is not None:
        return None
    folder = cache_folder("mnist")
    print(f"freshpot: MNIST is not on this machine, trying to download it to {folder}", file=sys.stderr)
    try:
        download_files(FILES, MIRRORS, folder)
    except (DataError, OSError) as error:
        _download_failed = str(error)
        return None
    return _search(folder, split)


def _announce() -> None:
    """Say once, in one line, that what follows is not MNIST."""
    global _announced
    if not _announced:
        _announced = True
        print(
            f"freshpot: using SYNTHETIC digits, not MNIST ({_download_failed}). {_ADVICE}.",
            file=sys.stderr,
        )


def _synthetic(split: str, limit: int | None) -> MnistSplit:
    images, labels = load_synthetic(split, limit)
    return MnistSplit(images, labels, SYNTHETIC, split)


def _read(folder: Path, split: str, limit: int | None) -> MnistSplit:
    """Read and check one pair of files."""
    image_path, label_path = _pair(folder, split)
    if image_path is None or label_path is None:
        raise DataError(f"{folder}: MNIST's {split} files were there a moment ago and are gone")
    images, labels = read_idx(image_path), read_idx(label_path)
    _check(images, image_path, (SIDE, SIDE))
    _check(labels, label_path, ())
    if len(images) != len(labels):
        raise DataError(
            f"{folder}: {len(images)} images in {image_path.name}, {len(labels)} labels in {label_path.name}"
        )
    if labels.max() >= CLASSES:
        raise DataError(f"{label_path}: labels up to {labels.max()}, expected 0 to {CLASSES - 1}")
    return MnistSplit(images[:limit], labels[:limit], str(folder), split)


def _check(array: NDArray[Any], path: Path, item: tuple[int, ...]) -> None:
    if array.dtype != np.uint8 or array.ndim != 1 + len(item) or array.shape[1:] != item or not len(array):
        wanted = " x ".join(["N", *map(str, item)])
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}, expected uint8 of {wanted}, N > 0"
        )
