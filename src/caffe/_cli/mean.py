"""``caffe compute_image_mean``: the mean image of a database of Datum records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from caffe import _log
from caffe._cli.flags import Flag, UsageError
from caffe.proto import caffe_pb2
from freshpot.data.datum import datum_decoder
from freshpot.data.images import decode_image
from freshpot.data.reader import open_db
from freshpot.errors import DataError, FormatError
from freshpot.formats.atomic import write_bytes

FLAGS = (Flag("backend", "lmdb", "kind of the database: lmdb or leveldb"),)
USAGE = "usage: caffe compute_image_mean [FLAGS] DATABASE [OUTPUT.binaryproto]"
_SAY_EVERY = 10_000
_AT_ONCE = 500


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Compute, print, and write if a file is named; 0 when done.

    Raises:
        DataError: no such database, or an empty one.
        FormatError: images of several shapes.
    """
    if len(words) not in (2, 3):
        raise UsageError(USAGE)
    mean = mean_image(flags["backend"], words[1])
    if len(words) == 3:
        _log.info("compute_image_mean.cpp:108", f"Write to {words[2]}")
        blob = caffe_pb2.BlobProto(num=1, channels=mean.shape[0], height=mean.shape[1], width=mean.shape[2])
        blob.data.extend(mean.ravel().tolist())
        write_bytes(words[2], blob.SerializeToString())
    _log.info("compute_image_mean.cpp:114", f"Number of channels: {len(mean)}")
    for c, plane in enumerate(mean):
        value = np.cumsum(plane.ravel())[-1] / np.float32(plane.size)  # one after the other, as the original
        _log.info("compute_image_mean.cpp:119", f"mean_value channel [{c}]: {value:g}")
    return 0


def mean_image(db_type: str, path: str) -> np.ndarray:
    """The mean of all images of a database, (C, H, W) float32."""
    total, count = None, 0
    for images in _batches(db_type, path):
        if total is None:
            total = np.zeros(images.shape[1:], np.float64)
        if images.shape[1:] != total.shape:
            raise FormatError(
                f"images must all have one shape; the first has {total.shape}, another {images.shape[1:]}",
                path=path,
            )
        total += images.sum(0, np.float64)
        before, count = count, count + len(images)
        if before // _SAY_EVERY != count // _SAY_EVERY:
            _log.info("compute_image_mean.cpp:95", f"Processed {count // _SAY_EVERY * _SAY_EVERY} files.")
    if total is None:
        raise DataError(f"{path}: the database has no records")
    if count % _SAY_EVERY:
        _log.info("compute_image_mean.cpp:101", f"Processed {count} files.")
    return (total / count).astype(np.float32)


def _batches(db_type: str, path: str) -> Iterator[np.ndarray]:
    decoder = datum_decoder(lambda data, where: decode_image(data, None, where=where))
    with open_db(db_type, path) as database:
        _log.info("db_lmdb.cpp:35", f"Opened {db_type} {path}")
        cursor = database.cursor()
        _log.info("compute_image_mean.cpp:70", "Starting iteration")
        while records := (cursor.take(_AT_ONCE) if cursor.valid else []):
            yield decoder.decode(records)[0]
