"""Nets in blocks of channels: machine code gives what the operators give, for vectors of all sizes and any threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from freshpot.engine import Plan, Workspace
from freshpot.engine.blocked import choice, images, kinds, lowering
from freshpot.engine.prediction import PredictionPlan
from freshpot.native import blocks, pace, program, winograd
from freshpot.native.machine import lanes
from freshpot.net import Net, Op
from freshpot.ops.convolution import _for_inference

pytestmark = pytest.mark.skipif(not lanes(), reason="no machine code on this processor, or no llvmlite")

_CODE = (
    winograd.convolution,
    blocks.convolution,
    blocks.depthwise,
    blocks.windows,
    blocks.pointwise,
    program.driver,
)
RUNS = 12


@pytest.fixture(params=[4, 8, 16])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A vector's size: code for smaller vectors than the machine's runs on it too. Code is made at once, and taken."""
    if request.param > lanes():
        pytest.skip(f"this machine's vectors have {lanes()} numbers")
    for module in (winograd, blocks, images, kinds, lowering, program, choice, _for_inference):
        monkeypatch.setattr(module, "lanes", lambda: request.param)
    monkeypatch.setattr(blocks, "registers", lambda: 16 if request.param == 8 else 32)
    monkeypatch.setattr(pace, "is_time", lambda: True)
    monkeypatch.setattr(choice, "choose", lambda job, ways: "blocks")
    for make in _CODE:
        make.cache_clear()
    yield int(request.param)
    for make in _CODE:
        make.cache_clear()


def workspace(**shapes: tuple[int, ...]) -> Workspace:
    ws, rng = Workspace(), np.random.default_rng(5)
    for name, shape in shapes.items():
        values = rng.standard_normal(shape).astype(np.float32)
        ws.feed(name, np.abs(values) + 0.5 if name == "var" else values)
    return ws


def plan_of(ops: list[Op], ws: Workspace, kept: set[str]) -> PredictionPlan:
    return PredictionPlan(Net("n", ops), ws, lambda blob: blob.name in kept)


def plainly(ops: list[Op], ws: Workspace) -> Workspace:
    """What the net gives operator by operator, in a workspace of its own."""
    inner = Workspace(parent=ws)
    for op in ops:
        for name in op.outputs:
            inner.create_local(name)
    Plan(Net("n", ops), inner).run()
    return inner


def close(found: Any, wanted: torch.Tensor) -> None:
    scale = float(wanted.abs().max()) or 1.0
    np.testing.assert_allclose(np.asarray(found), wanted.numpy(), rtol=1e-4, atol=1e-5 * scale)


def is_blocked(plan: PredictionPlan) -> bool:
    return plan._now is not None and plan._now._net is not None


def check(ops: list[Op], ws: Workspace, kept: set[str] | None = None) -> PredictionPlan:
    """Run the net until it runs in blocks, and compare what is kept at every run."""
    kept = kept or {ops[-1].outputs[0]}
    wanted, plan = plainly(ops, ws), plan_of(ops, ws, kept)
    for _ in range(RUNS):
        plan.run()
        for name in kept:
            close(ws.get(name), wanted.get(name))
    assert is_blocked(plan)
    return plan


def conv(x: str, w: str, y: str, **args: Any) -> Op:
    return Op("Conv", [x, w], [y], args)


