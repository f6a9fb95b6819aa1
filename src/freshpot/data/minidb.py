"""minidb, Caffe2's own store: one file of records, key size, value size (int32 each), key, value.

Opened through ``reader.open_db("minidb", …)``; exported predictors and checkpoints are such files.
Records stand in the order in which they were written, and keys may repeat.
"""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from freshpot.data import reader
from freshpot.data.blocks import Block
from freshpot.data.reader import Mode, Record
from freshpot.errors import DataError, FormatError
from freshpot.formats.atomic import atomic_write
from freshpot.formats.nearby import looked_in

_SIZES = struct.Struct("<ii")
_MAX_SIZE = 2**31 - 1
#: Sizes that no key of a real file has; larger ones mean "not a minidb" when a path is looked at.
_PLAUSIBLE_KEY = 4096
#: records of one size that are hoped for at once: twice as many after each success
_FIRST_HOPED, _MOST_HOPED = 64, 8192


class MiniDB(reader.Database):
    """A minidb file. NEW replaces a file that is there, WRITE appends or creates; both as the original."""

    def __init__(self, path: str | os.PathLike[str], mode: Mode = Mode.READ) -> None:
        super().__init__(path, mode)
        self._file: BinaryIO | None = None
        self._stack = contextlib.ExitStack()
        if mode is Mode.NEW:
            self._file = self._stack.enter_context(atomic_write(self.path))
            reader.announce(self)
        elif mode is Mode.WRITE:
            if self.path.exists():
                _check_whole(self.path)
            self._file = self._stack.enter_context(self.path.open("ab"))
        elif not self.path.is_file():
            raise DataError(f"{self.path}: no such minidb file{looked_in(self.path)}")

    def cursor(self) -> MiniDBCursor:
        self.need(Mode.READ)
        return MiniDBCursor(self.path)

    def transaction(self) -> MiniDBTransaction:
        self.need(Mode.WRITE, Mode.NEW)
        return MiniDBTransaction(self)

    def append(self, data: bytes) -> None:
        """Write whole records; the file is synced when the database is closed."""
        if self._file is None:
            raise DataError(f"{self.path}: the database is closed, nothing can be written")
        self._file.write(data)
        self._file.flush()

    def publish(self) -> None:
        if self.mode is Mode.NEW and self._file is not None:
            self.close()
            self._file = self._stack.enter_context(self.path.open("ab"))

    def close(self) -> None:
        if self._file is not None:
            if self.mode is Mode.WRITE:
                os.fsync(self._file.fileno())
            self._file = None
            self._stack.close()

    def discard(self) -> None:
        if self._file is not None and self.mode is Mode.NEW:
            self._file = None
            with contextlib.suppress(_Discarded):
                self._stack.__exit__(_Discarded, _Discarded(), None)
        self.close()


class _Discarded(Exception):
    """Leaves the block of ``atomic_write`` so that nothing is put in place."""


class MiniDBTransaction(reader.Transaction):
    """Records kept in memory until they are committed; dropping the transaction commits, as the original."""

    def __init__(self, database: MiniDB) -> None:
        self._database = database
        self._records = bytearray()

    def put(self, key: bytes, value: bytes) -> None:
        for what, data in (("key", key), ("value", value)):
            if not 0 < len(data) <= _MAX_SIZE:
                raise FormatError(
                    f"a {what} of {len(data)} bytes: minidb holds 1 to {_MAX_SIZE}", path=self._database.path
                )
        self._records += _SIZES.pack(len(key), len(value)) + key + value

    def commit(self) -> None:
        if self._records:
            self._database.append(bytes(self._records))
            self._records.clear()

    def abort(self) -> None:
        self._records.clear()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.commit()


