"""Plans in memory of their own: what they make is what they make otherwise, whoever holds what they made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from freshpot.engine import Plan, Workspace, static
from freshpot.engine.kept import KeptBlob, glance
from freshpot.errors import KernelError, ShapeError
from freshpot.native.machine import lanes
from freshpot.net import Net, Op, registry


def layers() -> Net:
    """Two fully connected layers with a rectifier in place, their gradients, and updates in place."""
    return Net(
        "layers",
        [
            Op("FC", ["X", "W", "b"], ["H"]),
            Op("Relu", ["H"], ["H"]),
            Op("FC", ["H", "V", "c"], ["Y"]),
            Op("ConstantFill", ["Y"], ["dY"], {"value": 0.5}),
            Op("FCGradient", ["H", "V", "dY"], ["dV", "dc", "dH"]),
            Op("ReluGradient", ["H", "dH"], ["dH"]),
            Op("FCGradient", ["X", "W", "dH"], ["dW", "db", "dX"]),
            Op("WeightedSum", ["W", "one", "dW", "lr"], ["W"]),
            Op("WeightedSum", ["V", "one", "dV", "lr"], ["V"]),
        ],
    )


def fed() -> Workspace:
    ws, rng = Workspace(), np.random.default_rng(0)
    for name, shape in {"X": (4, 3), "W": (5, 3), "b": (5,), "V": (2, 5), "c": (2,)}.items():
        ws.feed(name, rng.standard_normal(shape).astype(np.float32))
    ws.feed("one", np.ones(1, np.float32))
    ws.feed("lr", np.full(1, -0.1, np.float32))
    return ws


def data(seed: int, shape: tuple[int, ...] = (4, 3)) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def bound(plan: Plan, runs: int = 4) -> Plan:
    plan.run(runs)
    assert plan._static is not None
    return plan


Attack = Callable[[Workspace, Plan], list[Any]]
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


@attack
def look_at_all_after_each_run(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for _ in range(12):
        plan.run()
        held += [ws.get(name) for name in ("H", "Y", "dW", "dX")]
    return held


@attack
def feed_between_runs(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for seed in range(8):
        ws.feed("X", data(seed))
        plan.run(2)
        held.append(glance(ws.find("Y")).clone())
    return [*held, ws.get("W"), ws.get("X")]


@attack
def keep_what_was_fed(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for seed in range(6):
        ws.feed("X", data(seed))
        held.append(ws.get("X"))
        plan.run()
    return held


@attack
def feed_another_shape(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for rows in (4, 2, 4, 7, 7, 7, 7, 7, 4, 4, 4, 4):
        ws.feed("X", data(rows, (rows, 3)))
        plan.run()
        held.append(ws.get("Y"))
    return held


@attack
def feed_a_result(ws: Workspace, plan: Plan) -> list[Any]:
    for name in ("Y", "dY", "H", "dX"):
        ws.feed(name, np.full_like(ws.get(name).numpy(), 7))
        plan.run()
    return [ws.get(name) for name in ("Y", "dY", "H", "dX", "W")]


@attack
def change_a_constant_in_another_net(ws: Workspace, plan: Plan) -> list[Any]:
    ws.feed("D", data(5, (4, 2)))
    other = Plan(Net("o", [Op("WeightedSum", ["dY", "one", "D", "one"], ["dY"])]), ws)
    held = []
    for _ in range(8):
        other.run(2)
        held.append(glance(ws.find("dY")).clone())
        plan.run()
        held.append(glance(ws.find("dW")).clone())
    return [*held, ws.get("dY")]


@attack
def write_the_same_blobs_in_two_nets(ws: Workspace, plan: Plan) -> list[Any]:
    other = Plan(Net("o", [Op("FC", ["X", "W", "b"], ["H"]), Op("Relu", ["H"], ["Y"])]), ws)
    held = []
    for times in (1, 5, 1, 1, 6, 2):
        plan.run(times)
        held.append(glance(ws.find("Y")).clone())
        other.run(times)
        held += [glance(ws.find("Y")).clone(), ws.get("H")]
    return held


@attack
def alias_a_result(ws: Workspace, plan: Plan) -> list[Any]:
    alias = Plan(Net("a", [Op("Alias", ["Y"], ["Z"]), Op("Copy", ["H"], ["C"])]), ws)
    held = []
    for seed in range(6):
        alias.run()
        held += [ws.get("Z"), ws.get("C")]
        ws.feed("X", data(seed))
        plan.run()
    return held


@attack
def share_memory_with_the_user(ws: Workspace, plan: Plan) -> list[Any]:
    views, held = {name: ws.find(name).share() for name in ("Y", "dX", "W", "X")}, []
    for seed in range(6):
        views["X"][...] = data(seed)
        plan.run()
        held += [view.copy() for view in views.values()]
        held.append(ws.get("Y").clone())
    views["W"][...] = 1
    plan.run()
    return [*held, *views.values()]


@attack
def replace_a_parameter(ws: Workspace, plan: Plan) -> list[Any]:
    kept = ws.get("W")
    ws.find("W").value = torch.ones(5, 3)
    plan.run(3)
    before = ws.get("W").clone()
    ws.feed("V", np.ones((2, 5), np.float32))
    plan.run(3)
    return [kept, before, ws.get("W"), ws.get("V"), ws.get("Y")]


@attack
def remove_and_link_blobs(ws: Workspace, plan: Plan) -> list[Any]:
    held = [ws.get("Y")]
    ws.remove("Y")
    plan.run(5)
    elsewhere = Workspace()
    elsewhere.feed("Q", data(9))
    ws.link("X", elsewhere.find("Q"))
    plan.run(5)
    elsewhere.feed("Q", data(10))
    plan.run(2)
    return [*held, ws.get("Y"), ws.get("W")]


@attack
def run_as_a_part_of_another_net(ws: Workspace, plan: Plan) -> list[Any]:
    ws.feed("go", np.array(True))
    outer = Plan(Net("if", [Op("If", ["go", "X", "W", "b"], ["Q"], {"then_net": part()})]), ws)
    held = []
    for seed in range(6):
        ws.feed("X", data(seed))
        outer.run()
        plan.run()
        held += [ws.get("Q"), glance(ws.find("Y")).clone()]
    return held


def part() -> Net:
    return Net("then", [Op("FC", ["X", "W", "b"], ["Q"])], inputs=["X", "W", "b"], outputs=["Q"])


@attack
def look_at_the_data_gradient_late(ws: Workspace, plan: Plan) -> list[Any]:
    held = []
    for seed in range(5):
        ws.feed("X", data(seed))
        plan.run()
        if seed % 2:
            held.append(ws.get("dX"))
    return held


@attack
def change_gradients_in_another_net(ws: Workspace, plan: Plan) -> list[Any]:
    update = Net("u", [Op("WeightedSum", ["V", "one", "dV", "lr"], ["V"]), Op("Scale", ["dV"], ["dV"])])
    update.ops[1].args["scale"] = 0.25
    other, held = Plan(update, ws), []
    for seed in range(8):
        ws.feed("X", data(seed))
        plan.run()
        other.run()
        held.append(glance(ws.find("dV")).clone())
        if seed in (4, 5):
            other.run(2)
            held.append(ws.get("dV"))
    return [*held, ws.get("V")]


@attack
def add_to_gradients_in_a_second_pass(ws: Workspace, plan: Plan) -> list[Any]:
    ops = layers().ops[:7]
    again = [Op(op.type, op.inputs, [f"{o}2" if o[0] == "d" and o[1] in "VW" else o for o in op.outputs], op.args)
             for op in ops]  # fmt: skip
    other, held = Plan(Net("2", [*again, Op("Sum", ["dW", "dW2"], ["dW"])]), ws), []
    for seed in range(9):
        ws.feed("X", data(seed))
        plan.run()
        ws.feed("X", data(seed + 100))
        other.run(1 + seed % 2)
        held += [glance(ws.find(name)).clone() for name in ("dW", "H", "Y", "dH")]
    return [*held, ws.get("dX"), ws.get("dW")]


@pytest.mark.parametrize("at_once", [1 << 14, 0], ids=["small", "large"])
@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_that_holds_a_blob_sees_a_difference(
    name: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "_AT_ONCE", at_once)
    ours = fed()
    found = ATTACKS[name](ours, bound(Plan(layers(), ours)))
    monkeypatch.setattr(static, "_FIRST_AFTER", 10**9)
    plain = fed()
    plan = Plan(layers(), plain)
    plan.run(4)
    assert plan._static is None
    wanted = ATTACKS[name](plain, plan)
    assert len(found) == len(wanted) > 0
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)
    for blob in plain.names():
        np.testing.assert_allclose(ours.get(blob), plain.get(blob), rtol=1e-4, atol=1e-5, err_msg=blob)


def test_memory_stays_where_it_is_and_moves_once_somebody_holds_it() -> None:
    ws = fed()
    plan = bound(Plan(layers(), ws))
    for seed in range(12):  # what was fed before, an ordinary run may have handed on: it moves once
        ws.feed("X", data(seed))
        plan.run()
    blob = ws.find("Y")
    assert type(blob) is KeptBlob
    where = glance(blob).data_ptr()
    plan.run(3)
    ws.feed("X", data(1))
    plan.run(3)
    assert glance(blob).data_ptr() == where
    held = ws.get("Y")
    before = held.clone()
    ws.feed("X", data(2))
    plan.run()
    assert held.data_ptr() == where
    assert glance(blob).data_ptr() != where
    assert torch.equal(held, before)


def test_plans_that_write_the_same_blobs_afresh_share_their_memory() -> None:
    ws = fed()
    ws.feed("D", data(1, (5, 3)))
    first = Plan(Net("a", [Op("FC", ["X", "W", "b"], ["H"]), Op("Copy", ["D"], ["dW"])]), ws)
    update = Plan(Net("u", [Op("WeightedSum", ["dW", "one", "D", "lr"], ["dW"])]), ws)
    second = Plan(Net("b", [Op("FC", ["X", "W", "b"], ["H"]), Op("Relu", ["H"], ["Y"])]), ws)
    for _ in range(6):
        for plan in (first, update, second):
            plan.run()
    bound_to = [plan._static for plan in (first, update, second)]
    assert None not in bound_to
    for _ in range(6):
        for plan in (first, update, second):
            plan.run()
    assert bound_to == [plan._static for plan in (first, update, second)]
    torch.testing.assert_close(ws.get("dW"), ws.get("D") * 0.9)


def test_operators_without_calls_leave_what_follows_static() -> None:
    ws = fed()
    net = Net("n", [Op("Sign", ["X"], ["S"]), Op("FC", ["S", "W", "b"], ["H"]), Op("Relu", ["H"], ["Y"])])
    assert registry.get("Sign").calls is None
    plan = bound(Plan(net, ws))
    where = glance(ws.find("Y")).data_ptr()
    for seed in range(3):
        ws.feed("X", data(seed))
        plan.run(2)
    assert glance(ws.find("Y")).data_ptr() == where
    wanted = torch.relu(torch.from_numpy(np.sign(data(2))) @ ws.get("W").T + ws.get("b"))
    torch.testing.assert_close(ws.get("Y"), wanted)


def test_outputs_whose_sizes_depend_on_data_are_right_whatever_their_sizes() -> None:
    ws = fed()
    ws.feed("m", np.array([True, False, True, True]))
    ops = [Op("AtomicIter", ["mutex", "i"], ["i"]), Op("BooleanMask", ["X", "m"], ["R", "at"])]
    net = Net("n", [*ops, Op("FC", ["R", "W", "b"], ["H"]), Op("Relu", ["H"], ["Y"])])
    ws.feed("i", np.zeros(1, np.int64))
    Plan(Net("mutex", [Op("CreateMutex", [], ["mutex"])]), ws).run()
    plan, runs = bound(Plan(net, ws)), 4
    masks = [[1, 0, 1, 1], [0, 1, 1, 1], [1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 1]]
    for seed, mask in enumerate(masks * 3):
        ws.feed("X", data(seed))
        np.asarray(ws.find("m").share())[...] = np.array(mask, bool)
        plan.run()
        runs += 1
        rows = torch.from_numpy(data(seed)[np.array(mask, bool)])
        torch.testing.assert_close(ws.get("Y"), torch.relu(rows @ ws.get("W").T + ws.get("b")))
        assert ws.get("i").item() == runs


def test_plans_whose_blobs_always_move_are_bound_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        static, "time", SimpleNamespace(monotonic=lambda: 0.0)
    )  # no pause makes up for a binding
    ws = fed()
    plan, bindings = Plan(layers(), ws), []
    bind = static.Binding.bind
    monkeypatch.setattr(static.Binding, "bind", lambda *args: bindings.append(1) or bind(*args))
    for _ in range(300):
        plan.run()
        ws.get("Y")
    assert 2 <= len(bindings) <= 16


def test_an_error_in_memory_names_its_operator_and_leaves_the_plan_usable() -> None:
    ws = fed()
    ws.feed("P", np.full((2, 3), 0.3, np.float32))
    ws.feed("L", np.array([0, 2], np.int32))
    net = Net("n", [Op("Relu", ["P"], ["Q"]), Op("LabelCrossEntropy", ["Q", "L"], ["loss"])])
    plan = bound(Plan(net, ws))
    wanted = ws.get("loss")
    for bad in (3, -1):
        ws.feed("L", np.array([0, bad], np.int32))
        for _ in range(6):
            with pytest.raises(KernelError, match=r"net 'n': operator LabelCrossEntropy \(Q, L\)") as caught:
                plan.run()
            assert caught.value.position == 1
    ws.feed("L", np.array([0, 2], np.int32))
    plan.run(5)
    assert torch.equal(ws.get("loss"), wanted)


def test_a_deferred_output_of_a_run_that_fails_is_not_computed_from_later_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(static, "_AT_ONCE", 0)
    ws = fed()
    ws.feed("i", np.zeros(1, np.int32))
    net = layers()
    net.ops.insert(1, Op("Gather", ["H", "i"], ["row"]))
    plan = bound(Plan(net, ws))
    ws.feed("X", data(3))
    ws.feed("i", np.full(1, 99, np.int32))
    with pytest.raises((KernelError, ShapeError)):
        plan.run()
    blob = ws.find("dX")
    before = None if blob.empty else blob.value.clone()
    ws.feed("X", data(4))
    assert blob.empty if before is None else torch.equal(blob.value, before)


def test_two_threads_may_run_one_plan() -> None:
    ws = fed()
    ws.feed("lr", np.zeros(1, np.float32))
    plan = bound(Plan(layers(), ws))
    wanted = glance(ws.find("dW")).clone()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(400):
                plan.run()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    torch.testing.assert_close(ws.get("dW"), wanted)


def test_numbers_that_overflow_warn_nobody(recwarn: pytest.WarningsRecorder) -> None:
    ws = fed()
    plan = bound(Plan(layers(), ws))
    ws.feed("X", np.full((4, 3), 3e38, np.float32))
    plan.run(5)
    assert not torch.isfinite(ws.get("Y")).all()
    assert not recwarn.list
    before = np.geterr()
    with pytest.warns(RuntimeWarning):
        np.float32(3e38) * np.float32(3e38)
    assert np.geterr() == before


class TestRunAgain:
    """Nets that are run once and come again."""

    def test_it_is_bound_once_and_again_after_blobs_were_removed(self) -> None:
        ws, net = fed(), layers()
        for _ in range(5):
            ws.run_again(net)
        plan = ws._recent[id(net)]
        ws.run_again(net)
        assert ws._recent[id(net)] is plan
        ws.remove("Y")
        assert not ws._recent
        ws.run_again(net)
        assert ws.get("Y").shape == (4, 2)

    def test_it_does_what_run_once_does(self) -> None:
        one, other, net = fed(), fed(), layers()
        for seed in range(8):
            for ws in (one, other):
                ws.feed("X", data(seed))
            one.run_once(net)
            other.run_again(net)
        for name in one.names():
            torch.testing.assert_close(one.get(name), other.get(name), rtol=1e-4, atol=1e-5)

    def test_operators_that_remember_begin_afresh(self) -> None:
        from freshpot.net import Device

        ws = Workspace()
        seeded = Op("GaussianFill", [], ["R"], {"shape": [3]}, device=Device(0, random_seed=5))
        counted = Op("AccumulateHistogram", ["R"], ["now", "all"], {"lower_bound": -1.0, "upper_bound": 1.0})
        seen = []
        for net in (Net("n", [seeded]), Net("m", [counted])):
            for _ in range(4):
                ws.run_again(net)
                seen.append(ws.get(net.ops[0].outputs[-1]).tolist())
        assert seen[:4] == [seen[0]] * 4
        assert seen[4:] == [seen[4]] * 4

    def test_a_net_that_fails_is_not_kept(self) -> None:
        ws, net = fed(), layers()
        ws.run_again(net)
        ws.feed("X", data(0, (4, 9)))
        with pytest.raises(ShapeError):
            ws.run_again(net)
        assert not ws._recent

    def test_few_are_kept(self) -> None:
        ws = fed()
        nets = [Net(str(i), [Op("Relu", ["X"], ["Y"])]) for i in range(100)]
        for net in nets:
            ws.run_again(net)
        assert len(ws._recent) == 64
        assert id(nets[-1]) in ws._recent


@pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")
def test_steps_of_a_few_numbers_are_made_in_few_calls() -> None:
    """Machine code of steps that follow each other is one call; a step that may complain ends it."""
    ops = [
        Op("FC", ["X", "W", "b"], ["H"]),
        Op("Relu", ["H"], ["R"]),
        Op("FC", ["R", "V", "c"], ["Y"]),
        Op("Softmax", ["Y"], ["P"]),
        Op("LabelCrossEntropy", ["P", "L"], ["xent"]),
        Op("AveragedLoss", ["xent"], ["loss"]),
        Op("AveragedLossGradient", ["xent", "loss"], ["dxent"]),
    ]
    ws = fed()
    ws.feed("L", np.array([0, 1, 1, 0], np.int32))
    plan = bound(ws.create_net(Net("chained", ops)))
    assert plan._static is not None
    code = plan._static.code
    called = [name for name in code.co_names if name.startswith("f")]
    assert len(called) == 2, called
    found = {blob: ws.get(blob).clone() for blob in ("H", "R", "Y", "P", "xent", "loss", "dxent")}
    ws.run_once(Net("once", ops))
    for blob, value in found.items():
        assert torch.equal(ws.get(blob), value), blob
    bound(plan)
    ws.feed("L", np.array([0, 9, 1, 0], np.int32))
    with pytest.raises(KernelError, match="operator LabelCrossEntropy"):
        plan.run(1)
    ws.feed("L", np.array([0, 1, 1, 0], np.int32))
    plan.run(1)
    assert torch.equal(ws.get("loss"), found["loss"])
