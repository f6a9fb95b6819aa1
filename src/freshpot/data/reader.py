"""The one interface of every key-value store, and the table of stores by ``db_type``.

A store (``minidb.py``, ``lmdb.py`` …) defines a :class:`Database` and registers it; operators, layers and
tools only call :func:`open_db` and :class:`DBReader`.
"""

from __future__ import annotations

import abc
import atexit
import enum
import importlib
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, TypeVar

from freshpot.data.blocks import Block, Record
from freshpot.data.rounds import Rounds
from freshpot.errors import DataError, FormatError, NotSupportedError, near_matches

__all__ = [
    "Cursor",
    "DBReader",
    "Database",
    "KeyedTransaction",
    "Mode",
    "Record",
    "Transaction",
    "open_db",
    "register_store",
    "store_of",
]

SelfT = TypeVar("SelfT", bound="Database")


class Mode(enum.Enum):
    """What a database is opened for. ``NEW`` starts an empty one, ``WRITE`` adds to what is there."""

    READ = "read"
    WRITE = "write"
    NEW = "new"


class Cursor(abc.ABC):
    """A position in a database, on its first record to begin with.

    ``key`` and ``value`` may only be asked for while ``valid`` is true. Keys come in the order of the
    store: sorted in LMDB and LevelDB, as written in minidb.
    """

    #: Whether :meth:`seek` works.
    supports_seek = False

    @property
    @abc.abstractmethod
    def valid(self) -> bool:
        """False once the cursor has passed the last record."""

    @abc.abstractmethod
    def key(self) -> bytes:
        """The key of the current record."""

    @abc.abstractmethod
    def value(self) -> bytes:
        """The value of the current record."""

    @abc.abstractmethod
    def next(self) -> None:
        """Go to the next record. Raises FormatError where the file is damaged."""

    @abc.abstractmethod
    def seek_to_first(self) -> None:
        """Go back to the first record."""

    def seek(self, key: bytes) -> None:
        """Go to the first record whose key is ``key`` or greater. Raises NotSupportedError."""
        raise NotSupportedError(
            f"{type(self).__name__} reads from front to back: it cannot seek a key ({key!r})"
        )

    def take(self, count: int) -> list[Record]:
        """Up to ``count`` records from here on, moving past them; fewer at the end of the database."""
        return list(itertools.islice(self, count))

    def take_block(self, count: int) -> Block:
        """Up to ``count`` records from here on, one at least, moving past them.

        Where the file is damaged the block has the records before that, and the error.
        """
        records: list[Record] = []
        try:
            while self.valid and len(records) < count:
                records.append((self.key(), self.value()))
                self.next()
        except FormatError as error:
            return Block.of(records, error)
        return Block.of(records)

    def close(self) -> None:  # noqa: B027 - a cursor may hold nothing
        """Give back what the cursor holds open."""

    def __iter__(self) -> Iterator[Record]:
        while self.valid:
            record = self.key(), self.value()
            self.next()
            yield record

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Transaction(abc.ABC):
    """Writes that become visible together. A ``with`` block commits at its end, unless an error left it."""

    @abc.abstractmethod
    def put(self, key: bytes, value: bytes) -> None:
        """Add a record, or replace the one of that key in a store that has unique keys."""

    @abc.abstractmethod
    def commit(self) -> None:
        """Write what was put since the last commit. The transaction may be used further."""

    @abc.abstractmethod
    def abort(self) -> None:
        """Forget what was put since the last commit."""

    def __enter__(self) -> Transaction:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


class KeyedTransaction(Transaction):
    """Records kept in memory, the last one of each key, until they are committed; dropping it forgets them.

    Args:
        write: puts records into the store together.
        check: raises FormatError for a key and a value that the store cannot hold.
    """

    def __init__(
        self, write: Callable[[dict[bytes, bytes]], None], check: Callable[[bytes, bytes], None]
    ) -> None:
        self._write = write
        self._check = check
        self._records: dict[bytes, bytes] = {}

    def put(self, key: bytes, value: bytes) -> None:
        self._check(key, value)
        self._records[bytes(key)] = bytes(value)

    def commit(self) -> None:
        if self._records:
            self._write(self._records)
            self._records = {}

    def abort(self) -> None:
        self._records = {}


