"""protodb, Caffe2's store for small sets: one TensorProtos message, each tensor under its own name.

Opened through ``reader.open_db("protodb", …)``. The whole file is in memory while it is open.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

from freshpot.data import reader
from freshpot.data.reader import Mode, Record
from freshpot.errors import DataError, FormatError
from freshpot.formats import protobuf
from freshpot.formats.atomic import write_bytes

_PB = protobuf.load("caffe2")
#: What a file may start with: the first tensor, then its length, then its dims or its type.
_FIRST_TENSOR, _FIRST_FIELDS = 0x0A, (b"\x08", b"\x0a", b"\x10")


class ProtoDB(reader.Database):
    """A protodb file, written as a whole when it is closed. NEW replaces a file that is there."""

    def __init__(self, path: str | os.PathLike[str], mode: Mode = Mode.READ) -> None:
        super().__init__(path, mode)
        self._tensors = _PB.TensorProtos()
        if mode is Mode.NEW:
            reader.announce(self)
        elif self.path.is_file():
            self._tensors = protobuf.parse_message(_PB.TensorProtos, self.path.read_bytes(), path=self.path)
        else:
            raise DataError(f"{self.path}: no such protodb file")
        self._names = {tensor.name for tensor in self._tensors.protos}
        self._unwritten = mode is not Mode.READ

    def cursor(self) -> ProtoDBCursor:
        self.need(Mode.READ)
        records = [(tensor.name.encode(), tensor.SerializeToString()) for tensor in self._tensors.protos]
        return ProtoDBCursor(self.path, records)

    def transaction(self) -> ProtoDBTransaction:
        self.need(Mode.WRITE, Mode.NEW)
        return ProtoDBTransaction(self)

    def append(self, tensor: Any) -> None:
        """Add one tensor; its name must be new."""
        if not self._unwritten:
            raise DataError(f"{self.path}: the database is closed, nothing can be written")
        if tensor.name in self._names:
            raise DataError(f"{self.path}: there is a tensor {tensor.name!r} already")
        self._names.add(tensor.name)
        self._tensors.protos.append(tensor)

    def publish(self) -> None:
        write_bytes(self.path, self._tensors.SerializeToString())

    def close(self) -> None:
        if self._unwritten:
            self._unwritten = False
            self.publish()

    def discard(self) -> None:
        self._unwritten = False


class ProtoDBTransaction(reader.Transaction):
    """Tensors kept until they are committed; dropping the transaction commits, as the original."""

    def __init__(self, database: ProtoDB) -> None:
        self._database = database
        self._tensors: list[Any] = []

    def put(self, key: bytes, value: bytes) -> None:
        where = f"record {key.decode('utf-8', 'backslashreplace')!r}"
        tensor = protobuf.parse_message(_PB.TensorProto, value, path=self._database.path, where=where)
        if tensor.name.encode() != key:
            raise FormatError(
                f"protodb holds tensors under their own names, this one is named {tensor.name!r}",
                path=self._database.path,
                where=where,
            )
        self._tensors.append(tensor)

    def commit(self) -> None:
        tensors, self._tensors = self._tensors, []
        for tensor in tensors:
            self._database.append(tensor)

    def abort(self) -> None:
        self._tensors = []

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.commit()


class ProtoDBCursor(reader.Cursor):
    """Reads front to back."""

    def __init__(self, path: Path, records: list[Record]) -> None:
        self._path = path
        self._records = records
        self._index = 0

    @property
    def valid(self) -> bool:
        return self._index < len(self._records)

    def key(self) -> bytes:
        return self._current()[0]

    def value(self) -> bytes:
        return self._current()[1]

    def next(self) -> None:
        self._index += 1

    def seek_to_first(self) -> None:
        self._index = 0

    def _current(self) -> Record:
        if not self.valid:
            raise DataError(f"{self._path}: the cursor is past the last of {len(self._records)} records")
        return self._records[self._index]


def _matches(path: Path) -> bool:
    """A file that starts with a tensor in a list (an empty file is an empty list)."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    if not head:
        return True
    length_end = next((index for index in range(1, len(head)) if head[index] < 0x80), len(head))
    return head[0] == _FIRST_TENSOR and head[length_end + 1 : length_end + 2] in _FIRST_FIELDS


reader.register_store("protodb", ProtoDB, _matches)
