"""Graphs: recorded work gives what running each operator gives, whatever happens between runs.

On the GPU made of CPU tensors, whose recordings (`far_graph`) refuse and forget what a real GPU's do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from graph_nets import GPU, SHAPES, data, fed, layers, near, to_gpu
from torch import Tensor

from far_graph import FarRecorder
from freshpot.engine import Plan, Workspace, graph
from freshpot.engine.mirror import MirroredBlob
from freshpot.net import Net, Op

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


def both_ways(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """What an attack and the workspace hold in the end, operator by operator and recorded, in pairs."""
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        torch.manual_seed(1)
        ws = fed()
        held = ATTACKS[name](ws, Plan(layers(), ws))
        held += [ws.get(blob) for blob in ws.names() if not ws.find(blob).empty]
        found.append([near(each) for each in held])
    return zip(*found, strict=True)


@pytest.mark.parametrize("name", ATTACKS)
def test_recorded_runs_are_the_others(
    name: str, graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = both_ways(name, monkeypatch)
    assert graphs.replays > 2
    for plain, played in pairs:
        equal = torch.equal if isinstance(plain, Tensor) else np.array_equal
        assert equal(plain, played)


@pytest.mark.parametrize("name", ATTACKS)
def test_recorded_runs_are_the_others_on_cuda(name: str, cuda: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = both_ways(name, monkeypatch)
    assert graph._given_up is None
    for plain, played in pairs:
        np.testing.assert_allclose(np.asarray(plain), np.asarray(played), rtol=1e-5, atol=1e-6)
