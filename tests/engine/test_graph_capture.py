"""Graphs: what is captured, what runs by itself, and what goes wrong."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from graph_nets import GPU, HOST, data, fed, layers, near, on_gpu, small, to_gpu

from far_device import Traffic
from far_graph import FarRecorder, far_graphs
from freshpot.engine import Plan, Workspace
from freshpot.engine.kept import KeptBlob, PlayedBlob
from freshpot.errors import KernelError
from freshpot.net import Net, Op, registry
from freshpot.net.op import CUDA, Device

pytestmark = pytest.mark.usefixtures("odd")


@pytest.mark.parametrize("kind", ["ReadsTheDevice", "TakesAMask", "TakesAConstant", "Remembers"])
def test_what_needs_the_host_runs_by_itself(
    kind: str, graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And between two pieces, if what is captured needs what it makes."""
    monkeypatch.setenv("FRESHPOT_GRAPH", "verbose")
    ops = [
        Op("Sqr", ["X"], ["A"]),
        Op("Sum", ["A", "X"], ["B"]),
        Op(kind, ["B"], ["C"]),
        Op("Sum", ["C", "A"], ["D"]),
        Op("Sqr", ["D"], ["E"]),
    ]
    found = []
    for value in ("0", "verbose"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        ws, plan = small(*ops, X=np.ones(3) * 0.1)
        made = []
        for k in range(10):
            to_gpu(ws, "X", np.full(3, -0.5 if k % 2 else 2.0, np.float32))
            plan.run()
            made.append(on_gpu(ws, "E"))
        found.append(made)
    assert found[0] == found[1]
    assert graphs.captures == 2
    said = capsys.readouterr().err
    assert f"4 of 5 operators in 2 graphs on cuda:0; by themselves: {kind} (" in said


def test_steps_of_the_host_move_out_of_the_way(graphs: FarRecorder) -> None:
    ws, plan = small(
        Op("Sqr", ["X"], ["A"]),
        Op("Iter", ["it"], ["it"], device=HOST),
        Op("Sum", ["A", "X"], ["B"]),
        Op("ReadsTheDevice", ["B"], ["C"]),
        Op("Sqr", ["B"], ["D"]),
        X=np.ones(3),
        it=np.zeros(1, np.int64),
    )
    plan.run(8)
    assert graphs.captures == 1
    assert ws.get("it").tolist() == [8]
    assert on_gpu(ws, "C") == [2, 2, 2]


def test_control_flow_stays_where_it_is(graphs: FarRecorder) -> None:
    """A net within a net changes a blob that is no output of its operator's."""
    inside = Net("inside", [Op("Scale", ["A"], ["A"], {"scale": 2.0})], device=GPU)
    ops = [
        Op("Sqr", ["X"], ["A"]),
        Op("Sum", ["A", "X"], ["B"]),
        Op("If", ["yes"], [], {"then_net": inside}),
        Op("Sum", ["A", "B"], ["C"]),
        Op("Sqr", ["C"], ["D"]),
    ]
    ws, plan = small(*ops, X=np.full(2, 2.0), yes=np.array(True))
    plan.run(10)
    assert on_gpu(ws, "D") == [196, 196]  # (2 * 4 + 6)²


def test_graphs_can_be_switched_off(graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_GRAPH", "0")
    ws = fed()
    Plan(layers(), ws).run(10)
    assert graphs.captures == 0


def test_nets_of_the_cpu_have_none(graphs: FarRecorder) -> None:
    ws = Workspace()
    ws.feed("X", data(0))
    plan = Plan(Net("n", [Op("Relu", ["X"], ["Y"]), Op("Sqr", ["Y"], ["Z"])]), ws)
    plan.run(10)
    assert plan._graph is None
    assert graphs.captures == 0


def test_a_seeded_operator_goes_on_where_it_is(graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded = Device(CUDA, 0, random_seed=5)
    ops = [
        Op("Dropout", ["X"], ["A", "m"], {"ratio": 0.5, "is_test": 0}, device=seeded),
        Op("UniformFill", [], ["U"], {"shape": [3]}, device=seeded),
        Op("Sqr", ["A"], ["B"]),
    ]
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        ws, plan = small(*ops, X=np.ones(40))
        made = []
        for _ in range(10):
            plan.run()
            made.append((on_gpu(ws, "B"), on_gpu(ws, "U")))
        found.append(made)
    assert found[0] == found[1]
    assert len({str(made) for made in found[1]}) == 10
    assert graphs.replays >= 6


def test_new_masks_in_every_run(graphs: FarRecorder) -> None:
    ws = fed()
    plan = Plan(layers(), ws)
    seen = set()
    for _ in range(20):
        plan.run()
        seen.add(str(on_gpu(ws, "mask")))
    assert graphs.replays >= 16
    assert len(seen) == 20


def test_the_learning_rate_of_a_recording_is_never_old(graphs: FarRecorder) -> None:
    """By itself, too: the rates that were really used are those of the schedule."""
    ops = [
        Op("Iter", ["it"], ["it"], device=HOST),
        Op("LearningRate", ["it"], ["rate"], {"base_lr": -1.0, "policy": "exp", "gamma": 0.5}),
        Op("WeightedSum", ["W", "one", "G", "rate"], ["W"]),
        Op("Sqr", ["W"], ["S"]),
    ]
    ws, plan = small(*ops, W=np.zeros(1), one=np.ones(1), G=np.ones(1), it=np.zeros(1, np.int64))
    for k in range(1, 12):
        before = on_gpu(ws, "W")[0]
        plan.run()
        assert before - on_gpu(ws, "W")[0] == 0.5**k
    assert graphs.replays == 11 - 4
    ws.feed("it", np.full(1, 2, np.int64))
    before = on_gpu(ws, "W")[0]
    plan.run()
    assert before - on_gpu(ws, "W")[0] == pytest.approx(0.5**3, rel=1e-6)


# ---- what goes wrong -------------------------------------------------------------------------------
def test_a_capture_that_is_lost_is_the_last(
    traffic: Traffic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything runs as ever then, random numbers included, and it is said once."""
    ops = [
        Op("Dropout", ["X"], ["A", "m"], {"ratio": 0.5, "is_test": 0}),
        Op("FailsInCaptures", ["A"], ["B"]),
        Op("Sqr", ["B"], ["C"]),
    ]
    found = []
    with far_graphs(monkeypatch, traffic) as graphs:
        for value in ("0", "1"):
            monkeypatch.setenv("FRESHPOT_GRAPH", value)
            monkeypatch.setattr(registry.get("FailsInCaptures"), "times", 10 if value == "0" else 0)
            torch.manual_seed(3)
            ws, plan = small(*ops, X=np.ones(30))
            other_ws, other = small(Op("Sqr", ["X"], ["Y"]), Op("Sum", ["X", "Y"], ["Z"]), X=np.ones(3))
            made = []
            for _ in range(9):
                other.run()
                plan.run()
                made.append((on_gpu(ws, "C"), on_gpu(other_ws, "Z")))
            found.append(made)
        assert (graphs.lost, graphs.replays) == (1, 1)
    assert found[0] == found[1]
    said = capsys.readouterr().err
    assert said.count("a capture failed (RuntimeError: CUDA error: operation not permitted") == 1


@pytest.mark.parametrize("at", [0, 1, 2, 3, 4, 7])
def test_an_error_names_the_operator_and_runs_go_on(
    at: int, graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, plan = small(
        Op("Sqr", ["X"], ["A"]), Op("Sqr", ["A"], ["B"]), Op("FailsNow", ["B"], ["C"]), X=np.ones(3)
    )
    for k in range(12):
        monkeypatch.setattr(registry.get("FailsNow"), "fails", k == at)
        if k == at:
            with pytest.raises(KernelError, match=r"net 'small': operator FailsNow.*it fails now"):
                plan.run()
        else:
            plan.run()
        assert on_gpu(ws, "B") == [1, 1, 1]
    assert graphs.replays > 3


def test_recordings_that_keep_moving_are_made_less_and_less_often(graphs: FarRecorder) -> None:
    ws, plan = small(Op("Sqr", ["X"], ["Y"]), Op("Sum", ["X", "Y"], ["Z"]), X=np.ones(3))
    for k in range(300):
        if k % 5 == 4:
            to_gpu(ws, "X", np.full(3 + k, 2, np.float32))
        plan.run()
        assert on_gpu(ws, "Z")[0] == (2 if k < 4 else 6)
    assert graphs.captures < 12


def test_recordings_are_let_go(graphs: FarRecorder) -> None:
    ws = fed()
    plan = Plan(layers(), ws)
    plan.run(8)
    piece = weakref.ref(plan._graph.pieces[0])
    ws.remove("Y")
    plan.run()
    gc.collect()
    assert piece() is None


# ---- blobs that a recording writes to --------------------------------------------------------------
def test_reading_takes_a_copy_once_a_run(graphs: FarRecorder) -> None:
    ws, plan = small(Op("Sqr", ["X"], ["Y"]), Op("Sum", ["X", "Y"], ["Z"]), X=np.ones(3))
    plan.run(6)
    blob = ws.find("Y")
    assert type(blob) is PlayedBlob
    first = blob.value
    assert type(blob) is KeptBlob
    assert blob.value is first
    plan.run()
    assert type(blob) is PlayedBlob
    to_gpu(ws, "X", np.full(3, 3, np.float32))
    plan.run()
    assert (first.cpu().tolist(), on_gpu(ws, "Y")) == ([1, 1, 1], [9, 9, 9])


def test_a_replay_counts_as_a_change(graphs: FarRecorder) -> None:
    """What others made of a parameter, and keep, is made anew."""
    ws = fed()
    plan = Plan(layers(), ws)
    plan.run(6)
    tensor = ws.get("W")
    before = tensor._version
    plan.run()
    assert tensor is ws.get("W")
    assert tensor._version > before


def test_a_recording_is_captured_on_cuda(cuda: None, capsys: pytest.CaptureFixture[str]) -> None:
    ws = fed()
    plan = Plan(layers(), ws)
    plan.run(6)
    assert plan._graph is not None
    (piece,) = plan._graph.pieces
    assert piece.captured
    assert len(piece.parts) == 13


def test_random_numbers_go_on_from_a_recording_on_cuda(cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of the device's numbers after it is what it is after running each operator."""
    states = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        torch.cuda.manual_seed(5)
        ws = fed()
        Plan(layers(), ws).run(9)
        states.append((torch.cuda.get_rng_state().tolist(), near(ws.get("mask")).tolist()))
    assert states[0] == states[1]


def test_a_capture_that_is_lost_on_cuda(
    cuda: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stream, memory and random numbers are fit for use afterwards."""
    monkeypatch.setattr(registry.get("FailsInCaptures"), "times", 0)
    ops = [
        Op("Dropout", ["X"], ["A", "m"], {"ratio": 0.5, "is_test": 0}),
        Op("FailsInCaptures", ["A"], ["B"]),
    ]
    ws, plan = small(*ops, X=np.ones(30))
    for _ in range(9):
        plan.run()
        assert set(on_gpu(ws, "B")) <= {0.0, 2.0}
    assert "a capture failed" in capsys.readouterr().err
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
