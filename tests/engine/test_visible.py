"""Created nets that only predict run in blocks of channels, and every blob is what operator by operator would give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from freshpot.engine import Plan, Workspace
from freshpot.engine.blocked import choice
from freshpot.errors import NetError
from freshpot.native import pace
from freshpot.native.machine import lanes
from freshpot.net import Net, Op

pytestmark = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

RUNS = 16
PARAMETERS: dict[str, tuple[int, ...]] = {
    "W1": (32, 16, 3, 3),
    "W2": (32, 32, 3, 3),
    "scale": (32,),
    "bias": (32,),
    "mean": (32,),
    "var": (32,),
    "W": (10, 32),
    "b": (10,),
}
OPS = [
    Op("Conv", ["X", "W1"], ["c1"], {"kernel": 3, "pad": 1}),
    Op("SpatialBN", ["c1", "scale", "bias", "mean", "var"], ["b1"], {"is_test": 1}),
    Op("Relu", ["b1"], ["b1"]),
    Op("Conv", ["b1", "W2"], ["c2"], {"kernel": 3, "pad": 1}),
    Op("Sum", ["c2", "b1"], ["s"]),
    Op("Relu", ["s"], ["s"]),
    Op("AveragePool", ["s"], ["p"], {"global_pooling": 1}),
    Op("FC", ["p", "W", "b"], ["f"]),
    Op("Softmax", ["f"], ["Y"]),
]
BLOBS = ("c1", "b1", "c2", "s", "p", "f", "Y")


@pytest.fixture(autouse=True)
def blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code is made at once, and taken."""
    monkeypatch.setattr(pace, "is_time", lambda: True)
    monkeypatch.setattr(choice, "choose", lambda job, ways: "blocks")


def workspace(**more: tuple[int, ...]) -> Workspace:
    ws, rng = Workspace(), np.random.default_rng(5)
    for name, shape in {"X": (2, 16, 6, 5), **PARAMETERS, **more}.items():
        values = rng.standard_normal(shape).astype(np.float32)
        ws.feed(name, np.abs(values) + 0.5 if name == "var" else values)
    return ws


def in_blocks(plan: Plan) -> bool:
    found = plan._visible
    return found is not None and found._now is not None and found._now.ready and not found._left


def created(ws: Workspace, ops: list[Op] = OPS) -> Plan:
    return ws.create_net(Net("n", ops), overwrite=True)


def warm(ws: Workspace, ops: list[Op] = OPS) -> Plan:
    plan = created(ws, ops)
    for _ in range(RUNS):
        plan.run()
    assert in_blocks(plan)
    return plan


def check(ws: Workspace, ops: list[Op] = OPS, blobs: tuple[str, ...] = BLOBS) -> None:
    """All blobs are what a plan makes that never runs in blocks."""
    inner = Workspace(parent=ws)
    for op in ops:
        for name in op.outputs:
            inner.create_local(name)
    Plan(Net("n", ops), inner).run()
    for name in blobs:
        wanted = inner.get(name)
        scale = float(wanted.abs().max())
        np.testing.assert_allclose(ws.get(name).numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5 * scale)


def test_every_blob_is_there_at_every_run() -> None:
    ws = workspace()
    plan = created(ws)
    for _ in range(RUNS):
        plan.run()
        check(ws)
    assert in_blocks(plan)


def test_new_images_and_other_sizes() -> None:
    ws = workspace()
    plan = warm(ws)
    rng = np.random.default_rng(1)
    for shape in ((2, 16, 6, 5), (3, 16, 4, 4), (2, 16, 6, 5)):
        for _ in range(RUNS):
            ws.feed("X", rng.standard_normal(shape).astype(np.float32))
            plan.run()
            check(ws)
    assert in_blocks(plan)


def test_a_blob_keeps_its_value_when_the_input_changes_after_the_run() -> None:
    ws = workspace()
    warm(ws).run()
    wanted = Workspace(parent=ws)
    wanted.create_local("c1")
    Plan(Net("n", OPS[:1]), wanted).run()
    ws.feed("X", np.zeros((2, 16, 6, 5), np.float32))
    ws.feed("W1", np.zeros(PARAMETERS["W1"], np.float32))
    np.testing.assert_allclose(ws.get("c1").numpy(), wanted.get("c1").numpy(), rtol=1e-4, atol=1e-4)


