"""``caffe extract_features``: what a net's blobs hold, batch after batch, to databases of Datum records."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from caffe import _files, _log, _mode
from caffe._cli.flags import CommandError, UsageError
from caffe._solver import nets
from caffe.proto import caffe_pb2
from freshpot.data.datum import array_to_datum
from freshpot.data.reader import Mode, Transaction, open_db
from freshpot.errors import DataError, near_matches

FLAGS = ()
#: the original shows only what it logs as errors, its progress too
LEVEL = _log.ERROR
USAGE = (
    "usage: caffe extract_features WEIGHTS NET.prototxt BLOB[,BLOB…] DATABASE[,DATABASE…] BATCHES lmdb|leveldb "
    "[CPU|GPU [DEVICE_ID=0]]\n\nThe net is run in phase TEST; each image's part of a blob becomes a record, "
    "with float data and the keys 0000000000, 0000000001 …"
)
_COMMIT_EVERY = 1000


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Extract; 0 when done.

    Raises:
        UsageError: too few words, or a number of batches that is none.
        CommandError: blobs that are not there, or not as many as databases.
        DataError: a file is not there, or a database exists already.
    """
    if len(words) < 7 or not words[5].isdigit():
        raise UsageError(USAGE)
    weights, model, blobs, paths = words[1], words[2], words[3].split(","), words[4].split(",")
    _choose_device(words[7:])
    try:
        net = _files.load_net(model, caffe_pb2.TEST)
    except OSError as error:
        raise DataError(f"{model}: the net cannot be read: {error.strerror or error}") from error
    nets.copy_weights(net, weights)
    if len(blobs) != len(paths):
        raise CommandError(
            "extract_features.cpp:107",
            f"there must be a database for each blob: {len(blobs)} blobs, {len(paths)} databases",
        )
    for name in blobs:
        if name not in net.blob_names:
            raise CommandError(
                "extract_features.cpp:113",
                f"Unknown feature blob name {name} in the network {model}.{near_matches(name, net.blob_names)}",
            )
    _extract(net, blobs, paths, int(words[5]), words[6])
    _log.error("extract_features.cpp:181", "Successfully extracted the features!")
    return 0


def _choose_device(words: list[str]) -> None:
    if words and words[0] == "GPU":
        number = int(words[1].rpartition("=")[2]) if len(words) > 1 else 0
        _log.error("extract_features.cpp:52", "Using GPU")
        _log.error("extract_features.cpp:58", f"Using Device_id={number}")
        _mode.set_device(number)
        _mode.set_mode_gpu()
        return
    _log.error("extract_features.cpp:62", "Using CPU")
    _mode.set_mode_cpu()


def _extract(net: Any, blobs: list[str], paths: list[str], batches: int, db_type: str) -> None:
    counts = [0] * len(blobs)
    with ExitStack() as stack:
        transactions: list[Transaction] = []
        for path in paths:
            _log.info("extract_features.cpp:125", f"Opening dataset {path}")
            database = stack.enter_context(open_db(db_type, path, Mode.NEW))
            transactions.append(stack.enter_context(database.transaction()))
        _log.error("extract_features.cpp:133", "Extracting Features")
        for _ in range(batches):
            net.forward_range(0, len(net.layers) - 1)
            for i, (name, transaction) in enumerate(zip(blobs, transactions, strict=True)):
                for image in _images(net.blob_list[net.blob_names.index(name)]):
                    transaction.put(b"%010d" % counts[i], array_to_datum(image))
                    counts[i] += 1
                    if counts[i] % _COMMIT_EVERY == 0:
                        transaction.commit()
                        _log.error("extract_features.cpp:165", _extracted(counts[i], name))
    for name, count in zip(blobs, counts, strict=True):
        _log.error("extract_features.cpp:176", _extracted(count, name))


def _extracted(count: int, name: str) -> str:
    return f"Extracted features of {count} query images for feature blob {name}"


def _images(blob: Any) -> np.ndarray:
    """A blob as (N, C, H, W); axes it lacks are 1."""
    values = np.asarray(blob.data_array(), np.float32)
    return values.reshape(blob.num, blob.channels, blob.height, blob.width)
