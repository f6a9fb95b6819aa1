"""Plans: binding, running, checking again, errors that name their place, deferred outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freshpot.engine import Plan, Workspace
from freshpot.engine.blob import Deferred, LazyBlob
from freshpot.errors import (
    ArgumentError,
    ArityError,
    DataError,
    DTypeError,
    FreshpotError,
    KernelError,
    MissingBlobError,
    NameClashError,
    NetError,
    ShapeError,
    UnknownOperatorError,
)
from freshpot.net import Net, Op


def relu_net(name: str = "n") -> Net:
    return Net(name, [Op("Relu", ["X"], ["Y"]), Op("Relu", ["Y"], ["Z"])])


def fc_step() -> Net:
    """FC, its gradient and an in-place update: the data's gradient is read by nobody."""
    return Net(
        "step",
        [
            Op("Copy", ["X0"], ["X"]),
            Op("FC", ["X", "W", "b"], ["Y"]),
            Op("FCGradient", ["X", "W", "Y"], ["dW", "db", "dX"]),
            Op("WeightedSum", ["W", "one", "dW", "lr"], ["W"]),
        ],
    )


def fc_workspace() -> Workspace:
    ws = Workspace()
    rng = np.random.default_rng(0)
    for name, shape in {"X0": (4, 3), "W": (2, 3), "b": (2,)}.items():
        ws.feed(name, rng.standard_normal(shape).astype(np.float32))
    ws.feed("one", np.ones(1, np.float32))
    ws.feed("lr", np.full(1, -0.1, np.float32))
    return ws


def test_runs_and_keeps_blobs_between_runs() -> None:
    ws = Workspace()
    ws.feed("X", np.array([-1.0, 2.0], np.float32))
    plan = ws.create_net(relu_net())
    for value in ([0.0, 2.0], [0.0, 5.0]):
        plan.run(2)
        assert ws.get("Z").tolist() == value
        ws.feed("X", np.array([-1.0, 5.0], np.float32))


def test_new_shapes_and_types_are_checked_again() -> None:
    ws = Workspace()
    ws.feed("X", np.ones(3, np.float32))
    plan = ws.create_net(relu_net())
    plan.run(3)
    ws.feed("X", np.ones(3, np.float64))
    with pytest.raises(DTypeError, match=r"net 'n': operator Relu \(X\) -> \(Y\): input X must be float32"):
        plan.run()
    ws.feed("X", np.ones((2, 2), np.float32))
    plan.run()
    assert ws.get("Z").shape == (2, 2)


def test_a_removed_blob_is_missed_by_name() -> None:
    ws = Workspace()
    ws.feed("X", np.ones(3, np.float32))
    plan = ws.create_net(relu_net())
    plan.run()
    ws.remove("X")
    with pytest.raises(MissingBlobError, match="input blob 'X' does not exist"):
        plan.run()
    ws.feed("X", np.full(3, 7, np.float32))
    plan.run()
    assert ws.get("Z").tolist() == [7, 7, 7]


def test_the_failing_operator_is_found_in_the_flat_function() -> None:
    ws = Workspace()
    ws.feed("A", np.ones((2, 3), np.float32))
    ws.feed("B", np.ones((3, 2), np.float32))
    plan = ws.create_net(Net("n", [Op("Relu", ["A"], ["C"]), Op("MatMul", ["C", "B"], ["D"])]))
    plan.run(2)
    ws.find("B").value = torch.ones(5, 2)  # behind the workspace's back: no check runs
    with pytest.raises(NetError, match=r"net 'n': operator MatMul \(C, B\) -> \(D\)") as caught:
        plan.run()
    assert isinstance(caught.value, (KernelError, ShapeError))


