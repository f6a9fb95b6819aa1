"""Graphs: recorded work gives what running each operator gives, whatever happens between runs.

On the GPU made of CPU tensors, whose recordings (`far_graph`) refuse and forget what a real GPU's do.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from far_device import FAR, Traffic, far_device
from far_graph import FarRecorder, far_graphs
from freshpot.engine import Plan, Workspace, graph
from freshpot.engine.kept import KeptBlob, PlayedBlob
from freshpot.engine.mirror import MirroredBlob
from freshpot.errors import KernelError
from freshpot.net import Net, Op, registry
from freshpot.net.op import CUDA, Device
from freshpot.net.schema import FLOAT, Port
from freshpot.ops import _memory
from freshpot.ops._operator import Operator

GPU = Device(CUDA, 0)
HOST = Device(0, 0)


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    monkeypatch.setattr(_memory, "SMALL_PRODUCT", -1)
    with far_device(monkeypatch) as traffic:
        yield traffic


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, traffic: Traffic) -> Iterator[FarRecorder]:
    with far_graphs(monkeypatch, traffic) as recorder:
        yield recorder
        assert recorder.lost == 0


def layers() -> Net:
    """Two layers, their gradients, a learning rate that changes in every run, and updates."""
    return Net(
        "layers",
        [
            Op("FC", ["X", "W", "b"], ["H"]),
            Op("Relu", ["H"], ["H"]),
            Op("Dropout", ["H"], ["H2", "mask"], {"ratio": 0.5, "is_test": 0}),
            Op("FC", ["H2", "V", "c"], ["Y"]),
            Op("Iter", ["it"], ["it"], device=HOST),
            Op("LearningRate", ["it"], ["rate"], {"base_lr": -0.1, "policy": "exp", "gamma": 0.9}),
            Op("ConstantFill", ["Y"], ["dY"], {"value": 0.5}),
            Op("FCGradient", ["H2", "V", "dY"], ["dV", "dc", "dH2"]),
            Op("DropoutGrad", ["dH2", "mask"], ["dH"], {"ratio": 0.5, "is_test": 0}),
            Op("ReluGradient", ["H", "dH"], ["dH"]),
            Op("FCGradient", ["X", "W", "dH"], ["dW", "db", "dX"]),
            Op("WeightedSum", ["W", "one", "dW", "rate"], ["W"]),
            Op("WeightedSum", ["V", "one", "dV", "rate"], ["V"]),
            Op("MomentumSGDUpdate", ["db", "mb", "rate", "b"], ["db", "mb", "b"], {"momentum": 0.9}),
            Op("Adam", ["c", "m1", "m2", "dc", "rate", "it"], ["c", "m1", "m2"]),
        ],
        device=GPU,
    )


SHAPES = {
    "X": (4, 3),
    "W": (5, 3),
    "b": (5,),
    "V": (2, 5),
    "c": (2,),
    "mb": (5,),
    "m1": (2,),
    "m2": (2,),
}


def to_gpu(ws: Workspace, name: str, array: np.ndarray) -> None:
    """Feed the device."""
    ws.feed(name, torch.from_numpy(array).to(FAR))


def fed() -> Workspace:
    ws, rng = Workspace(), np.random.default_rng(0)
    for name, shape in SHAPES.items():
        to_gpu(ws, name, np.abs(rng.standard_normal(shape)).astype(np.float32))
    to_gpu(ws, "one", np.ones(1, np.float32))
    ws.feed("it", np.zeros(1, np.int64))
    return ws


def data(seed: int, shape: tuple[int, ...] = (4, 3)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def near(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


Attack = Callable[[Workspace, Plan], list[Any]]
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


@attack
def only_run(ws: Workspace, plan: Plan) -> list[Any]:
    plan.run(12)
    return []


@attack
def feed_each_run(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for seed in range(12):
        to_gpu(ws, "X", data(seed))
        plan.run()
        held.append(ws.find("Y").on_cpu().clone())
    return held


@attack
def hold_all_that_is_made(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for _ in range(10):
        plan.run()
        held += [ws.get(name) for name in ("H", "Y", "dW", "dX", "mask", "rate")]
    return held


@attack
def keep_what_was_fed(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for seed in range(10):
        to_gpu(ws, "X", data(seed))
        held.append(ws.get("X"))
        plan.run()
    return held


@attack
def feed_now_and_then(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for seed in range(20):
        if seed in (7, 8, 13):
            to_gpu(ws, "X", data(seed))
        held.append(ws.get("X"))
        plan.run()
        held.append(ws.get("Y"))
    return held


@attack
def feed_another_shape(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for rows in (4, 4, 4, 4, 4, 2, 4, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 4, 4, 4, 4):
        to_gpu(ws, "X", data(rows, (rows, 3)))
        plan.run()
        held.append(ws.get("Y"))
    return held


@attack
def feed_a_result(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    plan.run(5)
    for name in ("Y", "dY", "H", "dX", "rate"):
        to_gpu(ws, name, np.full_like(near(ws.get(name)).numpy(), 7))
        held.append(ws.get(name))
        plan.run()
    return held


@attack
def feed_parameters_and_the_count(ws: Workspace, plan: Plan) -> list[Any]:
    plan.run(5)
    for seed in range(8):
        to_gpu(ws, "W", data(seed, SHAPES["W"]))
        to_gpu(ws, "m1", data(seed, SHAPES["m1"]))
        ws.feed("it", np.full(1, 10 * seed, np.int64))
        plan.run(2)
    return [ws.get("it")]


@attack
def feed_the_learning_rate(ws: Workspace, plan: Plan) -> list[Any]:
    """To a net that does not make it."""
    ops = [
        Op("WeightedSum", ["W", "one", "G", "rate"], ["W"]),
        Op("MomentumSGDUpdate", ["H", "G", "host rate", "V"], ["H", "G", "V"], {"momentum": 0.5}),
    ]
    for name in "WGHV":
        to_gpu(ws, name, data(3))
    to_gpu(ws, "rate", np.ones(1, np.float32))
    ws.feed("host rate", np.ones(1, np.float32))
    other = Plan(Net("o", ops, device=GPU), Workspace(parent=ws))
    for i in range(12):
        to_gpu(ws, "rate", np.full(1, -0.1 / (i + 1), np.float32))
        ws.feed("host rate", np.full(1, 0.3 / (i + 1), np.float32))
        other.run()
    return [ws.get(name) for name in "WGHV"]


@attack
def read_and_write_views(ws: Workspace, plan: Plan) -> list[Any]:
    """As `net.blobs[...].data` does: some kept, some not, before and after recording."""
    held = []
    weights = ws.find("W").share()
    for k in range(12):
        ws.find("X").share()[...] = data(k)
        if k == 7:
            ws.find("Y").share()
        plan.run()
        for name in ("W", "Y"):
            if isinstance(blob := ws.find(name), MirroredBlob):
                held.append(blob.share().copy())
        weights[k % 5] = k / 10
    return held


@attack
def change_a_result_in_another_net(ws: Workspace, plan: Plan) -> list[Any]:
    to_gpu(ws, "D", data(5, (4, 2)))
    other = Plan(Net("o", [Op("WeightedSum", ["Y", "one", "D", "one"], ["Y"])], device=GPU), ws)
    held = []
    for _ in range(8):
        plan.run()
        other.run(2)
        held.append(near(ws.get("Y")))
    return held


@attack
def two_nets_in_turn(ws: Workspace, plan: Plan) -> list[Any]:
    """One reads what the other makes, and both change a parameter."""
    ops = [
        Op("FC", ["Y", "U", "u"], ["Z"]),
        Op("Sum", ["Z", "Z"], ["S"]),
        Op("WeightedSum", ["W", "one", "dW", "one"], ["W"]),
    ]
    to_gpu(ws, "U", data(1, (3, 2)))
    to_gpu(ws, "u", data(2, (3,)))
    plan.run()
    other = Plan(Net("o", ops, device=GPU), ws)
    held = []
    for k in range(12):
        plan.run()
        other.run(1 + k % 2)
        held.append(ws.find("S").on_cpu().clone())
    return held


@attack
def write_where_it_is(ws: Workspace, plan: Plan) -> list[Any]:
    """As solvers' clearing of gradients, and loading of weights, do."""
    for k in range(10):
        plan.run()
        ws.find("W").writable.mul_(1.5 - k / 10)
        ws.find("dX").writable.zero_()
    return []


