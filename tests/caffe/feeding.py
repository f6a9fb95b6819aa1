"""What the tests of data layers share: nets from text, images, databases and files to feed them with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from freshpot.data.images import encode_image
from freshpot.data.reader import Mode, open_db
from freshpot.formats import caffemodel

F = np.float32
LEVELDB = pytest.param(
    "LEVELDB",
    marks=pytest.mark.skipif(
        sys.version_info >= (3, 13), reason="plyvel has no ready-made packages for Python 3.13 and later"
    ),
)


def net(text: str, phase: int = caffe.TRAIN) -> Any:
    return caffe.Net._from_text(text, phase)


def layer(kind: str, rest: str, tops: str = 'top: "data" top: "label"') -> str:
    return f'layer {{ name: "d" type: "{kind}" {tops} {rest} }}'


def pictures(count: int, shape: tuple[int, int, int] = (3, 6, 5)) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def put(path: str, datums: list[Any], db_type: str = "lmdb") -> None:
    with open_db(db_type, path, Mode.NEW) as database, database.transaction() as transaction:
        for index, datum in enumerate(datums):
            value = datum if isinstance(datum, bytes) else datum.SerializeToString()
            transaction.put(b"%05d" % index, value)


def datum(image: np.ndarray, label: int, **fields: Any) -> Any:
    channels, height, width = image.shape
    return caffe_pb2.Datum(
        channels=channels, height=height, width=width, label=label, data=image.tobytes(), **fields
    )


def mean_file(path: str, mean: np.ndarray) -> str:
    blob = caffe_pb2.BlobProto()
    caffemodel.fill_blob(blob, mean.astype(F))
    Path(path).write_bytes(blob.SerializeToString())
    return path


def data_layer(source: str, batch: int, transform: str = "", data: str = "", backend: str = "LMDB") -> str:
    return layer(
        "Data",
        f'data_param {{ source: "{source}" batch_size: {batch} backend: {backend} {data} }} '
        f"transform_param {{ {transform} }}",
    )


def image_files(images: np.ndarray, name: str = "list.txt") -> None:
    lines = []
    for k, image in enumerate(images):
        Path(f"image {k}.png").write_bytes(encode_image(image, "png"))
        lines.append(f"image {k}.png {k + 10}\n")
    Path(name).write_text("".join(lines))


def image_layer(batch: int, rest: str = "", source: str = "list.txt", transform: str = "") -> str:
    return layer(
        "ImageData",
        f'image_data_param {{ source: "{source}" batch_size: {batch} {rest} }} transform_param {{ {transform} }}',
    )
