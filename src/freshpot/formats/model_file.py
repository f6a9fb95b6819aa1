"""A binary caffemodel read without its numbers, which go from the file straight to where they belong.

Owned here: leaving the arrays out of a NetParameter, and finding them again. Who calls it: the Caffe door, where it
copies weights.

The message that is parsed has everything but the arrays. In place of each stands a field that BlobProto does not have,
which says where in the file it is; messages that are copied, as upgrading a net does, carry it along.
"""

from __future__ import annotations

import functools
import math
import os
import struct
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from freshpot.errors import FormatError
from freshpot.formats import protobuf, wire
from freshpot.formats.caffemodel import FloatArray, blob_shape, read_blob

#: what of a NetParameter leads to blobs: number of a field -> the same of its message, or the blob
_ROUTES: Any = {100: {7: "blob"}, 2: {6: "blob", 1: {50: "blob"}}}
#: fields of BlobProto; the last is ours
_DATA, _DIFF, _DOUBLES, _PLACE = 5, 6, (8, 9), (1 << 29) - 1
_HEAD = struct.Struct("<QQ")
#: bytes of a file that are looked at together, and from which on an array is left where it is
_WINDOW, _LARGE = 1 << 12, 1 << 12


class _Strange(Exception):
    """Not laid out as Caffe writes it: to be read as a whole."""


class ModelFile:
    """A caffemodel that is open: ``net`` is its NetParameter, not upgraded; the arrays are read by `values`.

    Raises:
        FormatError: the bytes are no complete NetParameter.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed by `__exit__`
        try:
            self.net = self._parse()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ModelFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _parse(self) -> Any:
        cls = protobuf.load("caffe").NetParameter
        try:
            data = _Bytes(self._file)
            return protobuf.parse_message(cls, _without_arrays(data, 0, len(data), _ROUTES), path=self._path)
        except (_Strange, FormatError):  # which is told of the whole
            return protobuf.parse_message(cls, Path(self._path).read_bytes(), path=self._path)

    def values(self, blob: Any, where: str | None = None) -> Callable[[FloatArray], None]:
        """What writes the values of a blob of ``net`` over a contiguous array of as many elements.

        Raises:
            FormatError: the blob has not as many values as its shape says; when writing: the file ends before.
        """
        place = _place(blob)
        if place is None:
            found = read_blob(blob, where=where, path=self._path)
            return lambda target: np.copyto(target, found.reshape(target.shape))
        begin, size = place
        shape = blob_shape(blob)
        if any(n < 0 for n in shape) or size != 4 * math.prod(shape):
            raise FormatError(
                f"a blob of shape {shape} has {size // 4} values, expected {math.prod(shape)}",
                path=self._path,
                where=where,
            )
        return functools.partial(self._read, begin, where)

    def _read(self, begin: int, where: str | None, target: FloatArray) -> None:
        self._file.seek(begin)
        rest: Any = target.reshape(-1).view(np.uint8).data
        while len(rest):
            read = self._file.readinto(rest)
            if not read:
                raise FormatError("the file ends before the blob does", path=self._path, where=where)
            rest = rest[read:]


class _Bytes:
    """The bytes of a file, looked at here and there."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self._begin, self._window = 0, b""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, at: int) -> int:
        if not 0 <= at - self._begin < len(self._window):
            self._begin, self._window = at, self.part(at, min(at + _WINDOW, self._size))
        return self._window[at - self._begin]

    def part(self, begin: int, end: int) -> bytes:
        """The bytes from one place to another."""
        if begin >= self._begin and end <= self._begin + len(self._window):
            return self._window[begin - self._begin : end - self._begin]
        self._file.seek(begin)
        pieces = []
        while begin < end:
            piece = self._file.read(end - begin)
            if not piece:
                raise _Strange
            pieces.append(piece)
            begin += len(piece)
        return b"".join(pieces)


def _without_arrays(data: _Bytes, begin: int, end: int, routes: Any) -> bytes:
    """The message that is a part of a file, with arrays of the blobs in it left out."""
    if sys.byteorder != "little":
        raise _Strange
    out = []
    for field in wire.scan_fields(data, begin, end):
        inner = routes.get(field.number) if field.wire_type == wire.BYTES else None
        if inner is None:
            out.append(data.part(begin, field.end))
        elif inner == "blob":
            out.append(wire.bytes_field(field.number, _blob_without_array(data, field.begin, field.end)))
        else:
            out.append(wire.bytes_field(field.number, _without_arrays(data, field.begin, field.end, inner)))
        begin = field.end
    return b"".join(out)


def _blob_without_array(data: _Bytes, begin: int, end: int) -> bytes:
    if end - begin < _LARGE:
        return data.part(begin, end)
    out, places = [], []
    for field in wire.scan_fields(data, begin, end):
        if field.number in (_DATA, _DIFF):
            size = field.end - field.begin
            if field.wire_type != wire.BYTES or size % 4:
                raise _Strange
            if field.number == _DATA:
                places.append(_HEAD.pack(field.begin, size))
        elif field.number in _DOUBLES or field.number == _PLACE:
            raise _Strange
        else:
            out.append(data.part(begin, field.end))
        begin = field.end
    if len(places) > 1:
        raise _Strange
    return b"".join([*out, *(wire.bytes_field(_PLACE, place) for place in places)])


def _place(blob: Any) -> tuple[int, int] | None:
    """Where in the file a blob's values begin, and how many bytes they are; None: the blob has them itself."""
    if len(blob.data) or len(blob.double_data):
        return None
    data = blob.SerializePartialToString()
    for field in wire.scan_fields(data):
        if field.number == _PLACE:
            begin, size = _HEAD.unpack(data[field.begin : field.end])
            return begin, size
    return None
