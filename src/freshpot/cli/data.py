"""``freshpot data``: data sets in the forms that Caffe and Caffe2 programs read.

``freshpot data mnist --format caffe2-lmdb --out DIR`` writes ``DIR/mnist-train-nchw-lmdb`` and
``DIR/mnist-test-nchw-lmdb``, the names that the tutorials open. Records are in the order of MNIST's files.
Synthetic digits go under names that begin with ``synthetic`` instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from freshpot.cli._folders import check_out
from freshpot.errors import DataError

if TYPE_CHECKING:
    from freshpot.data.mnist import MnistSplit

__all__ = ["add_parser", "run"]


class _Form(NamedTuple):
    """How a database format is written: its store, its kind of record, and its name on disk."""

    db_type: str
    record: str
    name: str


_DATABASES = {
    "caffe2-lmdb": _Form("lmdb", "tensor_protos", "{set}-{split}-nchw-lmdb"),
    "minidb": _Form("minidb", "tensor_protos", "{set}-{split}-nchw-minidb"),
    "caffe-lmdb": _Form("lmdb", "datum", "{set}_{split}_lmdb"),
}
_FORMATS = ("idx", *_DATABASES)
_IDX_STEMS = {"train": "train", "test": "t10k"}


def add_parser(subparsers: Any) -> None:
    """Add ``data`` and its own subcommands."""
    parser = subparsers.add_parser("data", help="make data sets: MNIST as IDX files, LMDB or minidb")
    sets = parser.add_subparsers(title="data sets", dest="dataset", metavar="SET", required=True)
    mnist = sets.add_parser("mnist", help="handwritten digits, 60000 to train on and 10000 to test")
    mnist.add_argument(
        "--format",
        choices=_FORMATS,
        default="caffe2-lmdb",
        help="idx: the four original files; caffe2-lmdb, minidb: TensorProtos records; caffe-lmdb: Datum records "
        "(default %(default)s)",
    )
    mnist.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder to write to; made if missing"
    )
    mnist.add_argument(
        "--data",
        metavar="DIR",
        help="folder with MNIST's files, or the word synthetic; default: FRESHPOT_DATA, the cache, a download, "
        "and where all fail synthetic digits",
    )
    mnist.add_argument(
        "--split", choices=("train", "test", "both"), default="both", help="default %(default)s"
    )
    mnist.add_argument("--limit", type=int, metavar="N", help="only the first N of each split")
    mnist.add_argument("--strict", action="store_true", help="fail rather than write synthetic digits")


def run(args: argparse.Namespace) -> int:
    """Write what was asked for, and say what was written."""
    from freshpot.data.mnist import load_mnist

    check_out(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test") if args.split == "both" else (args.split,):
        digits = load_mnist(args.data, split, limit=args.limit, strict=args.strict)
        for path in _write(args.format, args.out, digits):
            origin = digits.title if digits.synthetic else f"{digits.title} from {digits.source}"
            print(f"{path}: {len(digits)} {split} records, {origin}")
    return 0


def _write(form: str, folder: Path, digits: MnistSplit) -> list[Path]:
    """Write one split; the paths that are new."""
    prefix = "synthetic" if digits.synthetic else "mnist"
    if form == "idx":
        return _write_idx(folder, "synthetic-" if digits.synthetic else "", digits)
    from freshpot.data.image_db import write_image_db

    database = _DATABASES[form]
    path = _free(folder / database.name.format(set=prefix, split=digits.split))
    write_image_db(database.db_type, path, digits.images, digits.labels, record=database.record)
    return [path]


def _write_idx(folder: Path, prefix: str, digits: MnistSplit) -> list[Path]:
    from freshpot.formats.idx import write_idx

    stem = prefix + _IDX_STEMS[digits.split]
    arrays = {f"{stem}-images-idx3-ubyte": digits.images, f"{stem}-labels-idx1-ubyte": digits.labels}
    paths = [_free(folder / name) for name in arrays]
    for path, array in zip(paths, arrays.values(), strict=True):
        write_idx(path, array)
    return paths


def _free(path: Path) -> Path:
    if path.exists():
        raise DataError(f"{path} exists already; remove it, or name another folder with --out")
    return path