class MiniDBCursor(reader.Cursor):
    """Reads front to back. Every size is checked against what the file still holds before it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115 - closed by close()
        self._size = os.fstat(self._file.fileno()).st_size
        self._record: Record | None = None
        self._offset = self._index = 0
        self._hoped = _FIRST_HOPED
        self.seek_to_first()

    @property
    def valid(self) -> bool:
        return self._record is not None

    def key(self) -> bytes:
        return self._current()[0]

    def value(self) -> bytes:
        return self._current()[1]

    def next(self) -> None:
        self._record = _read_record(self._file, self._offset, self._size, self._path, self._index)
        if self._record is not None:
            self._offset += _SIZES.size + len(self._record[0]) + len(self._record[1])
            self._index += 1

    def take_block(self, count: int) -> Block:
        key, value = self._current()
        size = _SIZES.size + len(key) + len(value)
        begin = self._offset - size
        count = min(count, self._hoped, (self._size - begin) // size)
        self._file.seek(begin)
        rows = np.frombuffer(self._file.read(count * size), np.uint8)
        rows = rows[: len(rows) // size * size].reshape(-1, size)  # the file may have become shorter
        alike = (rows[:, : _SIZES.size] == rows[:1, : _SIZES.size]).all(axis=1)
        rows = rows[: len(rows) if alike.all() else int(alike.argmin())]
        self._hoped = min(2 * len(rows) + 1, _MOST_HOPED)
        self._offset, self._index = begin + len(rows) * size, self._index + len(rows) - 1
        middle = _SIZES.size + len(key)
        self._file.seek(self._offset)
        try:
            self.next()
        except FormatError as error:
            return Block(rows[:, _SIZES.size : middle], rows[:, middle:], error)
        return Block(rows[:, _SIZES.size : middle], rows[:, middle:])

    def seek_to_first(self) -> None:
        self._file.seek(0)
        self._offset = 0
        self._index = 0
        self.next()

    def close(self) -> None:
        self._file.close()

    def _current(self) -> Record:
        if self._record is None:
            raise DataError(f"{self._path}: the cursor is past the last of {self._index} records")
        return self._record

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def _read_record(file: BinaryIO, offset: int, size: int, path: Path, index: int) -> Record | None:
    """The record at ``offset``, or None at the end of the file."""
    if offset == size:
        return None
    key_size, value_size = _sizes(file.read(_SIZES.size), offset, size, path, index)
    data = file.read(key_size + value_size)
    if len(data) != key_size + value_size:
        raise FormatError(
            f"the file became shorter while it was read: {len(data)} of {key_size + value_size} bytes",
            path=path,
            where=f"offset {offset} (record {index})",
        )
    return data[:key_size], data[key_size:]


def _sizes(header: bytes, offset: int, size: int, path: Path, index: int) -> tuple[int, int]:
    """Key and value size of a record header, checked against a file of ``size`` bytes."""
    where = f"offset {offset} (record {index})"
    if len(header) < _SIZES.size:
        raise FormatError(f"{len(header)} bytes are left, a record starts with 8", path=path, where=where)
    key_size, value_size = _SIZES.unpack(header)
    left = size - offset - _SIZES.size
    if key_size <= 0 or value_size <= 0 or key_size + value_size > left:
        raise FormatError(
            f"a record with a key of {key_size} and a value of {value_size} bytes, {left} are left; "
            "the file is truncated, or no minidb",
            path=path,
            where=where,
        )
    return key_size, value_size


def _check_whole(path: Path) -> None:
    """Appending to a file that ends inside a record would hide all that follows."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset = index = 0
        while offset < size:
            file.seek(offset)
            offset += _SIZES.size + sum(_sizes(file.read(_SIZES.size), offset, size, path, index))
            index += 1


def _matches(path: Path) -> bool:
    """A file that starts with a record header that may be true (an empty file is an empty minidb)."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            key_size, _ = _sizes(file.read(_SIZES.size), 0, size, path, 0) if size else (1, 1)
    except (OSError, FormatError):
        return False
    return key_size <= _PLAUSIBLE_KEY


reader.register_store("minidb", MiniDB, _matches)
