"""Caffemodels read without their arrays: the same values as the message has, whoever wrote the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshpot.errors import FormatError
from freshpot.formats import caffemodel, protobuf, wire
from freshpot.formats.caffe_upgrade import upgrade_net
from freshpot.formats.model_file import ModelFile

COUNT = 3000
VALUES = np.arange(COUNT, dtype=np.float32) / 7


def _blobs(message: Any) -> None:
    for k in range(2):
        caffemodel.fill_blob(message.blobs.add(), (VALUES + k).reshape(30, 100), diff=VALUES if k else None)
    caffemodel.fill_blob(message.blobs.add(), VALUES[:5])


def _present(net: Any) -> None:
    _blobs(net.layer.add(name="a", type="InnerProduct"))
    net.layer.add(name="b", type="ReLU")


def _v1(net: Any) -> None:
    _blobs(net.layers.add(name="a", type=14))


def _v0(net: Any) -> None:
    old = net.layers.add()
    old.layer.name, old.layer.type = "a", "innerproduct"
    _blobs(old.layer)


def _doubles(net: Any) -> None:
    _present(net)
    blob = net.layer[0].blobs[0]
    blob.double_data.extend(blob.data)
    del blob.data[:]


def _read(path: Path) -> list[np.ndarray]:
    """All blobs, as the file is upgraded."""
    with ModelFile(path) as file:
        upgrade_net(file.net, path, lambda *_: None)
        found = []
        for layer in file.net.layer:
            for blob in layer.blobs:
                target = np.full(caffemodel.blob_shape(blob), np.nan, np.float32)
                file.values(blob)(target)
                found.append(target)
        return found


@pytest.mark.parametrize("make", [_present, _v1, _v0, _doubles], ids=lambda make: make.__name__)
def test_values_are_those_of_the_message(make: Callable[[Any], None], tmp_path: Path) -> None:
    net = protobuf.load("caffe").NetParameter(name="n")
    make(net)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    found = _read(path)
    assert [f.shape for f in found] == [(30, 100), (30, 100), (5,)]
    for values, wanted in zip(found, (VALUES, VALUES + 1, VALUES[:5]), strict=True):
        np.testing.assert_array_equal(values.ravel(), wanted)
    with ModelFile(path) as file:
        arrays = [len(b.data) for part in (file.net.layer, file.net.layers) for a in part for b in a.blobs]
        assert make in (_v0, _doubles) or arrays == [0, 0, 5]


def _chunk(number: int, content: bytes) -> bytes:
    return wire.encode_varint(number << 3 | wire.BYTES) + wire.encode_varint(len(content)) + content


_SHAPE = _chunk(7, _chunk(1, bytes([30, 100])))
_PACKED = _chunk(5, VALUES.tobytes())


@pytest.mark.parametrize(
    "blob",
    [
        _SHAPE + _PACKED,
        _PACKED + _SHAPE,
        _SHAPE + _chunk(5, VALUES[:1000].tobytes()) + _chunk(5, VALUES[1000:].tobytes()),
        _SHAPE + b"".join(bytes([5 << 3 | wire.FIXED32]) + v.tobytes() for v in VALUES),
        _chunk((1 << 29) - 1, b"0123456789abcdef") + _SHAPE + _PACKED,
        _SHAPE + _PACKED + _chunk((1 << 29) - 1, b"?"),
        _chunk(9, VALUES.astype("<f8").tobytes()) + _SHAPE + _PACKED,
    ],
    ids=["usual", "values first", "two parts", "not packed", "our field", "our field, broken", "double_diff"],
)
def test_any_layout_of_a_blob(blob: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(_chunk(100, _chunk(1, b"a") + _chunk(2, b"ReLU") + _chunk(7, blob)))
    np.testing.assert_array_equal(_read(path)[0].ravel(), VALUES)


@pytest.mark.parametrize("keep", [1, 40, 6000, 12000, -1])
def test_a_file_that_ends_early_is_refused_as_a_whole(keep: int, tmp_path: Path) -> None:
    net = protobuf.load("caffe").NetParameter()
    _present(net)
    path = tmp_path / "net.caffemodel"
    data = net.SerializeToString()[:keep]
    path.write_bytes(data)
    with pytest.raises(FormatError, match=f"{len(data)} bytes are not a complete caffe.NetParameter"):
        ModelFile(path)


def test_a_file_that_is_cut_while_it_is_open(tmp_path: Path) -> None:
    net = protobuf.load("caffe").NetParameter()
    _present(net)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(net.SerializeToString())
    with ModelFile(path) as file:
        write = file.values(file.net.layer[0].blobs[1], "layer 'a'")
        with path.open("r+b") as other:
            other.truncate(13000)
        with pytest.raises(FormatError, match=r"layer 'a'.*ends before"):
            write(np.zeros((30, 100), np.float32))


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(_chunk(100, _chunk(1, b"\xff") + _chunk(7, _SHAPE + _PACKED)))
    with pytest.raises(FormatError):
        ModelFile(path)