BAD_NETS = {
    "unknown operator": (Op("Rellu", ["X"], ["Y"]), UnknownOperatorError, "Did you mean Relu"),
    "missing blob": (Op("Relu", ["nope"], ["Y"]), MissingBlobError, "input blob 'nope' does not exist"),
    "empty blob": (Op("Relu", ["empty"], ["Y"]), MissingBlobError, "'empty' holds nothing yet"),
    "too many inputs": (Op("Relu", ["X", "X"], ["Y"]), ArityError, r"takes 1 inputs \(X\), got 2"),
    "no output": (Op("Relu", ["X"], []), ArityError, r"takes 1 outputs \(Y\), got 0"),
    "in place where it may not": (Op("FC", ["X", "X", "X"], ["X"]), ArityError, "may not be the same blob"),
    "wrong type": (Op("Relu", ["I"], ["Y"]), DTypeError, r"must be float32, but blob 'I' is int32 \(3,\)"),
    "wrong shape": (Op("FC", ["X", "W", "b"], ["Y"]), ShapeError, "has 3 features"),
    "argument of another kind": (
        Op("Scale", ["X"], ["Y"], {"scale": 2}),
        ArgumentError,
        "Write 2.0 instead of 2",
    ),
    "argument of no kind": (
        Op("FC", ["X", "W", "b"], ["Y"], {"axis": "one"}),
        ArgumentError,
        "must be int, got str",
    ),
}


@pytest.mark.parametrize("name", BAD_NETS)
def test_bad_operators_are_refused_and_the_workspace_stays_usable(name: str) -> None:
    op, error, words = BAD_NETS[name]
    ws = Workspace()
    ws.feed("X", np.ones((2, 3), np.float32))
    ws.feed("W", np.ones((4, 5), np.float32))
    ws.feed("b", np.ones(4, np.float32))
    ws.feed("I", np.ones(3, np.int32))
    ws.create("empty")
    with pytest.raises(error, match=words) as caught:
        ws.create_net(Net("bad", [Op("Copy", ["X"], ["X2"]), op])).run()
    assert isinstance(caught.value, FreshpotError)
    assert "net 'bad': operator " + op.type in str(caught.value)
    assert "tensor(" not in str(caught.value)
    ws.create_net(relu_net("good")).run()
    assert ws.get("Z").shape == (2, 3)


def test_net_names() -> None:
    ws = Workspace()
    ws.feed("X", np.ones(3, np.float32))
    first = ws.create_net(relu_net())
    with pytest.raises(NameClashError, match="net 'n': a net of this name exists already"):
        ws.create_net(relu_net())
    assert ws.net("n") is first
    assert ws.create_net(relu_net(), overwrite=True) is not first
    with pytest.raises(NetError, match="no net 'm' in the workspace"):
        ws.net("m")
    with pytest.raises(NetError, match="has no name"):
        ws.create_net(Net("", []))


class TestDeferred:
    """The last output of a costly operator, if nobody reads it, is computed when somebody looks."""

    def test_it_is_deferred_and_right(self) -> None:
        eager, lazy = fc_workspace(), fc_workspace()
        Plan(fc_step(), eager).run()
        plan = Plan(fc_step(), lazy)
        plan.run()  # checked: computes all
        for name in ("W",):
            lazy.feed(name, fc_workspace().get(name))
        plan.run()
        blob = lazy.find("dX")
        assert type(blob) is LazyBlob
        assert isinstance(blob._memory, Deferred)
        torch.testing.assert_close(lazy.get("dX"), eager.get("dX"))
        assert not isinstance(blob._memory, Deferred)

    def test_the_update_in_place_does_not_disturb_it(self) -> None:
        ws = fc_workspace()
        plan = Plan(fc_step(), ws)
        plan.run(3)
        before = ws.get("W").clone()
        dY = torch.nn.functional.linear(ws.get("X"), before, ws.get("b"))
        plan.run()
        assert not torch.equal(ws.get("W"), before)
        torch.testing.assert_close(ws.get("dX"), dY @ before)

    def test_a_view_of_it_stays_true(self) -> None:
        ws = fc_workspace()
        plan = Plan(fc_step(), ws)
        plan.run(2)
        view = ws.find("dX").share()
        for _ in range(3):
            W, X = ws.get("W").clone(), ws.get("X0")
            plan.run()
            wanted = torch.nn.functional.linear(X, W, ws.get("b")) @ W
            np.testing.assert_allclose(view, wanted.numpy(), rtol=1e-5)

    def test_another_net_that_reads_it_gets_a_value(self) -> None:
        ws = fc_workspace()
        plan = Plan(fc_step(), ws)
        plan.run(2)
        reader = ws.create_net(Net("reader", [Op("Copy", ["dX"], ["seen"])]))
        reader.run(2)
        assert torch.equal(ws.get("seen"), ws.get("dX"))


