"""Solver states in both forms: recorded files, round trips, damage."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from conftest import needs_shared
from freshpot.errors import FormatError
from freshpot.formats import protobuf
from freshpot.formats.solverstate import SolverState, read_solverstate, write_solverstate

HISTORY = [np.arange(6, dtype=np.float32).reshape(2, 3), np.float32([1.5]), np.zeros((0, 4), np.float32)]


@needs_shared
@pytest.mark.parametrize("ending", ["", ".h5"])
def test_recorded_state(ending, shared):
    folder = shared / "reference/caffe/files"
    state = read_solverstate(folder / f"mlp_iter_10.solverstate{ending}")
    assert (state.iteration, state.current_step) == (10, 2)
    assert state.learned_net == f"mlp_iter_10.caffemodel{ending}"
    assert state.extra == b""
    arrays = np.load(folder / "arrays.npz")
    assert len(state.history) == 8
    for i, found in enumerate(state.history):
        np.testing.assert_array_equal(found, arrays[f"mlp_iter_10/history/{i}"])


@pytest.mark.parametrize("name", ["a.solverstate", "a.solverstate.h5"])
@pytest.mark.parametrize("extra", [b"", b"{}", bytes(range(256)) * 100])
def test_round_trip(name, extra, tmp_path):
    write_solverstate(tmp_path / name, SolverState(7, "dir/é.caffemodel", 3, HISTORY, extra))
    found = read_solverstate(tmp_path / name)
    assert (found.iteration, found.learned_net, found.current_step) == (7, "dir/é.caffemodel", 3)
    assert found.extra == extra
    for a, b in zip(found.history, HISTORY, strict=True):
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_other_readers_pass_over_what_is_ours(tmp_path):
    for name in ("a.solverstate", "a.solverstate.h5"):
        write_solverstate(tmp_path / name, SolverState(7, "m", 3, HISTORY, b"ours"))
    message = protobuf.load("caffe").SolverState()
    message.ParseFromString((tmp_path / "a.solverstate").read_bytes())
    assert (message.iter, message.learned_net, len(message.history)) == (7, "m", 3)
    with h5py.File(tmp_path / "a.solverstate.h5") as file:
        assert sorted(file) == ["current_step", "history", "iter", "learned_net"]
        assert len(file["history"]) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a solver state"),
        (b"\x08", "."),
        (b"layer { }", "."),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "must be >= 0"),
        (b"\x1a\x06\x3a\x04\x0a\x02\x05\x05", "history 0"),
    ],
)
def test_damaged_protobuf(data, words, tmp_path):
    path = tmp_path / "a.solverstate"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=words):
        read_solverstate(path)


def broken(path: Path, name: str, value: object) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("iter", None, "'iter' must be one whole number"),
        ("iter", np.float32([1]), "'iter' must be one whole number"),
        ("iter", np.int32([1, 2]), "'iter' must be one whole number"),
        ("iter", np.int32([-1]), "'iter' is -1"),
        ("current_step", None, "'current_step'"),
        ("learned_net", np.int32([1]), "'learned_net' must be text"),
        ("history", None, "no group 'history'"),
        ("history", np.int32([1]), "no group 'history'"),
        ("history/1", None, "history 1 of 2 is missing"),
        ("history/1", "text", "not an array of floats"),
    ],
)
def test_damaged_hdf5(name, value, words, tmp_path):
    path = tmp_path / "a.solverstate.h5"
    write_solverstate(path, SolverState(7, "m", 3, HISTORY))
    broken(path, name, value)
    with pytest.raises(FormatError, match=words):
        read_solverstate(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(FormatError, match="not a readable HDF5 file"):
        read_solverstate(path)
