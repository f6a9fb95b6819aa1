"""LevelDB: records survive, the original's store is read, and damage ends in a typed error."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshpot.data import leveldb
from freshpot.data.reader import DBReader, Mode, Transaction, open_db, store_of
from freshpot.errors import DataError, FormatError, NotSupportedError

Records = list[tuple[bytes, bytes]]
SOME = [(b"%04d" % index, b"v" * (1 + 37 * index)) for index in range(150)]

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="plyvel has no ready-made packages for Python 3.13 and later"
)


def write(path: Path, records: Records, mode: Mode = Mode.NEW) -> None:
    with open_db("leveldb", path, mode) as database, database.transaction() as transaction:
        for key, value in records:
            transaction.put(key, value)


def read(path: Path) -> Records:
    with open_db("leveldb", path) as database, database.cursor() as cursor:
        return list(cursor)


def tables(path: Path) -> None:
    """Let the records move from the log into tables, by opening the store again to write."""
    write(path, [], Mode.WRITE)


@settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
@given(records=st.dictionaries(st.binary(max_size=40), st.binary(max_size=3000), max_size=60))
def test_any_records_survive(tmp_path: Path, records: dict[bytes, bytes]) -> None:
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "db"
    write(path, list(records.items()))
    assert read(path) == sorted(records.items())
    tables(path)
    assert read(path) == sorted(records.items())


def test_the_originals_store_is_read_and_left_as_it_is(shared: Path) -> None:
    files = shared / "reference" / "caffe" / "files"
    before = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(files / "mnist_200_leveldb")}
    records = read(files / "mnist_200_leveldb")
    with open_db("lmdb", files / "mnist_200_lmdb") as database:
        assert records == list(database.cursor())
    assert len(records) == 200
    after = {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(files / "mnist_200_leveldb")}
    assert before == after
    assert store_of(files / "mnist_200_leveldb") == "leveldb"


def test_a_cursor_goes_back_seeks_and_takes(tmp_path: Path) -> None:
    write(tmp_path / "db", SOME)
    with open_db("leveldb", tmp_path / "db") as database, database.cursor() as cursor:
        assert cursor.take(100) == SOME[:100]
        cursor.seek(b"0007x")
        assert (cursor.key(), cursor.value()) == SOME[8]
        cursor.next()
        assert cursor.key() == SOME[9][0]
        cursor.seek(b"z")
        assert not cursor.valid
        with pytest.raises(DataError, match="the cursor is past the last record"):
            cursor.value()
        cursor.seek_to_first()
        assert cursor.take(1000) == SOME


def test_readers_share_a_store_and_a_writer_adds_to_it(tmp_path: Path) -> None:
    write(tmp_path / "db", SOME)
    first, second = DBReader("leveldb", tmp_path / "db"), DBReader("LEVELDB", tmp_path / "db")
    write(tmp_path / "db", [(b"zz", b"new"), (b"0000", b"changed")], Mode.WRITE)
    assert first.read_many(150) == second.read_many(150) == SOME
    assert read(tmp_path / "db") == [(b"0000", b"changed"), *SOME[1:], (b"zz", b"new")]
    first.close()
    second.close()


def test_a_new_store_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    database = open_db("leveldb", tmp_path / "db", Mode.NEW)
    with database.transaction() as transaction:
        transaction.put(b"a", b"b")
    assert not (tmp_path / "db").exists()
    database.discard()
    assert list(tmp_path.iterdir()) == []
    database = open_db("leveldb", tmp_path / "db", Mode.NEW)
    with database.transaction() as transaction:
        transaction.put(b"a", b"b")
    assert read(tmp_path / "db") == [(b"a", b"b")]  # reading it in the same program puts it in place
    database.close()
    transaction.put(b"c", b"d")
    with pytest.raises(DataError, match="the database is closed, nothing can be written"):
        transaction.commit()


def fail_within(transaction: Transaction) -> None:
    with transaction:
        transaction.put(b"a", b"b")
        raise KeyError


def test_an_error_in_a_transaction_forgets_it(tmp_path: Path) -> None:
    with open_db("leveldb", tmp_path / "db", Mode.NEW) as database:
        with pytest.raises(KeyError):
            fail_within(database.transaction())
        with database.transaction() as transaction:
            transaction.put(b"c", b"d")
            transaction.abort()
    assert read(tmp_path / "db") == []


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "db", SOME)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(work))
    database = open_db("leveldb", tmp_path / "db")
    cursor = database.cursor()
    assert len(list(work.iterdir())) == 1
    worker = cursor._worker._pipe  # type: ignore[attr-defined]
    del cursor
    gc.collect()
    assert worker.returncode is not None
    assert list(work.iterdir()) == []


def test_a_program_that_ends_without_closing_gets_its_store(tmp_path: Path) -> None:
    program = (
        "import sys; from freshpot.data.reader import Mode, open_db\n"
        "database = open_db('leveldb', sys.argv[1], Mode.NEW)\n"
        "transaction = database.transaction(); transaction.put(b'a', b'b'); transaction.commit()\n"
        "reader = open_db('leveldb', sys.argv[2]).cursor(); print(reader.key())\n"
    )
    write(tmp_path / "old", SOME)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "db"), str(tmp_path / "old")],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert (done.stdout, done.stderr) == ("b'0000'\n", "")
    assert read(tmp_path / "db") == [(b"a", b"b")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "old"]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "db", SOME)
    with (
        open_db("leveldb", tmp_path / "db", Mode.WRITE),
        pytest.raises(DataError, match="in use by another program that writes to it"),
    ):
        open_db("leveldb", tmp_path / "db", Mode.WRITE)


def no_manifest(path: Path) -> None:
    next(path.glob("MANIFEST-*")).unlink()


def no_table(path: Path) -> None:
    next(path.glob("*.ldb")).unlink()


def odd_current(path: Path) -> None:
    (path / "CURRENT").write_text("../../etc/passwd\n")


def empty_manifest(path: Path) -> None:
    next(path.glob("MANIFEST-*")).write_bytes(b"")


def flipped_table(path: Path) -> None:
    table = next(path.glob("*.ldb"))
    data = bytearray(table.read_bytes())
    data[len(data) // 3] ^= 0x10
    table.write_bytes(data)


def huge_block(path: Path) -> None:
    """A footer that says the index has nearly 2**64 bytes: LevelDB would allocate them."""
    table = next(path.glob("*.ldb"))
    data = bytearray(table.read_bytes())
    data[-48:-8] = (b"\x00\x00" + b"\x00" + b"\xf0" + b"\xff" * 8 + b"\x01").ljust(40, b"\x00")
    table.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (no_manifest, "which is not there"),
        (odd_current, "does not name a manifest"),
        (no_table, "damaged: Corruption: 1 missing files; e.g.: .*/db/0"),
        (empty_manifest, "damaged: Corruption"),
        (flipped_table, "damaged: .*(checksum|corrupt)"),
        (huge_block, "damaged: "),
    ],
)
def test_damage_is_named(tmp_path: Path, harm: object, message: str) -> None:
    write(tmp_path / "db", SOME)
    tables(tmp_path / "db")
    harm(tmp_path / "db")  # type: ignore[operator]
    with pytest.raises((FormatError, DataError), match=message):
        read(tmp_path / "db")


@pytest.mark.parametrize("seed", range(40))
def test_mutated_stores_give_typed_errors_or_records(tmp_path: Path, seed: int) -> None:
    write(tmp_path / "db", SOME)
    if seed % 2:
        tables(tmp_path / "db")
    chance = random.Random(seed)
    parts = [p for p in sorted((tmp_path / "db").iterdir()) if not p.name.startswith("LO")]
    victim = chance.choice([p for p in parts if p.stat().st_size])
    data = bytearray(victim.read_bytes())
    if seed % 4 < 2:
        del data[chance.randrange(len(data)) :]
    else:
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    victim.write_bytes(data)
    try:
        found = read(tmp_path / "db")
    except (FormatError, DataError):
        return
    # LevelDB takes a log that ends too early for a program that was killed: what was committed before remains
    assert found == SOME[: len(found)]


def test_a_crashed_or_silent_worker_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "db", SOME)
    for program, message in [
        ("import os; os.abort()", "damaged: LevelDB crashed on it"),
        ("import time; time.sleep(3600)", "damaged: LevelDB did not answer for 0 s on it"),
    ]:
        monkeypatch.setattr(leveldb, "_PATIENCE_S", 300.0 if "abort" in program else 0.3)
        monkeypatch.setattr(leveldb, "_PROGRAM", program)
        with pytest.raises(FormatError, match=message):
            read(tmp_path / "db")
        with pytest.raises(FormatError, match=message):
            open_db("leveldb", tmp_path / "new", Mode.NEW)
        assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_logs_of_absurd_size_are_not_copied(tmp_path: Path) -> None:
    write(tmp_path / "db", SOME)
    with (tmp_path / "db" / "000099.log").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FormatError, match=r"logs and manifest of \d{13} bytes"):
        read(tmp_path / "db")


def test_the_wrong_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such LevelDB folder"):
        open_db("leveldb", tmp_path / "none")
    with pytest.raises(DataError, match="no CURRENT in this folder"):
        open_db("leveldb", tmp_path)
    write(tmp_path / "db", SOME)
    with pytest.raises(DataError, match="exists already; a new LevelDB is never written over an old one"):
        open_db("leveldb", tmp_path / "db", Mode.NEW)
    with pytest.raises(DataError, match="looks like leveldb, not lmdb"):
        open_db("lmdb", tmp_path / "db")
    with pytest.raises(DataError, match="there is no folder"):
        open_db("leveldb", tmp_path / "none" / "db", Mode.NEW)
    with (
        open_db("leveldb", tmp_path / "db") as database,
        pytest.raises(DataError, match="open in mode READ, this needs WRITE or NEW"),
    ):
        database.transaction()


def test_without_plyvel_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "db", SOME)
    monkeypatch.setitem(sys.modules, "plyvel", None)
    monkeypatch.setattr(leveldb.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotSupportedError, match=r"pip install 'freshpot\[leveldb\]'"):
        read(tmp_path / "db")
    with pytest.raises(NotSupportedError, match="LevelDB needs the package plyvel"):
        open_db("leveldb", tmp_path / "new", Mode.NEW)
    assert not list(tmp_path.glob(".new*"))


def test_copies_of_a_store_can_be_moved(tmp_path: Path) -> None:
    write(tmp_path / "db", SOME)
    tables(tmp_path / "db")
    shutil.move(tmp_path / "db", tmp_path / "moved")
    assert read(tmp_path / "moved") == SOME