def test_only_the_inputs_that_the_net_names_as_outputs_are_overwritten() -> None:
    ws = Workspace()
    for name in ("g", "s", "m", "lr"):
        ws.feed(name, np.ones(1 if name == "lr" else 3, np.float32))
    plan = ws.create_net(Net("n", [Op("RmsProp", ["g", "s", "m", "lr"], ["step", "s", "m"])]))
    squares, wanted = ws.get("s"), 1.0
    ws.feed("g", np.full(3, 2, np.float32))
    for _ in range(8):
        plan.run()
        wanted += 0.1 * (4 - wanted)
        assert ws.get("g").tolist() == [2, 2, 2]
        assert ws.get("s") is squares
        np.testing.assert_allclose(squares, wanted, rtol=1e-5)
        np.testing.assert_allclose(ws.get("step"), 2 / wanted**0.5, rtol=1e-4)


def test_a_shared_view_follows_the_blob() -> None:
    ws = Workspace()
    ws.feed("X", np.array([-1.0, 2.0], np.float32))
    plan = ws.create_net(relu_net())
    plan.run()
    view = ws.find("Y").share()
    ws.feed("X", np.array([3.0, -4.0], np.float32))
    plan.run()
    assert view.tolist() == [3.0, 0.0]
    view[...] = 9
    assert ws.get("Y").tolist() == [9, 9]


@pytest.mark.parametrize("recording", [True, False])
def test_running_leaves_gradient_recording_as_it_was(recording: bool) -> None:
    ws = Workspace()
    ws.feed("X", np.ones(2, np.float32))
    plan = ws.create_net(relu_net())
    with torch.set_grad_enabled(recording):
        plan.run(2)
        assert torch.is_grad_enabled() is recording
        ws.feed("X", np.ones(2, np.int32))
        with pytest.raises(DTypeError):
            plan.run()
        assert torch.is_grad_enabled() is recording


def test_results_record_no_gradient() -> None:
    ws = Workspace()
    ws.feed("X", np.ones(2, np.float32))
    ws.get("X").requires_grad_()
    ws.run_once(relu_net())
    assert not ws.get("Z").requires_grad


def test_errors_of_files_name_net_and_operator_too() -> None:
    net = Net("n", [Op("Load", [], ["x"], {"db": "/nowhere", "db_type": "minidb", "absolute_path": 1})])
    with pytest.raises(
        DataError, match=r"^net 'n': operator Load \(\) -> \(x\): /nowhere: no such"
    ) as caught:
        Workspace().run_once(net)
    assert (caught.value.net, caught.value.position) == ("n", 0)


@pytest.mark.parametrize("no_bias", [0, 1])
def test_only_the_costly_output_is_left_until_somebody_looks(no_bias: int) -> None:
    """A bias's gradient that no operator reads comes with the filter's: computing it later would cost both again."""
    grads = ["dw"] if no_bias else ["dw", "db"]
    ws = Workspace()
    for name, shape in {"x": (2, 3, 8, 8), "w": (4, 3, 3, 3), "dy": (2, 4, 6, 6)}.items():
        ws.feed(name, torch.randn(shape))
    for outputs in (grads, [*grads, "dx"]):
        args = {"kernel": 3, "no_bias": no_bias}
        plan = ws.create_net(Net("n", [Op("ConvGradient", ["x", "w", "dy"], outputs, args)]), overwrite=True)
        plan.run(2)
        deferred = {name for name in outputs if type(ws.find(name)).__name__ == "LazyBlob"}
        assert deferred == ({"dx"} if "dx" in outputs else set())
