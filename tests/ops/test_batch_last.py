"""Convolution and pooling with the batch along the memory, as operators: equal to ATen, taken where it fits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from in_plan import check_runs_in_memory

from freshpot.engine import Workspace
from freshpot.native.machine import lanes
from freshpot.net import Net, Op
from freshpot.ops._window import is_batch_last
from freshpot.ops.convolution import conv
from freshpot.ops.linear import _batch_last as linear

needs_native = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")
#: images that fill vectors, some that do not, so many that pixels lie apart, and that pieces of a batch end with one
images = pytest.mark.parametrize("images", [32, 20, 13, 256, 257])

#: conv arguments, pool arguments
NETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LeNet's": ({"kernel": 5}, {"kernel": 2, "stride": 2}),
    "padded": ({"kernel": 3, "pad": 1}, {"kernel": 3, "stride": 2}),
    "strides": ({"kernel": 3, "stride": 2}, {"kernel": 2, "stride": 2}),
    "padded pooling": ({"kernel": 3}, {"kernel": 3, "stride": 2, "pad": 1}),
    "grouped": ({"kernel": 3, "group": 2}, {"kernel": 2, "stride": 2}),
    "dilated": ({"kernel": 3, "dilation": 2}, {"kernel": 2, "stride": 2}),
}
NAMES = ("y", "p", "f", "dp", "dy", "dw", "db", "dx")


def ops(conv: dict[str, Any], pool: dict[str, Any], caffe: bool) -> list[Op]:
    if caffe:
        window = {
            "kernels": [pool["kernel"]] * 2,
            "strides": [pool["stride"]] * 2,
            "pads": [pool.get("pad", 0)] * 2,
        }
        pooling = [
            Op("CaffeMaxPool", ["y"], ["p", "index"], window),
            Op("CaffeMaxPoolGradient", ["y", "index", "dp"], ["dy"], window),
        ]
    else:
        pooling = [
            Op("MaxPool", ["y"], ["p"], pool),
            Op("MaxPoolGradient", ["y", "p", "dp"], ["dy"], pool),
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


def run(
    net: list[Op],
    group: int,
    monkeypatch: pytest.MonkeyPatch,
    native: bool,
    images: int = 32,
    outputs: int = 7,
) -> Workspace:
    for module in (conv, linear):
        monkeypatch.setattr(module, "choose", lambda job, ways: next(iter(ways)) if native else "aten")
    torch.manual_seed(0)
    ws = Workspace()
    C, K = 4, 24
    for name, shape in {
        "x": (images, C, 21, 19),
        "w": (K, C // group, net[0].args["kernel"], net[0].args["kernel"]),
        "b": (K,),
        "fb": (outputs,),
    }.items():
        ws.feed(name, torch.randn(shape))
    ws.run_once(Net("front", net[:2]))
    ws.feed("fw", torch.randn(outputs, ws.get("p")[0].numel()))
    ws.run_once(Net("n", net))
    return ws


@needs_native
@images
@pytest.mark.parametrize("caffe", [False, True], ids=["Caffe2's pooling", "Caffe's pooling"])
@pytest.mark.parametrize("case", NETS.values(), ids=NETS.keys())
def test_both_ways_agree(case: Any, caffe: bool, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = ops(*case, caffe)
    group = case[0].get("group", 1)
    found, wanted = (run(net, group, monkeypatch, native, images) for native in (True, False))
    plain = group == 1 and "dilation" not in case[0]
    assert is_batch_last(found.get("y")) == plain
    for name in NAMES:
        a, b = found.get(name), wanted.get(name)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


@needs_native
@images
@pytest.mark.parametrize("caffe", [False, True], ids=["Caffe2's pooling", "Caffe's pooling"])
@pytest.mark.parametrize("case", NETS.values(), ids=NETS.keys())
def test_runs_in_memory_of_the_plan_give_the_same(
    case: Any, caffe: bool, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = ops(*case, caffe)
    ws = run(net, case[0].get("group", 1), monkeypatch, True, images)
    check_runs_in_memory(ws, net, NAMES)


#: outputs of a fully connected layer: more and less than a vector's, and none that a block divides
@needs_native
@images
@pytest.mark.parametrize("outputs", [37, 48, 7])
def test_fully_connected(images: int, outputs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = ops(*NETS["LeNet's"], False)
    ws = run(net, 1, monkeypatch, True, images, outputs)
    assert is_batch_last(ws.get("p"))
    assert is_batch_last(ws.get("dp"))
    ws.feed("df", torch.randn(images, outputs))
    layer = Net("layer", [net[2], net[4]])
    ws.run_once(layer)
    found = {name: ws.get(name).clone() for name in ("f", "dfw", "dfb", "dp")}
    x, w, b = (ws.get(name).double().requires_grad_() for name in ("p", "fw", "fb"))
    f = torch.nn.functional.linear(x.flatten(1), w, b)
    f.backward(ws.get("df").double())
    for name, wanted in (("f", f.detach()), ("dfw", w.grad), ("dfb", b.grad), ("dp", x.grad)):
        assert wanted is not None
        torch.testing.assert_close(
            found[name].double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max())
        )
    plan = ws.create_net(layer)
    plan.run(6)
    for name, value in found.items():
        assert torch.equal(ws.get(name), value), name


def test_without_machine_code_aten_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from freshpot.ops.convolution import _batch_last

    monkeypatch.setattr(_batch_last, "lanes", lambda: 0)
    ws = run(ops(*NETS["LeNet's"], False), 1, monkeypatch, native=True)
    assert not is_batch_last(ws.get("y"))
