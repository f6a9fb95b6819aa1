"""``freshpot data mnist``: what is written, under which names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from freshpot.cli import main
from freshpot.data import mnist
from freshpot.data.reader import open_db
from freshpot.formats import protobuf
from freshpot.formats.idx import read_idx, write_idx

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], dtype=np.uint8)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with a twelve-image MNIST; no cache, no network."""
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FRESHPOT_OFFLINE", "1")
    monkeypatch.delenv("FRESHPOT_DATA", raising=False)
    monkeypatch.setattr(mnist, "_download_failed", None)
    monkeypatch.setattr(mnist, "_announced", False)
    folder = tmp_path / "mnist"
    folder.mkdir()
    for stem in ("train", "t10k"):
        write_idx(folder / f"{stem}-images-idx3-ubyte.gz", IMAGES)
        write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", LABELS)
    return str(folder)


def records(db_type: str, path: Path) -> list[tuple[bytes, bytes]]:
    with open_db(db_type, path) as database, database.cursor() as cursor:
        return list(cursor)


@pytest.mark.parametrize(
    ("form", "db_type", "names"),
    [
        ("caffe2-lmdb", "lmdb", ("mnist-train-nchw-lmdb", "mnist-test-nchw-lmdb")),
        ("minidb", "minidb", ("mnist-train-nchw-minidb", "mnist-test-nchw-minidb")),
        ("caffe-lmdb", "lmdb", ("mnist_train_lmdb", "mnist_test_lmdb")),
    ],
)
def test_databases(
    digits: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
    db_type: str,
    names: tuple[str, str],
) -> None:
    out = tmp_path / "new" / "out"
    assert main(["data", "mnist", "--format", form, "--out", str(out), "--data", digits]) == 0
    said = capsys.readouterr().out.splitlines()
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    for name, split, line in zip(names, ("train", "test"), said, strict=True):
        assert line == f"{out / name}: 12 {split} records, MNIST from {digits}"
        found = records(db_type, out / name)
        assert [key for key, _ in found] == [b"%08d" % i for i in range(12)]
        for (_, value), image, label in zip(found, IMAGES, LABELS, strict=True):
            assert decode(form, value) == (image.tobytes(), label)


def decode(form: str, value: bytes) -> tuple[bytes, int]:
    if form == "caffe-lmdb":
        datum = protobuf.load("caffe2_legacy").CaffeDatum.FromString(value)
        assert (datum.channels, datum.height, datum.width) == (1, 28, 28)
        return datum.data, datum.label
    image, label = protobuf.load("caffe2").TensorProtos.FromString(value).protos
    assert list(image.dims) == [1, 28, 28]
    return image.byte_data, label.int32_data[0]


def test_idx(digits: str, tmp_path: Path) -> None:
    arguments = ["data", "mnist", "--format", "idx", "--data", digits, "--limit", "5", "--split", "test"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]
    np.testing.assert_array_equal(read_idx(tmp_path / "out" / "t10k-images-idx3-ubyte"), IMAGES[:5])
    np.testing.assert_array_equal(read_idx(tmp_path / "out" / "t10k-labels-idx1-ubyte"), LABELS[:5])


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("idx", "synthetic-train-images-idx3-ubyte"),
        ("minidb", "synthetic-train-nchw-minidb"),
        ("caffe-lmdb", "synthetic_train_lmdb"),
    ],
)
@pytest.mark.parametrize("data", [["--data", "synthetic"], []])
@pytest.mark.usefixtures("digits")
def test_synthetic_digits_are_named_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, name: str, data: list[str]
) -> None:
    arguments = ["data", "mnist", "--format", form, "--split", "train", "--limit", "3", *data]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / name).exists()
    said = capsys.readouterr()
    assert f"{name}: 3 train records, synthetic digits" in said.out
    assert "from" not in said.out
    assert ("using SYNTHETIC digits, not MNIST" in said.err) == (not data)


def test_what_is_there_is_not_overwritten(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("idx", "minidb", "caffe2-lmdb", "caffe-lmdb"):
        arguments = ["data", "mnist", "--format", form, "--data", digits, "--out", str(tmp_path / "out")]
        assert main(arguments) == 0
        assert main(arguments) == 2
        assert "exists already; remove it, or name another folder with --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "/no/such/place"], "freshpot: no such folder: /no/such/place."),
        (["--strict"], "freshpot: MNIST was not found: downloads are switched off"),
        (["--limit", "0"], "freshpot: the limit must be at least 1 image, got 0"),
        (["--data", "synthetic", "--limit", "60001"], "freshpot: the synthetic train set has 60000 digits"),
    ],
)
@pytest.mark.usefixtures("digits")
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["data", "mnist", "--out", str(tmp_path / "out"), *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(message)


def test_real_mnist_first_record(shared: Path, tmp_path: Path) -> None:
    """The first records are those of Caffe2's own database."""
    arguments = ["data", "mnist", "--format", "minidb", "--data", str(shared / "mnist"), "--limit", "3"]
    assert main([*arguments, "--out", str(tmp_path), "--split", "train"]) == 0
    found = records("minidb", tmp_path / "mnist-train-nchw-minidb")
    assert [decode("minidb", value)[1] for _, value in found] == [5, 0, 4]
