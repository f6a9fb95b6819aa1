"""LMDB, the store of Caffe's and Caffe2's image data sets: a folder with ``data.mdb``, sorted by key.

Opened through ``reader.open_db("lmdb", …)``. Reading goes through ``formats.lmdb_tree``, which survives any
damage; writing goes through the ``lmdb`` package, after the file has been checked from end to end.
As in Caffe2, a reader takes no lock: it sees the database as it was when opened, and a process that
writes to the same database meanwhile may take the pages from under it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from freshpot.data import reader
from freshpot.data.blocks import Block
from freshpot.data.reader import Mode, Record
from freshpot.errors import DataError, FormatError
from freshpot.formats.atomic import sync_folder
from freshpot.formats.lmdb_tree import LmdbFile, TreeCursor
from freshpot.formats.nearby import looked_in

_DATA = "data.mdb"
_FIRST_MAP = 1 << 24  # bytes of address space to begin with; doubled when full
_MAX_KEY = 511
_MAX_VALUE = 2**32 - 1


class LMDB(reader.Database):
    """An LMDB folder. NEW refuses a path that exists, as the originals do; WRITE adds or replaces records."""

    def __init__(self, path: str | os.PathLike[str], mode: Mode = Mode.READ) -> None:
        super().__init__(path, mode)
        self._env: Any = None
        self._building: Path | None = None
        if mode is Mode.READ:
            self._file = LmdbFile(_data_file(self.path))
        elif mode is Mode.WRITE:
            self._open(self.path, _check_whole(_data_file(self.path)))
        else:
            if self.path.exists():
                raise DataError(f"{self.path}: exists already; a new LMDB is never written over an old one")
            self._building = Path(
                tempfile.mkdtemp(
                    prefix=f".{self.path.name}.", suffix=".part", dir=self.path.absolute().parent
                )
            )
            self._building.chmod(0o755)
            self._open(self._building, 0)
            reader.announce(self)

    def cursor(self) -> LMDBCursor:
        self.need(Mode.READ)
        return LMDBCursor(self._file)

    def transaction(self) -> reader.KeyedTransaction:
        self.need(Mode.WRITE, Mode.NEW)
        return reader.KeyedTransaction(self.write, self.check)

    def write(self, records: dict[bytes, bytes]) -> None:
        """Put records in one transaction, in the order of their keys; the map grows until they fit."""
        lmdb = _lmdb()
        if self._env is None:
            raise DataError(f"{self.path}: the database is closed, nothing can be written")
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key in sorted(records):
                        transaction.put(key, records[key])
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(self._env.info()["map_size"] * 2)

    def check(self, key: bytes, value: bytes) -> None:
        """Complain of a record that the store cannot hold.

        Raises:
            FormatError: it is one.
        """
        if not 0 < len(key) <= _MAX_KEY or len(value) > _MAX_VALUE:
            raise FormatError(
                f"a key of {len(key)} and a value of {len(value)} bytes: LMDB holds keys of 1 to {_MAX_KEY} "
                f"and values up to {_MAX_VALUE}",
                path=self.path,
            )

    def publish(self) -> None:
        if self._building is not None and self._env is not None:
            self._env.sync(True)
            try:
                os.rename(self._building, self.path)
            except OSError as error:
                raise DataError(
                    f"{self.path}: the new LMDB is complete, but stays in {self._building}: {error}"
                ) from error
            self._building = None
            sync_folder(self.path.absolute().parent)

    def close(self) -> None:
        if self.mode is Mode.READ:
            self._file.close()
            return
        try:
            self.publish()
        finally:
            self._close_env()

    def discard(self) -> None:
        building, self._building = self._building, None
        self._close_env()
        if building is not None:
            shutil.rmtree(building, ignore_errors=True)

    def _open(self, folder: Path, map_size: int) -> None:
        lmdb = _lmdb()
        try:
            self._env = lmdb.open(os.fspath(folder), map_size=max(map_size, _FIRST_MAP), metasync=False)
        except lmdb.Error as error:
            raise FormatError(f"cannot be opened for writing: {error}", path=self.path) from error

    def _close_env(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            env.sync(True)
            env.close()


class LMDBCursor(reader.Cursor):
    """A cursor in key order; it can seek."""

    supports_seek = True

    def __init__(self, file: LmdbFile) -> None:
        self._tree = TreeCursor(file)

    @property
    def valid(self) -> bool:
        return self._tree.valid

    def key(self) -> bytes:
        self._need_record()
        return self._tree.key()

    def value(self) -> bytes:
        self._need_record()
        return self._tree.value()

    def next(self) -> None:
        self._tree.next()

    def seek_to_first(self) -> None:
        self._tree.seek_to_first()

    def seek(self, key: bytes) -> None:
        self._tree.seek(key)

    def take(self, count: int) -> list[Record]:
        return self._tree.take(count)

    def take_block(self, count: int) -> Block:
        rows = self._tree.take_rows(count)
        if rows is None:
            return super().take_block(min(count, max(self._tree.left_on_page, 1)))
        try:
            self._tree.next_leaf()
        except FormatError as error:
            return Block(*rows, error)
        return Block(*rows)

    def _need_record(self) -> None:
        if not self._tree.valid:
            raise DataError(f"{self._tree.file.path}: the cursor is past the last record")


def _lmdb() -> Any:
    import lmdb

    return lmdb


def _data_file(path: Path) -> Path:
    """The data file of a database folder."""
    if (path / _DATA).is_file():
        return path / _DATA
    if path.name == _DATA and path.is_file():
        raise DataError(f"{path}: name the folder, {path.parent}, not the file in it")
    what = "no data.mdb in this folder" if path.is_dir() else f"no such LMDB folder{looked_in(path)}"
    raise DataError(f"{path}: {what}")


def _check_whole(data_file: Path) -> int:
    """Walk both trees, because liblmdb would trust them; returns the map size.

    Raises:
        FormatError: damage anywhere in them.
    """
    file = LmdbFile(data_file)
    with contextlib.closing(file):
        for tree in (file.free, file.records):
            cursor = TreeCursor(file, tree)
            count = 0
            while records := cursor.take(100):
                count += len(records)
            if count != tree.entries:
                raise FormatError(
                    f"damaged: {count} records, the meta page says {tree.entries}", path=data_file
                )
        return max(file.map_size, file.size)


def _matches(path: Path) -> bool:
    return (path / _DATA).is_file() or (path.name == _DATA and path.is_file())


reader.register_store("lmdb", LMDB, _matches)
