"""Operators that read and write files: printing, summaries, saving, loading, database input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from freshpot.data.reader import Mode, open_db
from freshpot.data.tensor_protos import encode_tensors
from freshpot.engine import Workspace
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DataError,
    DTypeError,
    FormatError,
    KernelError,
    MissingBlobError,
    NotSupportedError,
    ShapeError,
)
from freshpot.net import Net, Op

PRINTED = [
    (
        np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
        {},
        b"Tensor x of type float. Dims: (2,3,): 0,0.142857,0.285714,0.428571,0.571429,0.714286\n",
    ),
    (np.arange(4), {}, b"Tensor x of type long int. Dims: (4,): 0,1,2,3\n"),
    (np.arange(4), {"limit": 2}, b"Tensor x of type long int. Dims: (4,): 0,1\n"),
    (np.array([True, False]), {}, b"Tensor x of type bool. Dims: (2,): 1,0\n"),
    (np.array([65, 255], np.uint8), {}, b"Tensor x of type unsigned char. Dims: (2,): A,\xff\n"),
    (
        np.array([b"ab", b"c"], object),
        {},
        b"Tensor x of type std::basic_string<char>. Dims: (2,): ab,c\n",
    ),
    (np.array(3.5, np.float32), {}, b"Tensor x of type float. Dims: (): 3.5\n"),
    (np.zeros((0, 3), np.float32), {}, b"Tensor x of type float. Dims: (0,3,): \n"),
    (
        np.array([1 / 3, -1e-9, np.nan, np.inf]),
        {},
        b"Tensor x of type double. Dims: (4,): 0.333333,-1e-09,nan,inf\n",
    ),
    (
        np.array([1e5 + 0.123, 1e6], np.float32),
        {},
        b"Tensor x of type float. Dims: (2,): 100000,1e+06\n",
    ),
]


@pytest.mark.parametrize(("value", "args", "wanted"), PRINTED)
def test_print_to_file(tmp_path: Path, value: np.ndarray, args: dict, wanted: bytes) -> None:
    ws = Workspace(tmp_path)
    ws.feed("x", value)
    ws.run_op(Op("Print", ["x"], [], {"to_file": 1, **args}))
    assert (tmp_path / "x.log").read_bytes() == wanted


def test_print_appends_a_line_a_run_and_a_new_operator_begins_anew(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.feed("x", np.array([1]))
    for _ in range(2):
        ws.run_once(Net("once", [Op("Print", ["x"], [], {"to_file": 1})]))
    assert (tmp_path / "x.log").read_bytes().count(b"\n") == 1
    ws.create_net(Net("net", [Op("Print", ["x"], [], {"to_file": 1})])).run(3)
    assert (tmp_path / "x.log").read_bytes().count(b"\n") == 3


def test_print_every_n_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    ws = Workspace()
    ws.feed("i", np.arange(4))
    ws.create_net(Net("net", [Op("Print", ["i"], [], {"every_n": 2})])).run(4)
    line = "[I tensor.h:630] Tensor i of type long int. Dims: (4,): 0,1,2,3\n"
    assert capsys.readouterr().err == 2 * line


def test_print_refuses_what_it_cannot_print() -> None:
    ws = Workspace()
    ws.feed("h", np.ones(1, np.float16))
    with pytest.raises(DTypeError, match="cannot print float16"):
        ws.run_op(Op("Print", ["h"], []))


def test_print_stops_at_a_thousand_elements(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.feed("x", np.arange(2000))
    ws.run_op(Op("Print", ["x"], [], {"to_file": 1}))
    assert (tmp_path / "x.log").read_bytes().endswith(b",998,999\n")


def test_summarize_file_and_output(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.feed("x", np.arange(6, dtype=np.float32) / 7)
    ws.create_net(Net("net", [Op("Summarize", ["x"], ["s"], {"to_file": 1})])).run(2)
    assert (tmp_path / "x.summary").read_bytes() == 2 * b"0 0.714286 0.357143 0.267261\n"
    np.testing.assert_allclose(ws.get("s"), [0, 0.71428573, 0.35714287, 0.26726124], rtol=1e-6)


def test_summarize_refuses_nothing() -> None:
    ws = Workspace()
    ws.feed("x", np.zeros((0, 3), np.float32))
    with pytest.raises(ShapeError, match="must not be empty"):
        ws.run_op(Op("Summarize", ["x"], ["s"]))


# ------------------------------------------------------------------------------- saving and loading

VALUES = {
    "f": np.linspace(-1, 1, 7, dtype=np.float32).reshape(7, 1),
    "d": np.array([1e300, np.nan]),
    "h": np.array([0.5, -2], np.float16),
    "l": np.array([2**40, -1]),
    "i": np.array([[1, -1]], np.int32),
    "b": np.array([True, False]),
    "u": np.array([0, 255], np.uint8),
    "s": np.array([b"a", b"\xff\x00"], object),
    "none": np.zeros((0, 4), np.float32),
    "one": np.array(3.0, np.float32),
}


@pytest.mark.parametrize("chunk_size", [-1, 0, 2])
@pytest.mark.parametrize("db_type", ["minidb", "lmdb"])
def test_save_and_load_round_trip(tmp_path: Path, db_type: str, chunk_size: int) -> None:
    args = {"db": "blobs", "db_type": db_type}
    source, target = Workspace(tmp_path), Workspace(tmp_path)
    for name, value in VALUES.items():
        source.feed(name, value)
    source.run_op(Op("Save", list(VALUES), [], {**args, "chunk_size": chunk_size}))
    target.run_op(Op("Load", [], list(VALUES), args))
    for name, value in VALUES.items():
        made = target.get(name)
        made = made.numpy() if isinstance(made, torch.Tensor) else made
        assert made.dtype == value.dtype
        np.testing.assert_array_equal(made, value)


def test_checkpoint_writes_the_originals_bytes(tmp_path: Path, shared: Path) -> None:
    recorded = shared / "reference/caffe2/files/mnist_lenet_checkpoint_00020.minidb"
    ws = Workspace(tmp_path)
    load = {"db": str(recorded), "db_type": "minidb", "absolute_path": 1, "load_all": 1}
    ws.run_op(Op("Load", [], [], load))
    with open_db("minidb", recorded) as database:
        order = [key.decode().split("#%")[0] for key, _ in database.cursor()]
    ws.feed("iter", np.array([20]))
    args = {"db": "checkpoint_%05d.minidb", "db_type": "minidb", "every": 20}
    ws.run_op(Op("Checkpoint", order, [], args))
    assert (tmp_path / "checkpoint_00020.minidb").read_bytes() == recorded.read_bytes()
    ws.feed("iter", np.array([21]))
    ws.run_op(Op("Checkpoint", order, [], args))
    assert len(list(tmp_path.iterdir())) == 1


SAVE_ERRORS = [
    ({"db": ""}, ArgumentError, "must not be empty"),
    ({"blob_name_overrides": ["a", "b"]}, ArgumentError, "2 names for 1 inputs"),
    ({"blob_name_overrides": ["a"], "strip_prefix": "x"}, ArgumentError, "exclude each other"),
    ({"db": "no/such/folder/x"}, DataError, "no folder"),
    ({"db_type": "nosuch"}, DataError, "unknown database type"),
]


@pytest.mark.parametrize(("args", "error", "words"), SAVE_ERRORS)
def test_save_refusals(tmp_path: Path, args: dict, error: type[Exception], words: str) -> None:
    ws = Workspace(tmp_path)
    ws.feed("x", np.ones(1))
    with pytest.raises(error, match=words):
        ws.run_op(Op("Save", ["x"], [], {"db": "x.minidb", "db_type": "minidb", **args}))


def test_save_refuses_what_has_no_saved_form(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.run_op(Op("StatRegistryCreate", [], ["m"]))
    with pytest.raises(NotSupportedError, match="has no saved form"):
        ws.run_op(Op("Save", ["m"], [], {"db": "x.minidb", "db_type": "minidb"}))
    assert not (tmp_path / "x.minidb").exists()


def test_checkpoint_refuses_a_pattern_that_is_none(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    ws.feed("it", np.array([1]))
    with pytest.raises(ArgumentError, match="no pattern for one number"):
        ws.run_op(Op("Checkpoint", ["it"], [], {"db": "x%s%d", "db_type": "minidb"}))


def _saved(folder: Path) -> Workspace:
    ws = Workspace(folder)
    ws.feed("scope/a", np.ones(2, np.float32))
    ws.feed("b", np.zeros(3, np.float32))
    ws.run_op(Op("Save", ["scope/a", "b"], [], {"db": "t.minidb", "db_type": "minidb"}))
    return Workspace(folder)


LOAD_ERRORS = [
    (["c"], {}, MissingBlobError, "not in the database: c"),
    (["b"], {"db": "u.minidb"}, DataError, "no such minidb database"),
    (["b"], {"db": ""}, ArgumentError, "are required"),
    (["b"], {"source_blob_names": ["b", "c"]}, ArgumentError, "2 names for 1 outputs"),
    (["b"], {"source_blob_names": ["b"], "load_all": 1}, ArgumentError, "excludes"),
    (["b"], {"dbs": ["t.minidb", "t.minidb"]}, ArgumentError, "twice"),
]


@pytest.mark.parametrize(("outputs", "args", "error", "words"), LOAD_ERRORS)
def test_load_refusals(
    tmp_path: Path, outputs: list[str], args: dict, error: type[Exception], words: str
) -> None:
    ws = _saved(tmp_path)
    with pytest.raises(error, match=words):
        ws.run_op(Op("Load", [], outputs, {"db": "t.minidb", "db_type": "minidb", **args}))


def test_a_full_disk_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(database: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    ws = Workspace(tmp_path)
    ws.feed("b", np.zeros(3, np.float32))
    monkeypatch.setattr("freshpot.data.minidb.MiniDB.append", full)
    with pytest.raises(DataError, match=r"x\.minidb: cannot be written: No space left on device\.$"):
        ws.run_op(Op("Save", ["b"], [], {"db": "x.minidb", "db_type": "minidb"}))
    assert not list(tmp_path.iterdir())


def test_load_renames_and_leaves_out(tmp_path: Path) -> None:
    ws = _saved(tmp_path)
    args = {"db": "t.minidb", "db_type": "minidb"}
    ws.run_op(Op("Load", [], ["a"], {**args, "strip_prefix": "scope/"}))
    ws.run_op(Op("Load", [], ["mine"], {**args, "source_blob_names": ["b"]}))
    ws.run_op(Op("Load", [], ["a", "z"], {**args, "strip_prefix": "scope/", "allow_incomplete": 1}))
    assert ws.get("a").tolist() == [1, 1]
    assert ws.get("mine").tolist() == [0, 0, 0]


@pytest.mark.parametrize("keep", [1, 8, 20, 60])
def test_load_of_a_damaged_file(tmp_path: Path, keep: int) -> None:
    ws = _saved(tmp_path)
    path = tmp_path / "t.minidb"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((FormatError, DataError)):
        ws.run_op(Op("Load", [], ["b"], {"db": "t.minidb", "db_type": "minidb"}))


# --------------------------------------------------------------------------------- database input


def _database(folder: Path, records: list[bytes]) -> str:
    path = str(folder / "data.minidb")
    with open_db("minidb", path, Mode.NEW) as database, database.transaction() as transaction:
        for k, record in enumerate(records):
            transaction.put(f"{k:08d}".encode(), record)
    return path


def _reader(folder: Path, records: list[bytes]) -> Workspace:
    ws = Workspace(folder)
    ws.run_op(Op("CreateDB", [], ["r"], {"db": _database(folder, records), "db_type": "minidb"}))
    return ws


def test_db_input_loops_over_the_records(tmp_path: Path) -> None:
    records = [encode_tensors(np.full((1, 2), k, np.uint8), np.int32(k)) for k in range(5)]
    ws = _reader(tmp_path, records)
    net = Net("n", [Op("TensorProtosDBInput", ["r"], ["data", "label"], {"batch_size": 2})])
    plan = ws.create_net(net)
    labels = []
    for _ in range(5):
        plan.run()
        labels += ws.get("label").tolist()
        assert ws.get("data").shape == (2, 1, 2)
        assert ws.get("data")[:, 0, 0].tolist() == ws.get("label").tolist()
    assert labels == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_db_input_without_batches(tmp_path: Path) -> None:
    ws = _reader(tmp_path, [encode_tensors(np.zeros((1, 2), np.uint8), np.int32(7))])
    ws.run_op(Op("TensorProtosDBInput", ["r"], ["data", "label"]))
    assert ws.get("data").shape == (1, 2)
    assert ws.get("label").tolist() == 7


def test_db_input_matches_the_original(shared: Path) -> None:
    files = shared / "reference/caffe2/files"
    wanted = np.load(files / "mnist100.npz")
    ws = Workspace()
    ws.run_op(Op("CreateDB", [], ["r"], {"db": str(files / "mnist100.minidb"), "db_type": "minidb"}))
    op = Op("TensorProtosDBInput", ["r"], ["data_uint8", "label"], {"batch_size": 40})
    plan = ws.create_net(Net("n", [op]))
    for k in range(4):
        plan.run()
        for name in ("data_uint8", "label"):
            np.testing.assert_array_equal(ws.get(name), wanted[f"batch40_{k}/{name}"])


def test_db_input_refusals(tmp_path: Path) -> None:
    ws = _reader(tmp_path, [encode_tensors(np.zeros(2, np.float32)), b"\xff\xff\xff"])
    with pytest.raises(ArityError, match="holds 1 tensors, there are 2 outputs"):
        ws.run_op(Op("TensorProtosDBInput", ["r"], ["data", "label"]))
    of_caffe = _reader(tmp_path, [b"\x08\x01\x10\x01\x18\x01"])  # a Datum's sizes: no TensorProtos' field
    with pytest.raises(
        ArityError, match=r"holds 0 tensors.*records of Caffe \(Datum\)\? ImageInput reads those"
    ):
        of_caffe.run_op(Op("TensorProtosDBInput", ["r"], ["data", "label"]))
    ws = _reader(tmp_path, [encode_tensors(np.zeros(2, np.float32)), b"\xff\xff\xff"])
    ws.run_op(Op("CreateDB", [], ["r"], {"db": str(tmp_path / "data.minidb"), "db_type": "minidb"}))
    with pytest.raises(FormatError, match="00000001"):
        ws.run_op(Op("TensorProtosDBInput", ["r"], ["data"], {"batch_size": 2}))
    ws.feed("x", np.ones(1))
    with pytest.raises(ArgumentError, match="CreateDB"):
        ws.run_op(Op("TensorProtosDBInput", ["x"], ["data"]))


def test_create_db_refuses_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nosuch"):
        Workspace(tmp_path).run_op(Op("CreateDB", [], ["r"], {"db": "nosuch", "db_type": "minidb"}))


@pytest.mark.parametrize("kind", ["Fail", "ThrowException"])
def test_failing(kind: str) -> None:
    with pytest.raises(KernelError):
        Workspace().run_op(Op(kind))


def test_timers_end_once() -> None:
    ws = Workspace()
    ws.run_op(Op("TimerBegin", [], ["t"], {"counter_name": "c"}))
    ws.run_op(Op("TimerGet", ["t"], ["n"]))
    ws.run_op(Op("TimerEnd", ["t"], []))
    assert int(ws.get("n")) > 0
    with pytest.raises(ArgumentError, match="ended before"):
        ws.run_op(Op("TimerGetAndEnd", ["t"], ["n"]))


LEAVING = """
import sys
import os
import subprocess
import sys
from pathlib import Path
from freshpot.engine import Workspace

def made():
    ws = Workspace()
    (Path(ws.root) / "file").touch()
    return ws

gone, stays = made(), made()
print(*(Path(ws.root).is_dir() for ws in (gone, stays)))
place = gone.root
del gone
print(Path(place).exists(), Path(stays.child().root) == Path(stays.root))
print(len(list(Path(sys.argv[1]).iterdir())))
"""


def test_a_workspace_s_own_folder_goes_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEAVING, str(tmp_path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("True True\nFalse True\n1\n", "")
    assert list(tmp_path.iterdir()) == []
