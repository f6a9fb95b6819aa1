"""Convolution and pooling over few images, in planes, as operators: equal to ATen, and in memory of the plan."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from in_plan import check_runs_in_memory

from freshpot.engine import Workspace
from freshpot.engine.kept import glance
from freshpot.native.machine import lanes
from freshpot.net import Net, Op
from freshpot.ops.convolution import _planes, conv

needs_native = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

#: conv arguments, pool arguments
NETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LeNet's": ({"kernel": 5}, {"kernel": 2, "stride": 2}),
    "padded": ({"kernel": 3, "pad": 1}, {"kernel": 3, "stride": 2}),
    "padded by more than it needs": ({"kernel": 3, "pad": 2}, {"kernel": 2, "stride": 2}),
    "padding as wide as the window": ({"kernel": 3, "pad": 3}, {"kernel": 2, "stride": 2}),
    "strides": ({"kernel": 3, "stride": 2}, {"kernel": 2, "stride": 2}),
    "strides and padding": ({"kernel": 4, "stride": 3, "pad": 1}, {"kernel": 2, "stride": 2}),
    "grouped": ({"kernel": 3, "group": 2}, {"kernel": 2, "stride": 2}),
}
#: what to take, if it is there
WAYS = {
    "all in planes": ("planes", "planes"),
    "planes after ATen": ("aten", "planes"),
    "mixed": ("planes", "native"),
}
NAMES = ("y", "p", "f", "dp", "dy", "dw", "db", "dx")


def ops(conv: dict[str, Any], pool: dict[str, Any], caffe: bool) -> list[Op]:
    window = {"kernels": [pool["kernel"]] * 2, "strides": [pool["stride"]] * 2}
    pooling = [
        Op("CaffeMaxPool", ["y"], ["p", "index"], window) if caffe else Op("MaxPool", ["y"], ["p"], pool),
        Op("CaffeMaxPoolGradient", ["y", "index", "dp"], ["dy"], window)
        if caffe
        else Op("MaxPoolGradient", ["y", "p", "dp"], ["dy"], pool),
    ]
    return [
        Op("Conv", ["x", "w", "b"], ["y"], conv),
        pooling[0],
        Op("FC", ["p", "fw", "fb"], ["f"]),
        Op("ConstantFill", ["f"], ["df"], {"value": 0.01}),
        Op("FCGradient", ["p", "fw", "df"], ["dfw", "dfb", "dp"]),
        pooling[1],
        Op("ConvGradient", ["x", "w", "dy"], ["dw", "db", "dx"], conv),
    ]


def run(net: list[Op], images: int, monkeypatch: pytest.MonkeyPatch, ways: tuple[str, str]) -> Workspace:
    """``ways``: what to take forward and for the weights, and for the data."""

    def choose(job: str, found: Any) -> str:
        wanted = ways[1] if "of the data" in job else ways[0]
        return wanted if wanted in found else "aten"

    monkeypatch.setattr(conv, "choose", choose)
    monkeypatch.setattr(_planes, "_WORTH", 0)
    torch.manual_seed(0)
    ws = Workspace()
    C, K, window = 4, 24, net[0].args["kernel"]
    shapes = {
        "x": (images, C, 31, 27),
        "w": (K, C // net[0].args.get("group", 1), window, window),
        "b": (K,),
        "fb": (7,),
    }
    for name, shape in shapes.items():
        ws.feed(name, torch.randn(shape))
    ws.run_once(Net("front", net[:2]))
    ws.feed("fw", torch.randn(7, ws.get("p")[0].numel()))
    ws.run_once(Net("n", net))
    return ws


@needs_native
@pytest.mark.parametrize("images", [1, 2, 5])
@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("caffe", [False, True], ids=["Caffe2's pooling", "Caffe's pooling"])
@pytest.mark.parametrize("case", NETS.values(), ids=NETS.keys())
def test_all_ways_agree(
    case: Any, caffe: bool, ways: Any, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = ops(*case, caffe)
    found, wanted = (run(net, images, monkeypatch, w) for w in (ways, ("aten", "aten")))
    if ways[0] == "planes" and "group" not in case[0]:
        assert found.get("y").is_contiguous()
    for name in NAMES:
        a, b = found.get(name), wanted.get(name)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


@needs_native
@pytest.mark.parametrize("images", [1, 5])
@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("caffe", [False, True], ids=["Caffe2's pooling", "Caffe's pooling"])
@pytest.mark.parametrize("case", NETS.values(), ids=NETS.keys())
def test_runs_in_memory_of_the_plan_give_the_same(
    case: Any, caffe: bool, ways: Any, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = ops(*case, caffe)
    ws = run(net, images, monkeypatch, ways)
    check_runs_in_memory(ws, net, NAMES)


@needs_native
def test_a_step_over_one_image_lies_in_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one step runs as ever: that is what makes it fast."""
    ws = run(ops(*NETS["LeNet's"], False), 1, monkeypatch, ("planes", "planes"))
    plan = ws.create_net(Net("often", ops(*NETS["LeNet's"], False)))
    plan.run(6)
    assert plan._static is not None
    held = [glance(step.outputs[0]) for step in plan.steps]
    plan.run(2)
    assert all(glance(step.outputs[0]) is memory for step, memory in zip(plan.steps, held, strict=True))
