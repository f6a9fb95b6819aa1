"""Damaged files, made from good ones by seeded mutations, and a process that reads them one after the other.

Run as a program by `test_hostile`: ``python hostile.py SHARED FIRST LAST STEP`` prints a line for every file,
``number kind outcome``, before it starts the next one. A crash or a hang (a timer ends the process) is seen as
lines that are missing.
"""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

#: seconds of the processor for one file, and of the clock (on a busy machine work takes many times its own time)
LIMIT, PATIENCE = 30, 600
#: bytes of address space beyond what the imported libraries take
MEMORY = 3 << 30

Mutation = Callable[[random.Random, bytes, bytes], bytes]

_FILES = "reference/caffe/files"
#: kind of file -> the good ones
SOURCES = {
    "prototxt": (
        f"{_FILES}/lenet_train_test.prototxt",
        f"{_FILES}/small.prototxt",
        f"{_FILES}/upgrade/v0.prototxt",
        f"{_FILES}/upgrade/v1.prototxt",
        f"{_FILES}/upgrade/input_fields.prototxt",
        f"{_FILES}/upgrade/batchnorm_params.prototxt",
        "models/everpeace+caffe/examples/mnist/lenet.prototxt",
        "models/walkoncross+mtcnn-caffe-zyf/model/det2.prototxt",
        "models/lltcggie+waifu2x-caffe/bin/models/cunet/noise0_scale2.0x_model.prototxt",
    ),
    "caffemodel": (f"{_FILES}/mlp_iter_10.caffemodel", f"{_FILES}/upgrade/v1.caffemodel"),
    "solverstate": (f"{_FILES}/mlp_iter_10.solverstate", f"{_FILES}/lenet_iter_200.solverstate"),
    "caffemodel.h5": (f"{_FILES}/mlp_iter_10.caffemodel.h5",),
    "solverstate.h5": (f"{_FILES}/mlp_iter_10.solverstate.h5",),
    "rows.h5": (f"{_FILES}/mlp_iter_10.caffemodel.h5",),
    "lmdb": (f"{_FILES}/mnist_200_lmdb/data.mdb",),
    "solver": (
        f"{_FILES}/lenet_solver.prototxt",
        f"{_FILES}/upgrade/solver_adam.prototxt",
        f"{_FILES}/upgrade/solver_rmsprop.upgraded.prototxt",
    ),
}
KINDS = tuple(SOURCES)


# ---- mutations ------------------------------------------------------------------------------------