#: X, W, arguments
CONVOLUTIONS = {
    "3 x 3": ((2, 16, 9, 10), (32, 16, 3, 3), {"kernel": 3, "pad": 1}),
    "3 x 3 without padding": ((1, 35, 9, 6), (65, 35, 3, 3), {"kernel": 3}),
    "3 x 3, wide padding": ((3, 16, 4, 5), (128, 16, 3, 3), {"kernel": 3, "pad": 2}),
    "3 x 3, uneven padding": ((1, 16, 5, 6), (48, 16, 3, 3), {"kernel": 3, "pads": [0, 2, 1, 0]}),
    "3 x 3, one result": ((1, 32, 3, 3), (192, 32, 3, 3), {"kernel": 3}),
    "1 x 1": ((2, 32, 7, 7), (80, 32, 1, 1), {"kernel": 1}),
    "1 x 1 with a stride": ((1, 16, 8, 9), (48, 16, 1, 1), {"kernel": 1, "stride": 2}),
    "many channels": ((1, 144, 5, 5), (112, 144, 3, 3), {"kernel": 3, "pad": 1}),
    "channels that fill no block": ((2, 21, 6, 5), (37, 21, 3, 3), {"kernel": 3, "pad": 1}),
    "images in planes": ((2, 3, 15, 17), (24, 3, 7, 7), {"kernel": 7, "stride": 2, "pad": 3}),
    "one plane": ((1, 1, 9, 9), (5, 1, 5, 5), {"kernel": 5}),
    "uneven padding": ((1, 16, 6, 7), (16, 16, 3, 2), {"kernels": [3, 2], "pads": [0, 1, 2, 0]}),
    "dilation": ((1, 16, 11, 11), (16, 16, 3, 3), {"kernel": 3, "dilation": 3, "pad": 2}),
    "planes, dilation": ((1, 2, 11, 11), (16, 2, 3, 3), {"kernel": 3, "dilation": 2, "pad": 2}),
    "groups": ((2, 32, 7, 6), (64, 16, 3, 3), {"kernel": 3, "group": 2, "pad": 1}),
    "each channel by itself": (
        (2, 37, 9, 8),
        (37, 1, 3, 3),
        {"kernel": 3, "group": 37, "stride": 2, "pad": 1},
    ),
    "pixels that no window reaches": ((1, 16, 10, 10), (16, 16, 2, 2), {"kernel": 2, "stride": 4}),
    "one pixel": ((3, 32, 1, 1), (20, 32, 1, 1), {"kernel": 1}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions(case: str, width: int) -> None:
    x, w, args = CONVOLUTIONS[case]
    ws = workspace(X=x, W=w, b=w[:1])
    bare = conv("X", "W", "c", **args)
    biased = Op("Conv", ["X", "W", "b"], ["c"], args)
    shape = tuple(plainly([bare], ws).get("c").shape)
    ws.feed("R", np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    summed = [biased, Op("Sum", ["c", "R"], ["s"]), Op("Relu", ["s"], ["s"])]
    for ops in ([bare], [biased, Op("Relu", ["c"], ["c"])]):
        check(ops, ws)
    if case != "each channel by itself":  # no machine code adds to those
        check(summed, ws)


POOLINGS = {
    "caffe2 max": Op("MaxPool", ["c"], ["Y"], {"kernel": 3, "stride": 2}),
    "caffe2 max, padded": Op("MaxPool", ["c"], ["Y"], {"kernel": 3, "stride": 2, "pad": 1}),
    "caffe2 max, as caffe": Op("MaxPool", ["c"], ["Y"], {"kernel": 3, "stride": 2, "legacy_pad": 3}),
    "caffe2 max, global": Op("MaxPool", ["c"], ["Y"], {"global_pooling": 1}),
    "caffe max": Op("CaffeMaxPool", ["c"], ["Y"], {"kernels": [3, 2], "strides": [2, 3], "pads": [1, 0]}),
    "caffe max, over the edge": Op("CaffeMaxPool", ["c"], ["Y"], {"kernels": [2, 2], "strides": [5, 5]}),
    "caffe2 mean": Op("AveragePool", ["c"], ["Y"], {"kernel": 3, "stride": 2, "pad": 1}),
    "caffe2 mean, counting padding": Op(
        "AveragePool", ["c"], ["Y"], {"kernel": 3, "pad": 1, "count_include_pad": 1}
    ),
    "caffe2 mean, global": Op("AveragePool", ["c"], ["Y"], {"global_pooling": 1}),
    "caffe mean": Op(
        "CaffeAveragePool", ["c"], ["Y"], {"kernels": [3, 3], "strides": [2, 2], "pads": [1, 1]}
    ),
    "caffe mean, global": Op("CaffeAveragePool", ["c"], ["Y"], {"global_pooling": 1}),
    "caffe mean, a large window": Op(
        "CaffeAveragePool", ["c"], ["Y"], {"kernels": [7, 6], "strides": [1, 1]}
    ),
}


@pytest.mark.parametrize("case", POOLINGS)
def test_poolings(case: str, width: int) -> None:
    ws = workspace(X=(2, 16, 9, 8), W=(21, 16, 1, 1))
    check([conv("X", "W", "c", kernel=1), POOLINGS[case]], ws)


def test_windows_without_pixels_are_left_to_the_operator(width: int) -> None:
    ws = workspace(X=(2, 16, 9, 8), W=(16, 16, 1, 1))
    empty = Op("CaffeMaxPool", ["c"], ["Y"], {"kernels": [1, 1], "strides": [7, 9], "round_up": 1})
    check([conv("X", "W", "c", kernel=1), empty], ws)


def concat(*parts: str, to: str, axis: int = 1) -> Op:
    return Op("Concat", list(parts), [to, f"{to}_info"], {"axis": axis})


FIRE = [
    conv("X", "W3", "a", kernel=3, pad=1),
    Op("Relu", ["a"], ["a"]),
    conv("X", "W1", "b", kernel=1),
]
NETS = {
    "parts are made in place": [*FIRE, concat("a", "b", to="Y"), conv("Y", "V", "z", kernel=3, pad=1)],
    "a part twice": [*FIRE, concat("a", "b", "a", to="Y")],
    "a part of two": [*FIRE, concat("a", "b", to="y"), concat("b", "y", to="Y")],
    "parts from outside": [*FIRE, concat("X", "a", to="Y")],
    "parts that fill no block": [*FIRE, conv("X", "Wodd", "o", kernel=1), concat("o", "b", to="Y")],
    "last part fills no block": [*FIRE, conv("X", "Wodd", "o", kernel=1), concat("a", "b", "o", to="Y")],
    "rows": [*FIRE, concat("a", "a", to="Y", axis=2)],
    "nested": [*FIRE, concat("a", "b", to="y"), conv("y", "V", "z", kernel=3, pad=1), concat("y", "z", to="Y")],
    "a residual block": [
        conv("X", "W1", "b", kernel=1),
        conv("b", "W3", "c", kernel=3, pad=1),
        Op("Sum", ["c", "b"], ["s"]),
        Op("Relu", ["s"], ["Y"]),
    ],
    "a sum by itself": [*FIRE, Op("Eltwise", ["a", "b"], ["s"]), Op("Eltwise", ["s", "a"], ["Y"])],
    "norms by themselves": [
        conv("X", "W1", "b", kernel=1),
        Op("Relu", ["b"], ["b"]),
        Op("SpatialBN", ["b", "scale", "shift", "mean", "var"], ["n"], {"is_test": 1}),
        Op("Relu", ["n"], ["Y"]),
    ],
    "operators in between": [
        conv("X", "W1", "b", kernel=1),
        Op("Tanh", ["b"], ["t"]),
        conv("t", "W3", "c", kernel=3, pad=1),
        Op("Softmax", ["c"], ["Y"]),
    ],
    "a classifier": [
        conv("X", "W1", "b", kernel=1),
        Op("AveragePool", ["b"], ["p"], {"global_pooling": 1}),
        Op("FC", ["p", "F", "f"], ["y"]),
        Op("Softmax", ["y"], ["Y"]),
    ],
}  # fmt: skip


def fire_workspace(batch: int = 2) -> Workspace:
    ws = workspace(
        X=(batch, 16, 7, 6), W1=(16, 16, 1, 1), W3=(16, 16, 3, 3), V=(16, 32, 3, 3), Wodd=(21, 16, 1, 1),
        scale=(16,), shift=(16,), mean=(16,), var=(16,), F=(5, 16), f=(5,),
    )  # fmt: skip
    return ws


@pytest.mark.parametrize("seen", ["the end", "everything"])
@pytest.mark.parametrize("case", NETS)
def test_nets(case: str, seen: str, width: int) -> None:
    ops = NETS[case]
    everything = {op.outputs[0] for op in ops}
    check(ops, fire_workspace(), everything if seen == "everything" else None)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads(threads: int, width: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for case in ("parts are made in place", "a classifier"):
            plan = check(NETS[case], fire_workspace())
            torch.set_num_threads(1)
            plan.run()
            torch.set_num_threads(threads)
    finally:
        torch.set_num_threads(before)


def test_parameters_that_change(width: int) -> None:
    for case, name in (("nested", "V"), ("norms by themselves", "mean"), ("a residual block", "W3")):
        ws, ops = fire_workspace(), NETS[case]
        plan = check(ops, ws, {ops[-1].outputs[0]})
        ws.get(name).mul_(1.5)
        plan.run()
        close(ws.get(ops[-1].outputs[0]), plainly(ops, ws).get(ops[-1].outputs[0]))
        assert is_blocked(plan)


def test_a_net_in_blocks_keeps_only_packed_weights(width: int) -> None:
    ops = [
        conv("X", "W3", "b", kernel=3, pad=1),
        Op("SpatialBN", ["b", "scale", "shift", "mean", "var"], ["n"], {"is_test": 1}),
        Op("Relu", ["n"], ["Y"]),
    ]
    ws = fire_workspace()
    plan = check(ops, ws)
    assert is_blocked(plan)
    (refresh,) = plan._now._net._refresh.values()
    weights = refresh.current
    if weights._packed is not None:  # PyTorch has oneDNN here: nothing needs the filters themselves
        assert weights._filters is None
        assert not weights._packed._by_size
    for batch in (2, 3):  # the second operator by operator at first
        ws.feed("X", np.random.default_rng(batch).standard_normal((batch, 16, 7, 6)).astype(np.float32))
        ws.get("scale").mul_(1.5)
        plan.run()
        close(ws.get("Y"), plainly(ops, ws).get("Y"))


def test_batches_of_changing_size(width: int) -> None:
    ops = NETS["nested"]
    ws = fire_workspace()
    plan = plan_of(ops, ws, {"Y"})
    for i in range(60):
        ws.feed("X", np.random.default_rng(i).standard_normal((1 + i % 3, 16, 7, 6)).astype(np.float32))
        plan.run()
        close(ws.get("Y"), plainly(ops, ws).get("Y"))
    assert is_blocked(plan)
    assert len(plan._nets) == 3


def test_memory_for_a_few_sizes_only_is_held(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "MOST_BYTES", 1 << 14)
    ops, ws = NETS["nested"], fire_workspace()
    plan = plan_of(ops, ws, {"Y"})
    for _ in range(2):
        for size in range(1, 9):
            ws.feed("X", np.random.default_rng(size).standard_normal((size, 16, 7, 6)).astype(np.float32))
            plan.run(RUNS)
            close(ws.get("Y"), plainly(ops, ws).get("Y"))
            assert is_blocked(plan)
    assert len(plan._nets) == choice.MOST_NETS
    assert sum(made._net is not None for made in plan._checked.values()) == choice.MOST_NETS


def test_small_nets_for_many_sizes_are_held_and_keep_their_weights_once(width: int) -> None:
    """Sizes that take turns, as those of an image pyramid, are made once each."""
    ops, ws = NETS["nested"], fire_workspace()
    plan = plan_of(ops, ws, {"Y"})
    for _ in range(RUNS):
        for size in range(1, 9):
            ws.feed("X", np.random.default_rng(size).standard_normal((size, 16, 7, 6)).astype(np.float32))
            plan.run()
            close(ws.get("Y"), plainly(ops, ws).get("Y"))
    nets = [made._net for made in plan._nets]
    assert len(nets) == 8
    for refreshes in zip(*(net._refresh.values() for net in nets if net is not None), strict=True):
        assert len({id(refresh.current) for refresh in refreshes}) == 1


def test_what_was_kept_stays_when_it_was_looked_at(width: int) -> None:
    """A tensor that somebody took is not written to by later runs; a shared array follows them."""
    ops, ws = NETS["a residual block"], fire_workspace()
    plan = check(ops, ws, {"b", "Y"})
    old = ws.get("Y")
    copy = old.clone()
    ws.feed("X", ws.get("X").numpy() * 2)
    plan.run()
    assert torch.equal(old, copy)
    view = ws.find("b").share()  # type: ignore[union-attr]
    ws.feed("X", ws.get("X").numpy() * 2)
    plan.run()
    close(torch.from_numpy(view), plainly(ops, ws).get("b"))


def test_a_blob_that_nobody_looked_at_tells_its_shape(width: int) -> None:
    ws = fire_workspace()
    plan = check(NETS["a residual block"], ws, {"Y"})
    plan.run()
    assert tuple(ws.find("Y").peek.shape) == (2, 16, 7, 6)  # type: ignore[union-attr]


def test_nan_and_infinity_go_through(width: int) -> None:
    """Where they belong; by Winograd's way also to the other results of the same tile, not further."""
    ws = fire_workspace()
    x = ws.get("X").numpy().copy()
    x[0, 3, 2, 2] = np.nan
    x[1, 5, 4, 4] = np.inf
    ws.feed("X", x)
    for kernel, W in ((1, "W1"), (3, "W3")):
        ops = [conv("X", W, "a", kernel=kernel, pad=kernel // 2)]
        wanted, plan = plainly(ops, ws).get("a"), plan_of(ops, ws, {"a"})
        plan.run(RUNS)
        assert is_blocked(plan)
        found = ws.get("a")
        belongs, near = wanted.isnan(), ~wanted.isfinite()
        if kernel == 3:
            near = torch.nn.functional.max_pool2d(near.float(), 3, 1, 1).bool()
        assert bool((found.isnan() >= belongs).all())
        assert bool((~found.isfinite() <= near).all())
        close(found[~near], wanted[~near])


def test_two_threads_at_once(width: int) -> None:
    """The net's memory is one run's; whoever comes meanwhile runs operator by operator."""
    ops, ws = NETS["a classifier"], fire_workspace()
    plan = check(ops, ws)
    wanted, wrong = plainly(ops, ws).get("Y"), []

    def work() -> None:
        for _ in range(50):
            plan.run()
            found = ws.get("Y")
            if not torch.allclose(found, wanted, rtol=1e-3, atol=1e-4):
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_is_made_where_machine_code_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "lanes", lambda: 0)
    ws = fire_workspace()
    plan = plan_of(NETS["a classifier"], ws, {"Y"})
    plan.run(RUNS)
    assert not is_blocked(plan)
