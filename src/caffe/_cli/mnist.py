"""``caffe convert_mnist_data``: MNIST's image and label files to a database of Datum records."""

from __future__ import annotations

import os
from typing import Any

from caffe import _log
from caffe._cli.flags import CommandError, Flag, UsageError
from freshpot.data.image_db import write_image_db
from freshpot.errors import DataError
from freshpot.formats.idx import read_idx

FLAGS = (Flag("backend", "lmdb", "kind of the database: lmdb or leveldb"),)
USAGE = "usage: caffe convert_mnist_data [FLAGS] IMAGES LABELS DATABASE      (IDX files, packed or not)"


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Convert; 0 when done.

    Raises:
        CommandError: the database exists already.
        DataError, FormatError: files that are not there, not IDX, or do not belong together.
    """
    if len(words) != 4:
        raise UsageError(USAGE)
    images, labels = (_read(path) for path in words[1:3])
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(
            f"{words[1]}, {words[2]}: expected images (N, rows, columns) and labels (N,), "
            f"found {images.shape} and {labels.shape}"
        )
    backend, path = flags["backend"], words[3]
    if os.path.exists(path):
        raise CommandError(
            "db_lmdb.cpp:13", f"Check failed: mkdir(source.c_str(), 0744) == 0 (-1 vs. 0) mkdir {path} failed"
        )
    _log.info("db_lmdb.cpp:35" if backend == "lmdb" else "db_leveldb.cpp:18", f"Opened {backend} {path}")
    _log.info("convert_mnist_data.cpp:88", f"A total of {len(images)} items.")
    _log.info("convert_mnist_data.cpp:89", f"Rows: {images.shape[1]} Cols: {images.shape[2]}")
    write_image_db(backend, path, images, labels, record="datum")
    _log.info("convert_mnist_data.cpp:108", f"Processed {len(images)} files.")
    return 0


def _read(path: str) -> Any:
    try:
        return read_idx(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
