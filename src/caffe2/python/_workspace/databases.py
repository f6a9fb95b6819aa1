"""Databases as programs write and read them without a net: ``workspace.C.create_db``.

Owned here: the original's names for what `freshpot.data.reader` does. Who calls it: `_import_c_extension`.
"""

from __future__ import annotations

import enum

from freshpot.data import reader
from freshpot.errors import DataError


class Mode(enum.Enum):
    """What a database is opened for; the numbers are the original's."""

    read = 0
    write = 1
    new = 2


class Cursor:
    """A position in a database, on its first record to begin with."""

    def __init__(self, cursor: reader.Cursor) -> None:
        self._cursor = cursor

    def valid(self) -> bool:
        """False once the last record is passed."""
        return self._cursor.valid

    def key(self) -> bytes:
        """Key of the current record. Raises DataError past the last one."""
        return self._need_record().key()

    def value(self) -> bytes:
        """Value of the current record. Raises DataError past the last one."""
        return self._need_record().value()

    def next(self) -> None:
        """Go to the next record. Raises DataError past the last one."""
        self._need_record().next()

    def seek_to_first(self) -> None:
        """Go back to the first record."""
        self._cursor.seek_to_first()

    def supports_seek(self) -> bool:
        """Whether the store can look a key up."""
        return self._cursor.supports_seek

    def _need_record(self) -> reader.Cursor:
        if not self._cursor.valid:
            raise DataError("the cursor has passed the last record: ask valid() first, or seek_to_first().")
        return self._cursor


class Transaction:
    """Writes that become visible together: at `commit`, or when nothing refers to the transaction any more."""

    def __init__(self, transaction: reader.Transaction) -> None:
        self._transaction = transaction

    def put(self, key: str | bytes, value: str | bytes) -> None:
        """Add a record; text is written as UTF-8."""
        self._transaction.put(_as_bytes(key), _as_bytes(value))

    def commit(self) -> None:
        """Write what was put since the last commit."""
        self._transaction.commit()

    def __del__(self) -> None:
        try:
            self._transaction.commit()
        except DataError:  # the database was closed first
            return


class DB:
    """An open database. It is closed by `close`, or when nothing refers to it any more."""

    def __init__(self, database: reader.Database) -> None:
        self._database = database

    def new_cursor(self) -> Cursor:
        """A cursor on the first record. Raises DataError unless the database is open for reading."""
        return Cursor(self._database.cursor())

    def new_transaction(self) -> Transaction:
        """A transaction. Raises DataError unless the database is open for writing."""
        return Transaction(self._database.transaction())

    def close(self) -> None:
        """Finish writing and give everything back."""
        self._database.close()


def create_db(db_type: str, source: str, mode: Mode) -> DB:
    """Open a database: ``create_db("lmdb", "train_db", C.Mode.new)``.

    Raises:
        DataError: unknown ``db_type``, no such database, or one that is in the way.
        FormatError: it is damaged.
    """
    return DB(reader.open_db(db_type, source, reader.Mode[Mode(mode).name.upper()]))


def _as_bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)