def flip_bits(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A few single bits, anywhere."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def flip_near_the_start(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Bytes of the head, where headers and the first lengths are."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        out[rng.randrange(min(len(out), 2048))] = rng.randrange(256)
    return bytes(out)


def cut(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Only the beginning."""
    return data[: rng.randrange(len(data))]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A piece of one file in the place of a piece of another."""
    at, size = rng.randrange(len(data)), rng.randrange(1, 4096)
    begin = rng.randrange(len(other))
    return data[:at] + other[begin : begin + size] + data[at + rng.choice((0, size)) :]


def drop(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A hole."""
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 200) :]


def repeat(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A piece many times over."""
    at, size = rng.randrange(len(data)), rng.randrange(1, 200)
    return data[:at] + data[at : at + size] * rng.choice((2, 10, 1000)) + data[at:]


def huge_number(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A length, a count or an offset that is far too large."""
    at = rng.randrange(min(len(data), rng.choice((64, 4096, 1 << 30))))
    number = rng.choice(
        (b"\xff" * 8, b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\x00\x00\x00\x80", b"\x7f")
    )
    return data[:at] + number + data[at + len(number) :]


def other_digits(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """A number in text that is far too large, negative or none."""
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
    if not digits:
        return b""
    at = rng.choice(digits)
    number = rng.choice((b"99999999", b"4294967295", b"-1", b"0", b"1e30", b"nan", b"9" * 400, b"0x7fffffff"))
    return data[:at] + number + data[at + 1 :]


def other_word(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A word in the place of another."""
    words, more = data.split(b" "), other.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(more)
    return b" ".join(words)


def other_token(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A name, a number or a string in the place of another of its kind: the text stays well formed."""
    kind = rng.choice((rb"[A-Za-z_]\w+", rb"-?\d[\d.]*", rb'"[^"\n]*"'))
    here, there = list(re.finditer(kind, data)), re.findall(kind, other)
    if not here or not there:
        return data
    at = rng.choice(here)
    return data[: at.start()] + rng.choice(there) + data[at.end() :]


def other_lines(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Lines that are gone, doubled, or somebody else's."""
    lines, more = data.splitlines(True), other.splitlines(True)
    at = rng.randrange(len(lines))
    lines[at : at + rng.randrange(2)] = rng.choice(([], [lines[at]], [rng.choice(more)]))
    return b"".join(lines)


def deep(rng: random.Random, data: bytes, _: bytes) -> bytes:
    """Nesting without end."""
    at = rng.randrange(len(data))
    return (
        data[:at]
        + rng.choice((b"layer {", b"{", b"[", b"<", b"'", b"\x0a\x7f")) * rng.choice((1, 500, 100_000))
        + data[at:]
    )


BINARY: tuple[Mutation, ...] = (
    flip_bits, flip_near_the_start, cut, splice, drop, repeat, huge_number, huge_number, deep,
)  # fmt: skip
TEXT: tuple[Mutation, ...] = (
    flip_bits, cut, splice, drop, repeat, other_digits, other_digits, other_word, deep,
    *[other_token] * 10, *[other_lines] * 4,
)  # fmt: skip


def mutant(shared: Path, number: int) -> tuple[str, bytes]:
    """File ``number`` of the endless row: its kind and its bytes."""
    rng = random.Random(number)
    kind = KINDS[number % len(KINDS)]
    data, other = ((shared / rng.choice(SOURCES[kind])).read_bytes() for _ in range(2))
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(TEXT if kind in ("prototxt", "solver") else BINARY)(rng, data, other) or data[:1]
    return kind, data


# ---- reading --------------------------------------------------------------------------------------


class Readers:
    """Reads a file of each kind as a user would."""

    def __init__(self, shared: Path) -> None:
        import caffe

        self._caffe = caffe
        self._net = caffe.Net._from_text(DEPLOY, caffe.TEST)

    def read(self, kind: str, path: Path) -> None:
        """Raises whatever reading raises."""
        getattr(self, "_" + kind.replace(".", "_"))(path)

    def _prototxt(self, path: Path) -> None:
        from caffe import _files
        from freshpot.formats.prototxt import format_prototxt

        format_prototxt(_files.read_net(path))
        self._caffe.Net(str(path), self._caffe.TEST)

    def _solver(self, path: Path) -> None:
        from caffe._solver.nets import read_solver

        read_solver(path)

    def _caffemodel(self, path: Path) -> None:
        self._net.copy_from(str(path), skip_mismatched=True)

    _caffemodel_h5 = _caffemodel

    def _solverstate(self, path: Path) -> None:
        from freshpot.formats.solverstate import read_solverstate

        read_solverstate(str(path))

    _solverstate_h5 = _solverstate

    def _rows_h5(self, path: Path) -> None:
        from freshpot.data.hdf5_rows import read_datasets

        read_datasets(path, ["data/ip1/0"])
        read_datasets(path, ["data/ip2/1"])

    def _lmdb(self, path: Path) -> None:
        from freshpot.data.datum import datum_decoder
        from freshpot.data.reader import open_db

        folder = path.with_suffix(".folder")
        folder.mkdir()
        shutil.move(path, folder / "data.mdb")
        decoder = datum_decoder()
        with open_db("lmdb", str(folder)) as database:
            for records in _batches(database.cursor()):
                decoder.decode(records)


DEPLOY = """
name: "mlp"
layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 16 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
"""


def _batches(cursor: object) -> Iterator[list[tuple[bytes, bytes]]]:
    while records := cursor.take(50):  # type: ignore[attr-defined]
        yield records


def main(shared: Path, first: int, last: int, step: int) -> None:
    """Read files first, first + step … below last, and say what came of each."""
    from freshpot.errors import FreshpotError

    readers = Readers(shared)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
    for ends_the_process in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(ends_the_process, signal.SIG_DFL)
    for number in range(first, last, step):
        kind, data = mutant(shared, number)
        with tempfile.TemporaryDirectory() as folder:
            for file in (shared / _FILES).iterdir():  # nets name their files from here
                (Path(folder) / file.name).symlink_to(file)
            os.chdir(folder)
            path = Path(folder) / f"mutant.{kind}"
            path.write_bytes(data)
            signal.setitimer(signal.ITIMER_PROF, LIMIT)
            signal.alarm(PATIENCE)
            try:
                readers.read(kind, path)
                outcome = "read"
            except FreshpotError as error:
                outcome = type(error).__name__
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                outcome = (
                    f"UNTYPED {type(error).__name__} {place.filename}:{place.lineno} {str(error)[:200]!r}"
                )
            signal.alarm(0)
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(number, kind, outcome, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
