"""workspace.C.create_db: databases that programs write and read without a net."""

from __future__ import annotations

from pathlib import Path

import pytest

from caffe2.python import workspace
from freshpot.errors import DataError

C = workspace.C
RECORDS = [(f"key{i}".encode(), f"value {i}".encode()) for i in range(9)]


def read(kind: str, path: Path) -> list[tuple[bytes, bytes]]:
    cursor = C.create_db(kind, str(path), C.Mode.read).new_cursor()
    found = []
    while cursor.valid():
        found.append((cursor.key(), cursor.value()))
        cursor.next()
    return found


@pytest.mark.parametrize("kind", ["minidb", "lmdb"])
def test_what_is_put_is_read(kind: str, tmp_path: Path) -> None:
    db = C.create_db(kind, str(tmp_path / "db"), C.Mode.new)
    transaction = db.new_transaction()
    for key, value in RECORDS[:5]:
        transaction.put(key.decode(), value.decode())  # text or bytes
    transaction.commit()
    for key, value in RECORDS[5:]:
        transaction.put(key, value)
    del transaction  # commits
    db.close()
    assert read(kind, tmp_path / "db") == RECORDS


def test_a_database_that_nothing_refers_to_is_closed(tmp_path: Path) -> None:
    db = C.create_db("minidb", str(tmp_path / "db"), C.Mode.write)
    for key, value in RECORDS:
        transaction = db.new_transaction()
        transaction.put(key, value)
        del transaction
    del db
    assert read("minidb", tmp_path / "db") == RECORDS


def test_cursor(tmp_path: Path) -> None:
    db = C.create_db("minidb", str(tmp_path / "db"), C.Mode.new)
    transaction = db.new_transaction()
    transaction.put("a", "b")
    transaction.commit()
    db.close()
    cursor = C.create_db("minidb", str(tmp_path / "db"), C.Mode.read).new_cursor()
    assert not cursor.supports_seek()
    cursor.next()
    for past_the_end in (cursor.key, cursor.value, cursor.next):
        with pytest.raises(DataError, match="seek_to_first"):
            past_the_end()
    cursor.seek_to_first()
    assert cursor.key() == b"a"


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such minidb file"):
        C.create_db("minidb", str(tmp_path / "none"), C.Mode.read)
    with pytest.raises(DataError, match="Did you mean minidb"):
        C.create_db("minidbs", str(tmp_path / "none"), C.Mode.read)
    with pytest.raises(DataError, match="READ"):
        C.create_db("minidb", str(tmp_path / "new"), C.Mode.new).new_cursor()