class Database(abc.ABC):
    """An open key-value store.

    A database opened as NEW is built beside its place and put there by :meth:`publish`: when it is
    closed, or when this process opens it for reading. A ``with`` block that an error leaves discards it.

    Args:
        path: file or folder.
        mode: see :class:`Mode`.

    Raises:
        DataError: there is no such database, or (LMDB, LevelDB) NEW would overwrite one.
        FormatError: it is damaged or of another kind.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Mode = Mode.READ) -> None:
        self.path = Path(path)
        self.mode = mode
        if mode is Mode.READ:
            _publish_pending(self.path)
        elif not self.path.absolute().parent.is_dir():
            raise DataError(f"{self.path}: there is no folder {self.path.absolute().parent} to write it in")

    @abc.abstractmethod
    def cursor(self) -> Cursor:
        """A new cursor on the first record. Only in mode READ."""

    @abc.abstractmethod
    def transaction(self) -> Transaction:
        """A new transaction. Only in modes WRITE and NEW."""

    @abc.abstractmethod
    def close(self) -> None:
        """Finish writing (see :meth:`publish`) and give everything back. May be called twice."""

    def publish(self) -> None:  # noqa: B027 - a store that writes in place has nothing to do
        """Put a NEW database in its place, with what was committed so far."""

    def discard(self) -> None:
        """Close without putting a NEW database in its place."""
        self.close()

    def need(self, *modes: Mode) -> None:
        """Raise DataError unless the database is open in one of ``modes``."""
        if self.mode not in modes:
            wanted = " or ".join(mode.name for mode in modes)
            raise DataError(f"{self.path}: open in mode {self.mode.name}, this needs {wanted}")

    def __enter__(self: SelfT) -> SelfT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:  # a constructor that failed, or an interpreter on its way out
            return


# ------------------------------------------------------------------------- databases being written

_PENDING: weakref.WeakValueDictionary[str, Database] = weakref.WeakValueDictionary()


def announce(database: Database) -> None:
    """Let readers in this process find a NEW database that is not in its place yet. Called by stores."""
    _PENDING[os.path.realpath(database.path)] = database


@atexit.register
def _close_pending() -> None:
    """A program that ends without closing still gets its database, as with the originals."""
    for database in list(_PENDING.values()):
        database.close()


def _publish_pending(path: Path) -> None:
    pending = _PENDING.pop(os.path.realpath(path), None)
    if pending is not None:
        pending.publish()


# ----------------------------------------------------------------------------------- the stores


class _Store(NamedTuple):
    open: Callable[[Path, Mode], Database]
    matches: Callable[[Path], bool]


_STORES: dict[str, _Store] = {}
#: Modules of this package that register a store when imported, in the order in which a path is tried: minidb
#: has no magic number, so it comes last.
_MODULES = ["lmdb", "leveldb", "protodb", "minidb"]


def register_store(
    db_type: str, open: Callable[[Path, Mode], Database], matches: Callable[[Path], bool]
) -> None:
    """Make a store known under ``db_type``.

    Args:
        db_type: the name, lower case; any case is accepted when opening.
        open: called with path and mode.
        matches: whether a path looks like this store; must not raise, and read a few bytes at most.
    """
    _STORES[db_type] = _Store(open, matches)


def known_stores() -> list[str]:
    """Every ``db_type`` that can be opened."""
    while _MODULES:
        importlib.import_module(f"freshpot.data.{_MODULES[0]}")
        del _MODULES[0]
    return sorted(_STORES)


def store_of(path: str | os.PathLike[str]) -> str | None:
    """The ``db_type`` that a path looks like, or None."""
    known_stores()
    return next((name for name, store in _STORES.items() if store.matches(Path(path))), None)


def open_db(db_type: str, path: str | os.PathLike[str], mode: Mode = Mode.READ) -> Database:
    """Open a database.

    Args:
        db_type: "lmdb", "minidb", … in any case.
        path: file or folder.
        mode: see :class:`Mode`.

    Raises:
        DataError: unknown ``db_type``, no such database, or the path holds another kind of one.
        FormatError: it is damaged.
    """
    known = known_stores()
    store = _STORES.get(db_type.lower())
    if store is None:
        raise DataError(
            f"{path}: unknown database type {db_type!r}; there are {', '.join(known)}."
            f"{near_matches(db_type, known)}"
        )
    path = Path(path)
    if mode is not Mode.NEW and path.exists() and not store.matches(path):
        looks_like = store_of(path)
        if looks_like is not None:
            raise DataError(
                f"{path}: looks like {looks_like}, not {db_type}: open it with db_type='{looks_like}'"
                f" (in a Caffe layer: backend: {looks_like.upper()})"
            )
    return store.open(path, mode)


# ----------------------------------------------------------------------------------- DBReader


class DBReader:
    """Records one after the other, for ever: after the last comes the first. Safe between threads.

    Args:
        db_type, source: as in :func:`open_db`.
        num_shards, shard_id: read records shard_id, shard_id + num_shards, … only.
        key: start at this key (stores that can seek).

    Raises:
        DataError: no such database, an empty one, or fewer records than ``shard_id`` needs.
    """

    #: whether records may be read before somebody wants them
    reads_ahead: ClassVar[bool] = True

    def __init__(
        self,
        db_type: str,
        source: str | os.PathLike[str],
        num_shards: int = 1,
        shard_id: int = 0,
        key: bytes | None = None,
    ) -> None:
        if not 0 <= shard_id < num_shards:
            raise DataError(
                f"{source}: shard {shard_id} of {num_shards}: expected 0 <= shard_id < num_shards"
            )
        self.db_type = db_type
        self.source = os.fspath(source)
        self.num_shards = num_shards
        self.shard_id = shard_id
        self._lock = threading.Lock()
        self._db = open_db(db_type, source)
        self._cursor = self._db.cursor()
        self._need_records()
        self._rounds = Rounds(self._cursor, self.source, shards=num_shards, shard=shard_id)
        if key is not None:
            self._rounds.seek(key)

    def read(self) -> Record:
        """The next record: (key, value)."""
        return self.read_many(1)[0]

    def read_many(self, count: int) -> list[Record]:
        """The next ``count`` records."""
        return self.read_block(count).records()

    def read_block(self, count: int) -> Block:
        """The next ``count`` records together; they may be shared and must not be changed."""
        with self._lock:
            return self._rounds.take(count)

    def seek_to_first(self) -> None:
        """Start over."""
        with self._lock:
            self._rounds.seek_to_first()

    def key(self) -> bytes:
        """The key of the record that :meth:`read` gives next."""
        with self._lock:
            return self._rounds.key()

    def close(self) -> None:
        """Give the database back."""
        with self._lock:
            self._cursor.close()
            self._db.close()

    def _need_records(self) -> None:
        """Complain unless there is a record for this shard; the cursor stays on the first."""
        for row in range(self.shard_id + 1):
            if not self._cursor.valid:
                raise DataError(
                    f"{self.source}: the database has {row} records, shard {self.shard_id} needs "
                    f"{self.shard_id + 1} at least"
                )
            if row < self.shard_id:
                self._cursor.next()
        if self.shard_id:
            self._cursor.seek_to_first()