@attack
def random_numbers_between(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for k in range(10):
        plan.run()
        if k == 6:
            torch.manual_seed(5)
        held += [torch.rand(3), torch.get_rng_state().clone()]
    return held


@attack
def remove_a_blob(ws: Workspace, plan: Plan) -> list[Any]:
    plan.run(6)
    ws.remove("Y")
    plan.run(9)
    return []


@attack
def look_at_what_was_left(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for k in range(12):
        plan.run()
        if k % 3:
            held.append(ws.get("dX"))
    return held


@pytest.mark.parametrize("name", ATTACKS)
def test_recorded_runs_are_the_others(
    name: str, graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        torch.manual_seed(1)
        ws = fed()
        held = ATTACKS[name](ws, Plan(layers(), ws))
        held += [ws.get(blob) for blob in ws.names() if not ws.find(blob).empty]
        found.append([near(each) for each in held])
    assert graphs.replays > 2
    for plain, played in zip(*found, strict=True):
        equal = torch.equal if isinstance(plain, Tensor) else np.array_equal
        assert equal(plain, played)


# ---- operators of the tests ------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def odd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators that cannot be captured, known in here alone."""
    registry.load()
    monkeypatch.setattr(registry, "_definitions", dict(registry._definitions))

    class ReadsTheDevice(Operator):
        """Y = X, or 0 where the first number of X is negative."""

        inputs = (Port("X", FLOAT),)
        outputs = (Port("Y"),)

        def kernel(self, X: Tensor) -> Tensor:
            return X * 1 if float(X.reshape(-1)[0]) >= 0 else X * 0

    class TakesAMask(ReadsTheDevice):
        """How many numbers are positive is counted on the host."""

        def kernel(self, X: Tensor) -> Tensor:
            return X[X > 0].sum().reshape(1) + X * 0

    class TakesAConstant(ReadsTheDevice):
        """Copies a number from the host."""

        def kernel(self, X: Tensor) -> Tensor:
            return X * torch.tensor([2.0], device=X.device)

    class Remembers(ReadsTheDevice):
        """Counts its calls."""

        remembers = True

        def setup(self) -> None:
            super().setup()
            self.calls_so_far = 0

        def kernel(self, X: Tensor) -> Tensor:
            self.calls_so_far += 1
            return X + self.calls_so_far

    class FailsInCaptures(ReadsTheDevice):
        """Its kernel is not what it was when it was watched."""

        times = 0

        def kernel(self, X: Tensor) -> Tensor:
            type(self).times += 1
            return X * 1 if self.times != 5 else X * float(X.sum())

    class FailsNow(ReadsTheDevice):
        """Fails on demand, which is the user's mistake."""

        fails = False

        def kernel(self, X: Tensor) -> Tensor:
            if self.fails:
                raise ValueError("it fails now")
            return X * (1 if float(X[0]) > -1 else 2)


# ---- what is captured ------------------------------------------------------------------------------
def small(*ops: Op, **blobs: Any) -> tuple[Workspace, Plan]:
    """A net on the device over blobs that lie there, but for those that are no arrays of float32."""
    ws = Workspace()
    for name, value in blobs.items():
        array = np.asarray(value)
        if array.dtype == np.float64:
            to_gpu(ws, name, array.astype(np.float32))
        else:
            ws.feed(name, array)
    return ws, Plan(Net("small", list(ops), device=GPU), ws)


def on_gpu(ws: Workspace, name: str) -> list[float]:
    return ws.find(name).on_cpu().tolist()


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


# ---- the recorder of the tests itself --------------------------------------------------------------
def far(*values: float) -> Tensor:
    return torch.tensor(values).to(FAR)


def test_a_capture_computes_nothing_and_plays_into_the_same_memory(graphs: FarRecorder) -> None:
    x, made, rate = far(1.0, 2.0), [], [10.0]
    state = torch.get_rng_state()

    def work() -> None:
        x.mul_(rate[0])
        y = x + 1
        made.append((y, y.view(2, 1), torch.rand(2, device=FAR), torch.zeros(2, device=FAR)))

    replay = graphs.capture(work, [])
    y, view, drawn, zeros = made[0]
    assert x.cpu().tolist() == [1, 2]
    assert y.cpu().isnan().all()
    assert torch.equal(torch.get_rng_state(), state)
    rate[0] = 100.0
    seen = []
    for k in (1, 2):
        replay()
        assert x.cpu().tolist() == [10**k, 2 * 10**k]  # the host's number is the capture's
        assert (y.cpu().tolist(), view.cpu().tolist()) == (
            [10**k + 1, 2 * 10**k + 1],
            [[10**k + 1], [2 * 10**k + 1]],
        )
        assert zeros.cpu().tolist() == [0, 0]
        seen.append(drawn.cpu().tolist())
    assert seen[0] != seen[1]


REFUSED: dict[str, Callable[[Tensor], Any]] = {
    "item": lambda x: x.sum().item(),
    "a condition": lambda x: bool(x.any()),
    "download": lambda x: x.cpu(),
    "upload": lambda x: torch.ones(2).to(FAR),
    "a copy from the host": lambda x: x.copy_(torch.ones(2)),
    "a copy to the host": lambda x: torch.ones(2).copy_(x),
    "a constant": lambda x: torch.tensor([1.0, 2.0], device=FAR),
    "a mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_capture_refuses_what_cuda_refuses(
    name: str, traffic: Traffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    with far_graphs(monkeypatch, traffic) as graphs:
        x = far(1.0, 2.0)
        with pytest.raises(RuntimeError, match="not permitted when stream is capturing"):
            graphs.capture(lambda: REFUSED[name](x.mul_(5)), [])
        assert graphs.lost == 1
        assert x.cpu().tolist() == [1, 2]


# ---- a real GPU ------------------------------------------------------------------------------------
@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real GPU, with the originals' precision, or skip the test."""
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that torch can use")
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    monkeypatch.setattr(graph, "_given_up", None)


@pytest.mark.parametrize("name", ATTACKS)
def test_recorded_runs_are_the_others_on_cuda(name: str, cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        torch.manual_seed(1)
        ws = fed()
        held = ATTACKS[name](ws, Plan(layers(), ws))
        held += [ws.get(blob) for blob in ws.names() if not ws.find(blob).empty]
        found.append([near(each) for each in held])
    assert graph._given_up is None
    for plain, played in zip(*found, strict=True):
        np.testing.assert_allclose(np.asarray(plain), np.asarray(played), rtol=1e-5, atol=1e-6)


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
