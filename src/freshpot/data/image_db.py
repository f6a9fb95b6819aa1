"""Writing a labelled image set as a database, as ``make_mnist_db`` and ``convert_mnist_data`` do.

Called by the command line and by programs that prepare their data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freshpot.data.datum import array_to_datum
from freshpot.data.reader import Mode, open_db
from freshpot.data.tensor_protos import encode_tensors
from freshpot.errors import DataError, near_matches

__all__ = ["write_image_db"]

#: Records in one transaction, as the originals' tools do.
_COMMIT_EVERY = 1000


def write_image_db(
    db_type: str,
    path: str | os.PathLike[str],
    images: NDArray[Any],
    labels: NDArray[Any],
    *,
    record: str = "tensor_protos",
) -> None:
    """Write images and labels as a new database; keys are ``00000000``, ``00000001`` …

    Args:
        db_type, path: as in ``open_db``, mode NEW.
        images: (N, C, H, W) or (N, H, W), uint8 or float32.
        labels: (N,) integers.
        record: "tensor_protos" (Caffe2: the image, then the label as INT32 without dims) or "datum" (Caffe).

    Raises:
        DataError: counts or shapes that do not fit, an unknown record kind, or (LMDB) an existing path.
    """
    encoders: dict[str, Callable[[NDArray[Any], int], bytes]] = {
        "tensor_protos": lambda image, label: encode_tensors(image, np.int32(label)),
        "datum": array_to_datum,
    }
    if record not in encoders:
        raise DataError(
            f"unknown kind of record {record!r}, expected {' or '.join(encoders)}.{near_matches(record, encoders)}"
        )
    if images.ndim not in (3, 4) or labels.shape != images.shape[:1]:
        raise DataError(
            f"images of shape {images.shape} with labels of shape {labels.shape}: expected (N, C, H, W) or "
            "(N, H, W), and (N,)"
        )
    encode = encoders[record]
    with open_db(db_type, path, Mode.NEW) as database, database.transaction() as transaction:
        for index, label in enumerate(labels.tolist()):
            image = images[index] if images.ndim == 4 else images[index][None]
            transaction.put(b"%08d" % index, encode(image, label))
            if (index + 1) % _COMMIT_EVERY == 0:
                transaction.commit()
