"""MNIST in the forms that the doors read, kept in the cache: written once, found again by what they hold."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from freshpot.data.cache import cache_folder
from freshpot.data.image_db import write_image_db
from freshpot.data.mnist import MnistSplit
from freshpot.formats.idx import write_idx

__all__ = ["IDX_NAMES", "caffe2_lmdb", "caffe_lmdb", "idx_folder", "split_digest"]

#: MNIST's own names of pictures and labels, by split
IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def caffe2_lmdb(split: MnistSplit) -> Path:
    """An LMDB of TensorProtos, as Caffe2's tutorial had it."""
    return _cached(
        "nchw-lmdb", split, lambda path: write_image_db("lmdb", path, split.images[:, None], split.labels)
    )


def caffe_lmdb(split: MnistSplit) -> Path:
    """An LMDB of Datum, as Caffe's ``create_mnist.sh`` made it."""
    return _cached(
        "datum-lmdb",
        split,
        lambda path: write_image_db("lmdb", path, split.images, split.labels, record="datum"),
    )


def idx_folder(split: MnistSplit) -> Path:
    """A folder with the two files of a split under MNIST's own names."""

    def write(path: Path) -> None:
        path.mkdir()
        for name, array in zip(IDX_NAMES[split.split], (split.images, split.labels), strict=True):
            write_idx(path / name, array)

    return _cached("idx", split, write)


def split_digest(split: MnistSplit) -> str:
    """A few hex digits that tell one data set from another."""
    return f"{zlib.crc32(split.labels.tobytes(), zlib.crc32(split.images.tobytes())):08x}"


def _cached(form: str, split: MnistSplit, write: Callable[[Path], object]) -> Path:
    """The folder of that form in the cache, written if it is not there yet."""
    kind = "synthetic" if split.synthetic else "mnist"
    folder = cache_folder("idx" if form == "idx" else "lmdb")
    path = folder / f"{kind}-{split.split}-{len(split)}-{split_digest(split)}-{form}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            write(part)
            part.rename(path)
        except OSError:
            if not path.exists():  # if it does, another process was quicker
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return path
