"""IDX files: round trips, real MNIST, and every way a file can be wrong."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from freshpot.errors import FormatError
from freshpot.formats.idx import parse_idx, read_idx, write_idx

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.array([-1, 0, 127], dtype=np.int8),
    np.array([[-30000, 2]], dtype=np.int16),
    np.array([1 << 30, -5], dtype=np.int32),
    np.array([1.5, -0.25], dtype=np.float32),
    np.array([[1e300], [np.pi]], dtype=np.float64),
    np.zeros((0, 28, 28), dtype=np.uint8),
]
GOOD = bytes.fromhex("00000801 00000003") + b"abc"


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_round_trip(tmp_path: Path, array: np.ndarray, name: str) -> None:
    path = tmp_path / name
    write_idx(path, array)
    found = read_idx(path)
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.flags.writeable
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


def test_bytes_are_big_endian_and_reproducible(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_idx(path, np.array([258], dtype=np.int16))
    assert path.read_bytes() == bytes.fromhex("00000b01 00000001 0102")
    packed = [tmp_path / "b.gz", tmp_path / "c.gz"]
    for each in packed:
        write_idx(each, ARRAYS[0])
    assert packed[0].read_bytes() == packed[1].read_bytes()


def test_memory_layout_does_not_matter(tmp_path: Path) -> None:
    array = np.arange(12, dtype=">i4").reshape(3, 4).T
    write_idx(tmp_path / "a", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


BROKEN = {
    "empty": (b"", "offset 0: not an IDX file: it begins with nothing"),
    "text": (b"hello there", "begins with 68 65 6c 6c"),
    "no such type": (bytes.fromhex("00000701 00000001 00"), "begins with 00 00 07 01"),
    "no axes": (bytes.fromhex("00000800"), "1 to 32 axes"),
    "shape cut off": (bytes.fromhex("00000803 0000"), "offset 6: ends within the shape of 3 axes"),
    "data cut off": (GOOD[:-1], r"offset 8: shape \(3,\) of uint8 needs 3 bytes of data, the file has 2"),
    "data too long": (GOOD + b"d", "needs 3 bytes of data, the file has 4"),
    "absurd shape": (
        struct.pack(">HBB3I", 0, 14, 3, *[2**32 - 1] * 3),
        "needs 633825299671392843082401579000 bytes of data, the file has 0",
    ),
    "absurd empty shape": (
        struct.pack(">HBB4I", 0, 8, 4, 0, *[2**32 - 1] * 3),
        r"offset 4: no array can have the shape \(0, 4294967295",
    ),
    "gzip of too little": (gzip.compress(GOOD[:-1]), "ends after 2 of 3 bytes of data"),
    "gzip of too much": (gzip.compress(GOOD + b"d"), "offset 11: data goes on after the 3 bytes"),
    "gzip cut off": (gzip.compress(GOOD)[:-6], "broken gzip data"),
    "gzip checksum": (gzip.compress(GOOD)[:-8] + bytes(8), "broken gzip data"),
    "gzip then rubbish": (gzip.compress(GOOD)[:10] + b"\xff" * 9, "broken gzip data"),
    "gzip bomb by header": (
        gzip.compress(struct.pack(">HBB1I", 0, 8, 1, 2**32 - 1)),
        "needs 4294967295 bytes of data, the file has at most",
    ),
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_files_say_where(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "broken"
    path.write_bytes(data)
    for read in (lambda: read_idx(path), lambda: parse_idx(data, path=path)):
        with pytest.raises(FormatError, match=message) as caught:
            read()
        assert str(path) in str(caught.value)


def test_a_bomb_is_not_unpacked_beyond_its_promise(tmp_path: Path) -> None:
    """A small promise with a gigabyte behind it: one byte too many is noticed, the rest is never unpacked."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(GOOD)
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(FormatError, match="data goes on after the 3 bytes"):
        read_idx(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(2, dtype=np.int64), "no element type int64"),
        (np.uint8(3), "the array has 0"),
    ],
)
def test_what_idx_cannot_hold(tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = tmp_path / "a"
    with pytest.raises(FormatError, match=message):
        write_idx(path, array)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_idx(path, ARRAYS[0])
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_idx(path, ARRAYS[1])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_real_mnist(shared: Path) -> None:
    labels = read_idx(shared / "mnist" / "t10k-labels-idx1-ubyte.gz")
    images = read_idx(shared / "mnist" / "t10k-images-idx3-ubyte.gz")
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert images.shape == (10000, 28, 28)
    assert int(images.sum()) == 264923200
