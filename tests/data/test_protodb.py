"""protodb: the bytes of the original, and its rules about names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from caffe2.proto import caffe2_pb2
from freshpot.data.reader import DBReader, Mode, open_db, store_of
from freshpot.errors import DataError, FormatError, NotSupportedError


def tensor(name: str, value: float) -> bytes:
    return caffe2_pb2.TensorProto(name=name, dims=[1], data_type=1, float_data=[value]).SerializeToString()


def write(path: Path, records: dict[str, bytes], mode: Mode = Mode.NEW) -> None:
    with open_db("protodb", path, mode) as database, database.transaction() as transaction:
        for key, value in records.items():
            transaction.put(key.encode(), value)


#: Recorded from the original: two tensors in a new database, a third added in mode WRITE.
TWO = b"\n\r\x08\x01\x10\x01\x1a\x04\x00\x00\x80?:\x01a\n\r\x08\x01\x10\x01\x1a\x04\x00\x00\x00@:\x01b"
THREE = TWO + b"\n\r\x08\x01\x10\x01\x1a\x04\x00\x00\x80?:\x01c"


def test_bytes_are_those_of_the_original(tmp_path: Path) -> None:
    path = tmp_path / "db"
    write(path, {"a": tensor("a", 1), "b": tensor("b", 2)})
    assert path.read_bytes() == TWO
    write(path, {"c": tensor("c", 1)}, Mode.WRITE)
    assert path.read_bytes() == THREE
    assert store_of(path) == "protodb"
    wanted = [(b"a", tensor("a", 1)), (b"b", tensor("b", 2)), (b"c", tensor("c", 1))]
    assert DBReader("ProtoDB", path).read_many(4) == [*wanted, wanted[0]]


def test_dropping_and_reading_early(tmp_path: Path) -> None:
    database = open_db("protodb", tmp_path / "db", Mode.NEW)
    database.transaction().put(b"a", tensor("a", 1))
    assert DBReader("protodb", tmp_path / "db").read() == (b"a", tensor("a", 1))
    del database
    assert os.listdir(tmp_path) == ["db"]


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("a", tensor("a", 5), DataError, "db: there is a tensor 'a' already"),
        ("d", tensor("e", 5), FormatError, "record 'd': protodb holds tensors under their own names.*'e'"),
        ("d", b"\xff", FormatError, "record 'd': 1 bytes are not a complete caffe2.TensorProto"),
    ],
)
def test_what_is_refused_leaves_the_file_alone(
    tmp_path: Path, key: str, value: bytes, error: type[Exception], message: str
) -> None:
    (tmp_path / "db").write_bytes(TWO)
    with pytest.raises(error, match=message):
        write(tmp_path / "db", {"c": tensor("c", 1), key: value}, Mode.WRITE)
    assert (tmp_path / "db").read_bytes() == TWO


def test_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such protodb file"):
        open_db("protodb", tmp_path / "db", Mode.WRITE)
    (tmp_path / "db").write_bytes(TWO[:-1])
    with pytest.raises(FormatError, match=r"db: 29 bytes are not a complete caffe2.TensorProtos"):
        open_db("protodb", tmp_path / "db")
    (tmp_path / "db").write_bytes(b"")
    with open_db("protodb", tmp_path / "db") as database, database.cursor() as cursor:
        with pytest.raises(DataError, match="the cursor is past the last of 0 records"):
            cursor.value()
        with pytest.raises(NotSupportedError, match="cannot seek"):
            cursor.seek(b"a")
    with open_db("protodb", tmp_path / "db", Mode.WRITE) as database:
        transaction = database.transaction()
    transaction.put(b"a", tensor("a", 1))
    with pytest.raises(DataError, match="the database is closed"):
        transaction.commit()