#: updates of W1: momentum, the same after Nesterov, plain steps, RMSProp
UPDATES = [
    Op(
        "MomentumSGDUpdate",
        ["grad", "moment", "lr", "W1"],
        ["grad", "moment", "W1"],
        {"momentum": 0.5, "nesterov": n},
    )
    for n in (0, 1)
] + [
    Op("WeightedSum", ["W1", "one", "grad", "lr"], ["W1"]),
    Op("RmsProp", ["grad", "square", "moment", "lr"], ["grad", "square", "moment"], {"momentum": 0.5}),
]


@pytest.mark.parametrize("update", UPDATES, ids=lambda op: op.type)
def test_parameters_that_another_net_trains(update: Op) -> None:
    """Small ones are written by machine code, behind PyTorch's back."""
    ws = workspace(grad=PARAMETERS["W1"], moment=PARAMETERS["W1"], square=np.abs(PARAMETERS["W1"]))
    ws.feed("lr", np.array([0.1], np.float32))
    ws.feed("one", np.array([1], np.float32))
    step = [] if "W1" in update.outputs else [Op("WeightedSum", ["W1", "one", "grad", "one"], ["W1"])]
    test, train = warm(ws), ws.create_net(Net("train", [update, *step]))
    for _ in range(6):
        train.run()
        for _ in range(20):
            test.run()
        assert in_blocks(test)
        check(ws)


def test_parameters_that_are_fed_in_place() -> None:
    ws = workspace()
    plan = warm(ws)
    for value in (0.5, -1.0, 2.0):
        ws.feed("W2", np.full(PARAMETERS["W2"], value, np.float32))
        for _ in range(9):
            plan.run()
            check(ws)


def test_parameters_that_change_all_the_time_are_not_packed_all_the_time() -> None:
    ws = workspace()
    plan = warm(ws)
    for i in range(20):
        ws.feed("W2", np.full(PARAMETERS["W2"], i, np.float32))
        plan.run()
        check(ws)
    assert not in_blocks(plan)
    for _ in range(80):
        plan.run()
    assert in_blocks(plan)


def test_memory_that_a_program_holds_follows() -> None:
    ws = workspace()
    plan = created(ws)
    plan.run()
    view = ws.create("b1").share()
    for _ in range(RUNS):
        ws.feed("X", np.random.default_rng(2).standard_normal((2, 16, 6, 5)).astype(np.float32))
        plan.run()
        np.testing.assert_array_equal(view, ws.get("b1").numpy())
    check(ws)


NOT_IN_BLOCKS: dict[str, Callable[[], list[Op]]] = {
    "gradients": lambda: [
        *OPS[:1],
        Op("ConvGradient", ["X", "W1", "c1"], ["dW", "dX"], {"kernel": 3, "pad": 1, "no_bias": 1}),
    ],
    "writes what it reads": lambda: [*OPS[:1], Op("Relu", ["X"], ["X"])],
    "random numbers": lambda: [*OPS[:1], Op("Dropout", ["c1"], ["d", "mask"], {"ratio": 0.5, "is_test": 0})],
    "no convolution": lambda: OPS[6:],
    "works on the workspace": lambda: [*OPS[:1], Op("Print", ["c1"], [], {"to_file": 1})],
}


@pytest.mark.parametrize("case", NOT_IN_BLOCKS)
def test_what_runs_as_ever(case: str) -> None:
    ws = workspace(s=(2, 32, 6, 5))
    plan = created(ws, NOT_IN_BLOCKS[case]())
    for _ in range(RUNS):
        plan.run()
    assert not in_blocks(plan)


def test_random_numbers_are_not_drawn_more_often() -> None:
    ops = [*OPS[:1], Op("Dropout", ["c1"], ["d", "mask"], {"ratio": 0.5, "is_test": 0})]
    drawn = []
    for often in (False, True):
        ws = workspace()
        plan = Plan(Net("n", ops), ws, often=often)
        torch.manual_seed(3)
        for _ in range(RUNS):
            plan.run()
        drawn.append(ws.get("d"))
    assert torch.equal(*drawn)


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_FUSE", "0")
    assert created(workspace())._visible is None


def test_an_error_is_the_ordinary_one() -> None:
    ops = [*OPS, Op("LabelCrossEntropy", ["Y", "label"], ["loss"])]
    ws = workspace()
    ws.feed("label", np.array([1, 2], np.int32))
    plan = warm(ws, ops)
    ws.feed("label", np.array([1, 20], np.int32))
    messages: list[Any] = []
    for one in (plan, Plan(Net("n", ops), ws)):
        with pytest.raises(NetError) as found:
            one.run()
        messages.append(str(found.value))
    assert messages[0] == messages[1]
    ws.feed("label", np.array([1, 2], np.int32))
    plan.run()
    check(ws)
