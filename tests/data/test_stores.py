"""Key-value stores: what goes in comes out, as the originals wrote it, and damage never crashes."""

from __future__ import annotations

import gc
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshpot.data.reader import DBReader, Mode, open_db, store_of
from freshpot.errors import DataError, FormatError, NotSupportedError
from freshpot.formats.lmdb_tree import LmdbFile, TreeCursor

Records = list[tuple[bytes, bytes]]
STORES = ["minidb", "lmdb"]
SOME = [(b"%03d" % index, b"v" * (1 + 37 * index)) for index in range(150)]


def write(db_type: str, path: Path, records: Records, mode: Mode = Mode.NEW) -> None:
    with open_db(db_type, path, mode) as database, database.transaction() as transaction:
        for key, value in records:
            transaction.put(key, value)


def read(db_type: str, path: Path) -> Records:
    with open_db(db_type, path) as database, database.cursor() as cursor:
        return list(cursor)


# ------------------------------------------------------------------------------------ round trips

keys = st.binary(min_size=1, max_size=511)
values = st.binary(min_size=1, max_size=9000) | st.integers(1, 70000).map(lambda size: b"\x07" * size)


@pytest.mark.parametrize("db_type", STORES)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(records=st.dictionaries(keys, values, max_size=60), count=st.integers(1, 9))
def test_any_records_survive(tmp_path: Path, db_type: str, records: dict[bytes, bytes], count: int) -> None:
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "db"
    write(db_type, path, list(records.items()))
    wanted = sorted(records.items()) if db_type == "lmdb" else list(records.items())
    assert read(db_type, path) == wanted
    with open_db(db_type, path) as database:
        cursor = database.cursor()
        taken = [cursor.take(count) for _ in range(len(wanted) // count + 2)]
        assert [record for part in taken for record in part] == wanted
        assert not cursor.valid
        cursor.seek_to_first()
        assert cursor.valid == bool(wanted)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    records=st.dictionaries(st.binary(min_size=1, max_size=6), values, max_size=300),
    removed=st.integers(0, 100),
    wanted=st.lists(st.binary(min_size=1, max_size=6), max_size=10),
)
def test_what_the_lmdb_package_writes_is_read_the_same(
    tmp_path: Path, records: dict[bytes, bytes], removed: int, wanted: list[bytes]
) -> None:
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "db"
    with lmdb.open(str(path), map_size=1 << 26) as env:
        with env.begin(write=True) as transaction:
            for key, value in records.items():
                transaction.put(key, value)
        with env.begin(write=True) as transaction:
            for key in list(records)[:removed]:
                transaction.delete(key)
        with env.begin() as transaction:
            theirs = list(transaction.cursor())
    assert read("lmdb", path) == theirs
    with open_db("lmdb", path) as database:
        cursor = database.cursor()
        for key in wanted:
            cursor.seek(key)
            following = [record for record in theirs if record[0] >= key]
            assert cursor.take(3) == following[:3]


def test_lmdb_three_levels_deep(tmp_path: Path) -> None:
    records = [(b"%0500d" % index, b"x") for index in range(500)]
    write("lmdb", tmp_path / "deep", records)
    file = LmdbFile(tmp_path / "deep" / "data.mdb")
    assert file.records.depth >= 3
    assert TreeCursor(file).take(1000) == records


def test_lmdb_map_grows(tmp_path: Path) -> None:
    big = [(b"%d" % index, bytes(6_000_000)) for index in range(4)]
    write("lmdb", tmp_path / "big", big)
    assert read("lmdb", tmp_path / "big") == big


def test_minidb_has_the_bytes_of_the_original(tmp_path: Path, shared: Path) -> None:
    for name in ("mnist100", "predictor_lenet", "mnist_lenet_checkpoint_00020"):
        original = shared / f"reference/caffe2/files/{name}.minidb"
        records = read("minidb", original)
        write("minidb", tmp_path / name, records)
        assert records
        assert (tmp_path / name).read_bytes() == original.read_bytes()


def test_lmdb_of_caffe_without_a_lock_file(shared: Path) -> None:
    folder = shared / "reference/caffe/files/mnist_200_lmdb"
    records = read("lmdb", folder)
    assert [key for key, _ in records] == [b"%08d" % index for index in range(200)]
    assert os.listdir(folder) == ["data.mdb"]


# ------------------------------------------------------------------------------------------ modes


@pytest.mark.parametrize("db_type", STORES)
def test_write_adds_to_what_is_there(tmp_path: Path, db_type: str) -> None:
    path = tmp_path / "db"
    if db_type == "minidb":
        write(db_type, path, SOME[:50], Mode.WRITE)
    else:
        write(db_type, path, SOME[:50])
    write(db_type, path, SOME[50:], Mode.WRITE)
    assert read(db_type, path) == SOME


def test_new_minidb_replaces_the_old_one(tmp_path: Path) -> None:
    write("minidb", tmp_path / "db", SOME)
    write("minidb", tmp_path / "db", SOME[:1])
    assert read("minidb", tmp_path / "db") == SOME[:1]


def test_new_lmdb_refuses_an_old_one(tmp_path: Path) -> None:
    write("lmdb", tmp_path / "db", SOME)
    with pytest.raises(DataError, match="exists already; a new LMDB is never written over"):
        write("lmdb", tmp_path / "db", SOME[:1])
    assert read("lmdb", tmp_path / "db") == SOME


@pytest.mark.parametrize("db_type", STORES)
def test_an_error_while_writing_leaves_nothing(tmp_path: Path, db_type: str) -> None:
    def half_written() -> None:
        with open_db(db_type, tmp_path / "db", Mode.NEW) as database, database.transaction() as transaction:
            transaction.put(b"a", b"1")
            transaction.commit()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()
    gc.collect()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("db_type", STORES)
def test_a_new_database_can_be_read_before_it_is_closed(tmp_path: Path, db_type: str) -> None:
    database = open_db(db_type, tmp_path / "db", Mode.NEW)
    transaction = database.transaction()
    transaction.put(b"a", b"1")
    transaction.commit()
    assert read(db_type, tmp_path / "db") == [(b"a", b"1")]
    transaction.put(b"b", b"2")
    transaction.commit()
    database.close()
    database.close()
    assert read(db_type, tmp_path / "db") == [(b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(("db_type", "kept"), [("minidb", 1), ("lmdb", 0)])
def test_dropping_a_transaction_does_what_the_original_does(tmp_path: Path, db_type: str, kept: int) -> None:
    database = open_db(db_type, tmp_path / "db", Mode.NEW)
    transaction = database.transaction()
    transaction.put(b"a", b"1")
    del transaction
    gc.collect()
    database.close()
    assert len(read(db_type, tmp_path / "db")) == kept


@pytest.mark.parametrize("db_type", STORES)
def test_a_program_that_never_closes_keeps_what_it_committed(tmp_path: Path, db_type: str) -> None:
    program = (
        "import sys; from freshpot.data.reader import *\n"
        "db = open_db(sys.argv[1], sys.argv[2], Mode.NEW); t = db.transaction()\n"
        "t.put(b'a', b'1'); t.commit()\n"
    )
    subprocess.run([sys.executable, "-c", program, db_type, str(tmp_path / "db")], check=True)
    assert read(db_type, tmp_path / "db") == [(b"a", b"1")]
    assert os.listdir(tmp_path) == ["db"]


@pytest.mark.parametrize("db_type", STORES)
def test_wrong_use_says_what_is_open(tmp_path: Path, db_type: str) -> None:
    write(db_type, tmp_path / "db", SOME[:1])
    with open_db(db_type, tmp_path / "db") as database:
        with pytest.raises(DataError, match="open in mode READ, this needs WRITE or NEW"):
            database.transaction()
        cursor = database.cursor()
        cursor.next()
        with pytest.raises(DataError, match="the cursor is past the last"):
            cursor.key()
    with open_db(db_type, tmp_path / "db", Mode.WRITE) as database:
        with pytest.raises(DataError, match="open in mode WRITE, this needs READ"):
            database.cursor()
        transaction = database.transaction()
    transaction.put(b"z", b"1")
    with pytest.raises(DataError, match="the database is closed"):
        transaction.commit()
    transaction.abort()


@pytest.mark.parametrize(
    ("db_type", "key", "value", "message"),
    [
        ("minidb", b"", b"1", "a key of 0 bytes: minidb holds 1 to"),
        ("minidb", b"k", b"", "a value of 0 bytes: minidb holds 1 to"),
        ("lmdb", b"", b"1", "a key of 0 and a value of 1 bytes: LMDB holds keys of 1 to 511"),
        ("lmdb", b"k" * 512, b"1", "a key of 512"),
    ],
)
def test_records_that_do_not_fit(
    tmp_path: Path, db_type: str, key: bytes, value: bytes, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        write(db_type, tmp_path / "db", [(key, value)])


@pytest.mark.parametrize("db_type", STORES)
@pytest.mark.parametrize("mode", [Mode.NEW, Mode.WRITE])
def test_writing_into_a_missing_folder(tmp_path: Path, db_type: str, mode: Mode) -> None:
    with pytest.raises(DataError, match=r"nowhere/db: there is no folder .*nowhere to write it in"):
        open_db(db_type, tmp_path / "nowhere" / "db", mode)


def test_lmdb_that_cannot_be_put_in_place_stays_where_it_was_built(tmp_path: Path) -> None:
    database = open_db("lmdb", tmp_path / "db", Mode.NEW)
    with database.transaction() as transaction:
        transaction.put(b"a", b"1")
    (tmp_path / "db").write_text("something else that came meanwhile")
    with pytest.raises(DataError, match=r"db: the new LMDB is complete, but stays in .*\.db\..*\.part"):
        database.close()
    (built,) = tmp_path.glob(".db.*.part")
    assert read("lmdb", built) == [(b"a", b"1")]


def test_lmdb_without_a_usable_lock_file_cannot_be_written(tmp_path: Path) -> None:
    write("lmdb", tmp_path / "db", SOME)
    (tmp_path / "db" / "lock.mdb").unlink()
    (tmp_path / "db" / "lock.mdb").mkdir()
    with pytest.raises(FormatError, match="db: cannot be opened for writing"):
        open_db("lmdb", tmp_path / "db", Mode.WRITE)
    assert read("lmdb", tmp_path / "db") == SOME


def test_adding_needs_an_lmdb(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="db: no such LMDB folder"):
        open_db("lmdb", tmp_path / "db", Mode.WRITE)


@pytest.mark.parametrize(("db_type", "file"), [("minidb", "db"), ("lmdb", "db/data.mdb")])
def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path, db_type: str, file: str) -> None:
    write(db_type, tmp_path / "db", [(b"%d" % index, bytes(200_000)) for index in range(5)])
    with open_db(db_type, tmp_path / "db") as database:
        cursor = database.cursor()
        os.truncate(tmp_path / file, 300_000)
        with pytest.raises(FormatError, match="the file became shorter"):
            list(cursor)


def test_minidb_cannot_seek(tmp_path: Path) -> None:
    write("minidb", tmp_path / "db", SOME)
    with open_db("minidb", tmp_path / "db") as database, database.cursor() as cursor:
        assert not cursor.supports_seek
        with pytest.raises(NotSupportedError, match="reads from front to back"):
            cursor.seek(b"5")


# ---------------------------------------------------------------------------------- opening


def make_paths(folder: Path) -> None:
    write("lmdb", folder / "an_lmdb", SOME)
    write("minidb", folder / "a_minidb", SOME)
    (folder / "text").write_text("name: 'LeNet'\n")
    (folder / "folder").mkdir()
    (folder / "empty").write_bytes(b"")


OPENING = [
    ("lmbd", "an_lmdb", "unknown database type 'lmbd'; there are .*lmdb.*Did you mean lmdb"),
    (
        "minidb",
        "an_lmdb",
        "looks like lmdb, not minidb: open it with db_type='lmdb' .in a Caffe layer: backend: LMDB.",
    ),
    ("lmdb", "a_minidb", "looks like minidb, not lmdb: open it with db_type='minidb'"),
    ("lmdb", "an_lmdb/data.mdb", "name the folder, .*an_lmdb, not the file in it"),
    ("lmdb", "nowhere", "nowhere: no such LMDB folder in /.*"),
    ("lmdb", "an_lmbd", "no such LMDB folder in /.*Did you mean an_lmdb"),
    ("minidb", "a_minidbs", "no such minidb file in /.*Did you mean a_minidb"),
    ("lmdb", "gone/db", "no such LMDB folder: there is no folder /.*gone"),
    ("lmdb", "folder", "folder: no data.mdb in this folder"),
    ("lmdb", "text", "text: no such LMDB folder: .* is a file"),
    ("minidb", "nowhere", "nowhere: no such minidb file"),
    ("minidb", "folder", "folder: no such minidb file"),
]


@pytest.mark.parametrize(("db_type", "name", "message"), OPENING)
def test_what_cannot_be_opened_says_why(tmp_path: Path, db_type: str, name: str, message: str) -> None:
    make_paths(tmp_path)
    with pytest.raises(DataError, match=message):
        open_db(db_type, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "store"),
    [("an_lmdb", "lmdb"), ("a_minidb", "minidb"), ("text", None), ("folder", None), ("nowhere", None)],
)
def test_a_path_tells_its_store(tmp_path: Path, name: str, store: str | None) -> None:
    make_paths(tmp_path)
    assert store_of(tmp_path / name) == store


def test_names_of_stores_are_taken_in_any_case(tmp_path: Path) -> None:
    make_paths(tmp_path)
    assert read("LMDB", tmp_path / "an_lmdb") == SOME
    assert read("minidb", tmp_path / "empty") == []


# -------------------------------------------------------------------------------------- DBReader


@pytest.mark.parametrize("db_type", STORES)
@pytest.mark.parametrize(("num_shards", "shard_id"), [(1, 0), (4, 0), (4, 3), (150, 149)])
def test_reader_goes_round(tmp_path: Path, db_type: str, num_shards: int, shard_id: int) -> None:
    write(db_type, tmp_path / "db", SOME)
    own = SOME[shard_id::num_shards]
    reader = DBReader(db_type, tmp_path / "db", num_shards, shard_id)
    assert [reader.read() for _ in range(2 * len(own) + 1)] == [*own, *own, own[0]]
    reader.seek_to_first()
    assert reader.key() == own[0][0]
    assert reader.read_many(3 * len(own)) == own * 3
    reader.close()


def test_reader_starts_at_a_key(tmp_path: Path) -> None:
    write("lmdb", tmp_path / "db", SOME)
    assert DBReader("lmdb", tmp_path / "db", key=b"100").read() == SOME[100]


@pytest.mark.parametrize(
    ("records", "shards", "message"),
    [
        ([], (1, 0), "the database has 0 records, shard 0 needs 1 at least"),
        (SOME[:2], (4, 3), "the database has 2 records, shard 3 needs 4 at least"),
        (SOME, (2, 2), "shard 2 of 2: expected 0 <= shard_id < num_shards"),
    ],
)
@pytest.mark.parametrize("db_type", STORES)
def test_reader_refuses(tmp_path: Path, db_type: str, records: Records, shards: Any, message: str) -> None:
    write(db_type, tmp_path / "db", records)
    with pytest.raises(DataError, match=message):
        DBReader(db_type, tmp_path / "db", *shards)


@pytest.mark.parametrize("db_type", STORES)
def test_threads_share_a_reader(tmp_path: Path, db_type: str) -> None:
    write(db_type, tmp_path / "db", SOME)
    reader = DBReader(db_type, tmp_path / "db")
    found: Records = []
    threads = [
        threading.Thread(target=lambda: found.extend(reader.read() for _ in range(30))) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(SOME)


# ------------------------------------------------------------------------------------- damage

MINIDB_DAMAGE = {
    "header cut": (b"\x01\0\0\0\x01\0\0\0ab\x01\0\0", r"offset 10 \(record 1\): 3 bytes are left"),
    "record cut": (
        b"\x01\0\0\0\x05\0\0\0ab",
        r"offset 0 \(record 0\): a record with a key of 1 and a value of 5",
    ),
    "negative key": (b"\xff\xff\xff\xff\x05\0\0\0ab", "a key of -1"),
    "negative value": (b"\x05\0\0\0\xff\xff\xff\xffab", "a value of -1"),
    "empty key": (b"\0\0\0\0\x01\0\0\0a", "a key of 0"),
    "two gigabytes": (b"\xff\xff\xff\x7f\xff\xff\xff\x7fab", "a key of 2147483647"),
}


@pytest.mark.parametrize("name", MINIDB_DAMAGE)
def test_damaged_minidb(tmp_path: Path, name: str) -> None:
    data, message = MINIDB_DAMAGE[name]
    (tmp_path / "db").write_bytes(data)
    with pytest.raises(FormatError, match=message):
        read("minidb", tmp_path / "db")
    with pytest.raises(FormatError, match=message):
        open_db("minidb", tmp_path / "db", Mode.WRITE)
    assert (tmp_path / "db").read_bytes() == data


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200))
def test_any_bytes_as_minidb(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "db").write_bytes(data)
    try:
        records = read("minidb", tmp_path / "db")
    except FormatError:
        return
    assert b"".join(struct.pack("<ii", len(k), len(v)) + k + v for k, v in records) == data


@pytest.fixture(scope="module")
def whole_lmdb(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A data file with inline and overflow values and free pages."""
    folder = tmp_path_factory.mktemp("lmdb") / "whole"
    write("lmdb", folder, SOME)
    write("lmdb", folder, [(key, b"new" + value) for key, value in SOME[::3]], Mode.WRITE)
    return (folder / "data.mdb").read_bytes()


def put_lmdb(folder: Path, data: bytes) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "data.mdb").write_bytes(data)
    return folder


def patched(data: bytes, offset: int, layout: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(layout, out, offset, value)
    return bytes(out)


def newer_meta(data: bytes) -> int:
    """Where the meta page starts that counts."""
    return max((0, 4096), key=lambda page: struct.unpack_from("<Q", data, page + 144)[0])


def root_page(data: bytes) -> int:
    return struct.unpack_from("<Q", data, newer_meta(data) + 128)[0] * 4096


LMDB_DAMAGE = {
    "empty": (lambda d: b"", "two pages at least, this one has 0 bytes"),
    "one page": (lambda d: d[:4096], "bytes 4096 to"),
    "half": (lambda d: d[: len(d) // 2], "truncated: .* bytes, the meta page promises"),
    "one page less": (lambda d: d[:-4096], "truncated"),
    "magic": (lambda d: patched(d, 16, "<I", 0), "the magic number is missing"),
    "32 bit": (lambda d: d[:12] + d[16:], "written on a 32-bit or big-endian machine"),
    "big endian": (lambda d: patched(d, 16, ">I", 0xBEEFC0DE), "written on a 32-bit or big-endian machine"),
    "version": (lambda d: patched(d, 20, "<I", 2), "LMDB data format 2, only format 1 is read"),
    "page size": (lambda d: patched(d, 40, "<I", 4095), "a page size of 4095 bytes"),
    "second meta": (lambda d: patched(d, 4096 + 16, "<I", 7), "page 1: damaged: not a meta page"),
    "root": (lambda d: patched(d, newer_meta(d) + 128, "<Q", 1 << 40), "a pointer to page 1099511627776"),
    "root is a meta": (lambda d: patched(d, newer_meta(d) + 128, "<Q", 0), "a pointer to page 0"),
    "depth": (lambda d: patched(d, newer_meta(d) + 94, "<H", 99), "a tree 99 levels deep"),
    "depth too small": (lambda d: patched(d, newer_meta(d) + 94, "<H", 1), "damaged: it says page .* kind 1"),
    "page number": (lambda d: patched(d, root_page(d), "<Q", 3), "damaged: it says page 3"),
    "lower": (lambda d: patched(d, root_page(d) + 12, "<H", 65535), "its nodes are said to lie from 65535"),
    "pointer": (lambda d: patched(d, root_page(d) + 16, "<H", 65535), "a node lies outside the page"),
    "child": (
        lambda d: patched(
            d, root_page(d) + struct.unpack_from("<H", d, root_page(d) + 16)[0], "<I", 0xFFFFFF
        ),
        "a pointer to page",
    ),
    "loop": (
        lambda d: patched(
            d, root_page(d) + struct.unpack_from("<H", d, root_page(d) + 18)[0], "<I", root_page(d) // 4096
        ),
        "damaged",
    ),
}


@pytest.mark.parametrize("name", LMDB_DAMAGE)
def test_damaged_lmdb(tmp_path: Path, whole_lmdb: bytes, name: str) -> None:
    damage, message = LMDB_DAMAGE[name]
    folder = put_lmdb(tmp_path / "db", damage(whole_lmdb))
    for use in (lambda: read("lmdb", folder), lambda: open_db("lmdb", folder, Mode.WRITE)):
        with pytest.raises(FormatError, match=message) as error:
            use()
        assert "data.mdb" in str(error.value)


def test_count_of_records_is_checked_before_writing(tmp_path: Path, whole_lmdb: bytes) -> None:
    folder = put_lmdb(tmp_path / "db", patched(whole_lmdb, newer_meta(whole_lmdb) + 120, "<Q", 5))
    with pytest.raises(FormatError, match="damaged: 150 records, the meta page says 5"):
        open_db("lmdb", folder, Mode.WRITE)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_lmdb_with_random_damage(tmp_path: Path, whole_lmdb: bytes, data: Any) -> None:
    damaged = bytearray(whole_lmdb)
    for _ in range(data.draw(st.integers(1, 30))):
        page = data.draw(st.integers(0, len(damaged) // 4096 - 1)) * 4096
        damaged[page + data.draw(st.integers(0, 199) | st.integers(0, 4095))] = data.draw(st.integers(0, 255))
    folder = put_lmdb(tmp_path / "db", bytes(damaged))
    try:
        records = read("lmdb", folder)
    except (FormatError, NotSupportedError):
        return
    assert len(records) <= 10 * len(SOME)


def test_named_databases_are_not_read(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), max_dbs=1) as env:
        inner = env.open_db(b"inner")
        with env.begin(write=True, db=inner) as transaction:
            transaction.put(b"a", b"1")
    with pytest.raises(NotSupportedError, match="an LMDB of several named databases is not read"):
        read("lmdb", tmp_path / "db")


def test_several_values_for_a_key_are_not_read(tmp_path: Path, whole_lmdb: bytes) -> None:
    folder = put_lmdb(tmp_path / "db", patched(whole_lmdb, newer_meta(whole_lmdb) + 92, "<H", 4))
    with pytest.raises(NotSupportedError, match="an LMDB with several values for a key is not read"):
        read("lmdb", folder)
