"""What a solver refuses, with which type, and what the message says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe._solver.solver import Solver
from freshpot.errors import ArgumentError, ArityError, DataError, FormatError, ShapeError
from freshpot.formats.solverstate import read_solverstate, write_solverstate

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: %d } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: %d weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = 'train_net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" snapshot_prefix: "s" max_iter: 3\n'


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder with a small net."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET % (2, 2))
    return tmp_path


def solver(text: str = "", base: str = SOLVER) -> Solver:
    Path("solver.prototxt").write_text(base + text)
    return caffe.get_solver("solver.prototxt")


@pytest.mark.parametrize(
    ("text", "base", "error", "words"),
    [
        ('type: "Adm"', SOLVER, ArgumentError, "no solver type 'Adm'.*Did you mean Adam"),
        ("average_loss: 0", SOLVER, ArgumentError, "average_loss must be at least 1"),
        ("iter_size: 0", SOLVER, ArgumentError, "iter_size must be at least 1"),
        ('type: "AdaGrad" momentum: 0.9', SOLVER, ArgumentError, "AdaGrad has no momentum"),
        ('type: "RMSProp" rms_decay: 1', SOLVER, ArgumentError, "rms_decay must be"),
        ('type: "Adam" solver_type: ADAM', SOLVER, FormatError, "both the old field solver_type"),
        ("", 'base_lr: 1 lr_policy: "fixed"', ArgumentError, "exactly one of the fields.*it gives none"),
        ('net: "net.prototxt"', SOLVER, ArgumentError, "it gives net, train_net"),
        ('test_net: "net.prototxt"', SOLVER, ArgumentError, "1 test nets, 0 values of test_iter"),
        ('test_net: "net.prototxt" test_iter: 1', SOLVER, ArgumentError, "test_interval > 0"),
        (
            'test_net: "net.prototxt" test_iter: 1 test_interval: 1 test_state {} test_state {}',
            SOLVER,
            ArgumentError,
            "test_state must be given for all 1 test nets",
        ),
        ("", SOLVER.replace("net.prototxt", "none.prototxt"), DataError, "none.prototxt.*train_net"),
        ('test_net: "none" test_iter: 1 test_interval: 1', SOLVER, DataError, "none: the solver's test_net"),
        ("", SOLVER.replace("net.pro", r"n\0t.pro"), FormatError, "is no file's name"),
        ('weights: "none.caffemodel"', SOLVER, DataError, "none.caffemodel: there are no such weights"),
        ("snapshot: 1", SOLVER.replace('"s"', '"no/folder/s"'), DataError, "no/folder/s"),
        ("layer {", SOLVER, FormatError, "solver.prototxt"),
        ("momentun: 0.9", SOLVER, FormatError, "momentun"),
        ('layer { name: "a" }', SOLVER, FormatError, "is a net, not a solver. A solver is a file of its own"),
        (
            "",
            SOLVER.replace("net.pro", "nt.pro"),
            DataError,
            r"net cannot be read: .* in /.*Did you mean net\.prototxt",
        ),
    ],
)
def test_refused_when_made(text, base, error, words):
    with pytest.raises(error, match=words):
        solver(text, base)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('lr_policy: "fixd"', "no lr_policy 'fixd'.*Did you mean fixed"),
        ('lr_policy: "step" gamma: 0.1', "needs stepsize > 0"),
        ('lr_policy: "exp" gamma: -1', "needs gamma >= 0"),
        ('lr_policy: "poly" power: 0.5 max_iter: 0', "needs max_iter > 0"),
        ('weight_decay: 0.1 regularization_type: "L3"', "no regularization_type 'L3'"),
    ],
)
def test_refused_when_stepping(text, words):
    base = 'train_net: "net.prototxt" base_lr: 0.1 snapshot_prefix: "s"\n'
    made = solver(text, base + ('lr_policy: "fixed" ' if "lr_policy" not in text else ""))
    with pytest.raises(ArgumentError, match=words):
        made.step(1)
    assert made.iter == 0


def test_files_that_are_not_there():
    with pytest.raises(DataError, match=r"none.prototxt: the solver file cannot be read"):
        caffe.SGDSolver("none.prototxt")
    with pytest.raises(DataError, match=r"none.solverstate: the solver state cannot be read"):
        solver().restore("none.solverstate")
    with pytest.raises(DataError, match=r"Did you mean solver\.prototxt"):
        caffe.SGDSolver("solve.prototxt")
    Path("m.caffemodel").write_bytes(b"\x12\x03\xff\xfe\xfd")
    with pytest.raises(FormatError, match="is a model, not a solver state"):
        solver().restore("m.caffemodel")
    with pytest.raises(ArgumentError, match="no update rule"):
        Solver("solver.prototxt")


def test_states_that_do_not_fit_change_nothing():
    made = solver()
    made.step(2)
    made.snapshot()
    adam = solver('type: "Adam"', SOLVER)
    before = adam.net.params["ip"][0].data.copy()
    with pytest.raises(ArityError, match="2 history blobs; the Adam solver of this net needs 4"):
        adam.restore("s_iter_2.solverstate")
    Path("net.prototxt").write_text(NET % (5, 5))
    wider = solver()
    with pytest.raises(ShapeError, match=r"history 0 .*\(2, 3\).*\(5, 3\)"):
        wider.restore("s_iter_2.solverstate")
    np.testing.assert_array_equal(adam.net.params["ip"][0].data, before)
    assert adam.iter == wider.iter == 0


def test_weights_of_a_state_are_found_beside_it_or_missed(tmp_path):
    made = solver()
    made.step(2)
    made.snapshot()
    (tmp_path / "moved").mkdir()
    for ending in ("caffemodel", "solverstate"):
        Path(f"s_iter_2.{ending}").rename(f"moved/s_iter_2.{ending}")
    again = solver()
    again.restore("moved/s_iter_2.solverstate")
    np.testing.assert_array_equal(again.net.params["ip"][0].data, made.net.params["ip"][0].data)
    Path("moved/s_iter_2.caffemodel").unlink()
    with pytest.raises(DataError, match=r"names the weights 's_iter_2.caffemodel'"):
        again.restore("moved/s_iter_2.solverstate")


@pytest.mark.parametrize("ending", ["", ".h5"])
def test_damaged_states(ending):
    made = solver("snapshot_format: HDF5" if ending else "")
    made.step(1)
    made.snapshot()
    path = Path(f"s_iter_1.solverstate{ending}")
    whole = path.read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:cut])
        with pytest.raises(FormatError):
            made.restore(path)
    path.write_bytes(whole)
    state = read_solverstate(path)
    state.extra = b'{"batches": 3}'
    write_solverstate(path, state)
    with pytest.raises(FormatError, match="note on data and random numbers is damaged"):
        made.restore(path)


def test_old_states_with_four_numbers_for_every_shape():
    made = solver()
    made.step(1)
    made.snapshot()
    state = read_solverstate("s_iter_1.solverstate")
    state.history = [h.reshape((1,) * (4 - h.ndim) + h.shape) for h in state.history]
    write_solverstate("s_iter_1.solverstate", state)
    made.restore("s_iter_1.solverstate")
    assert made.iter == 1
