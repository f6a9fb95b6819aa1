"""Plans for inference: what the passes make of nets, the same results, parameters that change, changing sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freshpot.engine import Plan, Workspace
from freshpot.engine.prediction import PredictionPlan
from freshpot.errors import KernelError, MissingBlobError, ShapeError
from freshpot.net import Net, Op
from freshpot.ops.convolution import _packed
from freshpot.ops.exposure import exposed, give_away, hand_out


@pytest.fixture(autouse=True)
def no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment asks for nothing."""
    monkeypatch.delenv("FRESHPOT_FUSE", raising=False)


SHAPES = {
    "X": (2, 6, 9, 8),
    "NHWC": (2, 9, 8, 6),
    "W": (4, 6, 3, 3),
    "Wg": (4, 3, 3, 3),
    "Wn": (4, 3, 3, 6),
    "W1": (4, 6, 1, 1),
    "b": (4,),
    "mean": (4,),
    "var": (4,),
    "one": (1,),
    "scale": (4,),
    "shift": (4,),
    "R": (2, 4, 7, 6),
    "xmean": (6,),
    "xvar": (6,),
}
CONV = Op("Conv", ["X", "W", "b"], ["c"], {"kernel": 3})
SPATIAL = {"is_test": 1, "epsilon": 1e-3}


def workspace() -> Workspace:
    ws = Workspace()
    rng = np.random.default_rng(3)
    for name, shape in SHAPES.items():
        values = rng.standard_normal(shape).astype(np.float32)
        ws.feed(name, np.abs(values) + 0.5 if "var" in name or name == "one" else values)
    return ws


def plan_of(ops: list[Op], ws: Workspace, kept: set[str] | None = None) -> PredictionPlan:
    kept = kept or {ops[-1].outputs[0]}
    return PredictionPlan(Net("n", ops), ws, lambda blob: blob.name in kept)


def plainly(ops: list[Op], ws: Workspace, out: str | None = None) -> np.ndarray:
    """What the net gives operator by operator."""
    inner = Workspace(parent=ws)
    for op in ops:
        for name in op.outputs:
            inner.create_local(name).value = _copy(ws, name)
    Plan(Net("n", ops), inner).run()
    return inner.get(out or ops[-1].outputs[0]).numpy().copy()


def _copy(ws: Workspace, name: str) -> torch.Tensor:
    blob = ws.find(name)
    return torch.zeros(1) if blob is None or blob.empty else blob.value.clone()


def close(found: object, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=2e-4, atol=2e-5)


def bn(source: str, made: str, mean: str = "mean", var: str = "var") -> list[Op]:
    """BatchNorm as Caffe's layers have it, where they run in place."""
    statistics, args = [mean, var, "one"], {"use_global_stats": 1}
    return [
        Op("CaffeKeep", [source], ["old"]),
        Op("BatchNorm", ["old", *statistics], [made, *statistics, "m", "d"], args),
    ]


CASES = {
    "conv": ([CONV], ["FusedConv"]),
    "conv relu": ([CONV, Op("Relu", ["c"], ["r"])], ["FusedConv + relu"]),
    "conv relu in place": ([CONV, Op("Relu", ["c"], ["c"])], ["FusedConv + relu"]),
    "conv without bias, groups, stride, dilation": (
        [
            Op("Conv", ["X", "Wg"], ["c"], {"kernel": 3, "group": 2, "stride": 2, "dilation": 2, "pad": 2}),
            Op("Relu", ["c"], ["c"]),
        ],
        ["FusedConv + relu"],
    ),
    "uneven padding": (
        [Op("Conv", ["X", "W", "b"], ["c"], {"kernel": 3, "pad_t": 0, "pad_l": 1, "pad_b": 2, "pad_r": 1})],
        ["FusedConv"],
    ),
    "batch norm, scale, relu": (
        [CONV, *bn("c", "c"), Op("CaffeScale", ["c", "scale", "shift"], ["s"]), Op("Relu", ["s"], ["s"])],
        ["FusedConv + BatchNorm + CaffeScale+bias + relu"],
    ),
    "scale, bias": (
        [CONV, Op("CaffeScale", ["c", "scale"], ["s"]), Op("Bias", ["s", "shift"], ["t"])],
        ["FusedConv + CaffeScale + Bias"],
    ),
    "spatial bn": (
        [
            CONV,
            Op("SpatialBN", ["c", "scale", "shift", "mean", "var"], ["s"], SPATIAL),
            Op("Relu", ["s"], ["s"]),
        ],
        ["FusedConv + SpatialBN + relu"],
    ),
    "channels last": (
        [
            Op("Conv", ["NHWC", "Wn", "b"], ["c"], {"kernel": 3, "order": "NHWC"}),
            Op("SpatialBN", ["c", "scale", "shift", "mean", "var"], ["s"], {**SPATIAL, "order": "NHWC"}),
            Op("Relu", ["s"], ["s"]),
        ],
        None,
    ),
    "residual": (
        [CONV, *bn("c", "c"), Op("Sum", ["c", "R"], ["s"]), Op("Relu", ["s"], ["s"])],
        ["FusedConv + BatchNorm + sum + relu"],
    ),
    "residual of two convolutions": (
        [
            CONV,
            Op("Conv", ["X", "W"], ["e"], {"kernel": 3}),
            Op("Eltwise", ["c", "e"], ["s"]),
            Op("Relu", ["s"], ["s"]),
        ],
        ["FusedConv", "FusedConv + sum + relu"],
    ),
    "sum with factors stays": (
        [CONV, Op("Eltwise", ["c", "R"], ["s"], {"coeff": [1.0, 2.0]})],
        ["FusedConv", "Eltwise"],
    ),
    "twice the same stays": ([CONV, Op("Sum", ["c", "c"], ["s"])], ["FusedConv", "Sum"]),
    "two readers stay": (
        [CONV, Op("Relu", ["c"], ["r"]), Op("Sum", ["c", "r"], ["s"])],
        None,
    ),
    "norm without a convolution": (
        [*bn("X", "n", "xmean", "xvar"), Op("Relu", ["n"], ["n"])],
        ["ChannelAffine + BatchNorm + relu"],
    ),
    "norm before a convolution": (
        [
            *bn("X", "n", "xmean", "xvar"),
            Op("Relu", ["n"], ["n"]),
            Op("Conv", ["n", "W", "b"], ["c"], {"kernel": 3}),
        ],
        ["ChannelAffine + BatchNorm + relu", "FusedConv"],
    ),
    "training's norm stays": (
        [CONV, Op("BatchNorm", ["c", "mean", "var", "one"], ["s", "mean", "var", "one", "m", "d"])],
        ["FusedConv", "BatchNorm"],
    ),
    "copies and dropout go": (
        [
            Op("Copy", ["X"], ["x"]),
            Op("Conv", ["x", "W1"], ["c"], {"kernel": 1}),
            Op("Dropout", ["c"], ["c", "mask"], {"is_test": 1}),
            Op("Relu", ["c"], ["c"]),
        ],
        ["FusedConv + relu"],
    ),
    "a copy of an input that is asked for stays": ([Op("Copy", ["X"], ["Y"])], ["Copy"]),
    "an input that is overwritten": ([Op("Copy", ["X"], ["old"]), Op("Relu", ["X"], ["X"])], None),
}


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "ATen"])
@pytest.mark.parametrize("case", CASES)
def test_same_values_from_fewer_operators(case: str, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not packed:
        monkeypatch.setattr(_packed, "available", lambda: False)
    ops, expected = CASES[case]
    ws = workspace()
    wanted = plainly(ops, ws)
    plan = plan_of(ops, ws)
    assert plan.fused
    if expected is not None:
        assert [line.partition(" (")[0] for line in str(plan).splitlines()] == expected
    before = ws.get("X").clone()
    plan.run()
    close(ws.get(ops[-1].outputs[0]), wanted)
    if ops[-1].outputs[0] != "X":  # the second run is the flat one
        plan.run()
        close(ws.get(ops[-1].outputs[0]), wanted)
        assert torch.equal(ws.get("X"), before)


RESIDUAL = CASES["residual"][0]


def test_blobs_that_are_asked_for_are_kept() -> None:
    ws, kept = workspace(), {"c", "s"}
    plan = plan_of(RESIDUAL, ws, kept)
    plan.run(2)
    for name in kept:
        close(ws.get(name), plainly(RESIDUAL, workspace(), name))


def replace(ws: Workspace, name: str) -> None:
    ws.feed(name, ws.get(name).numpy() * 1.5)


def write_with_torch(ws: Workspace, name: str) -> None:
    ws.get(name).mul_(1.5)


def write_with_numpy(ws: Workspace, name: str) -> None:
    hand_out(ws.get(name))[...] *= 1.5


def write_given_away(ws: Workspace, name: str) -> None:
    give_away(ws.get(name)).numpy()[...] *= 1.5


@pytest.mark.parametrize("change", [replace, write_with_torch, write_with_numpy, write_given_away])
@pytest.mark.parametrize("name", ["W", "b", "mean", "var", "one"])
def test_folded_weights_follow_the_parameters(name: str, change: object) -> None:
    ws = workspace()
    plan = plan_of(RESIDUAL, ws)
    for _ in range(3):
        plan.run()
        change(ws, name)  # type: ignore[operator]
        plan.run()
        close(ws.get("s"), plainly(RESIDUAL, ws))


def test_a_view_that_is_kept_writes_to_the_parameters() -> None:
    ws = workspace()
    plan = plan_of(RESIDUAL, ws)
    rows = hand_out(ws.get("W"))[1:3].reshape(-1)  # a view of a view
    for factor in (2.0, 1.0, 0.5):
        rows *= factor
        plan.run(2)
        close(ws.get("s"), plainly(RESIDUAL, ws))


def test_views_are_known_while_they_live() -> None:
    memory = torch.zeros(2, 3)
    assert not exposed(memory)
    part = hand_out(memory)[:, 1:]
    assert exposed(memory)
    part[...] = 1
    del part
    assert not exposed(memory)
    assert memory[0].tolist() == [0, 1, 1]


def test_batches_of_changing_size() -> None:
    ws = workspace()
    plan = plan_of(RESIDUAL, ws)
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 1, 3, 2, 70, 1):
        ws.feed("X", rng.standard_normal((size, 6, 9, 8)).astype(np.float32))
        ws.feed("R", rng.standard_normal((size, 4, 7, 6)).astype(np.float32))
        plan.run()
        close(ws.get("s"), plainly(RESIDUAL, ws))


def test_what_is_remembered_of_sizes_is_bounded() -> None:
    ws = workspace()
    plan = plan_of([CONV], ws)
    for size in range(1, 90):
        ws.feed("X", np.ones((size, 6, 5, 5), np.float32))
        plan.run()
    weights = plan._graph.nodes[0].operator._remade._value._packed
    assert len(plan._checked) <= 64
    assert weights is None or (len(weights._by_size) <= 32 and len(weights._by_layout) <= 4)


def test_removed_blobs_are_looked_up_again() -> None:
    ws = workspace()
    plan = plan_of(RESIDUAL, ws)
    plan.run()
    ws.remove("W")
    ws.feed("W", np.ones(SHAPES["W"], np.float32))
    plan.run(2)
    close(ws.get("s"), plainly(RESIDUAL, ws))


def wrong_shape(ws: Workspace) -> None:
    ws.feed("X", np.ones((2, 5, 9, 8), np.float32))


def not_there(ws: Workspace) -> None:
    ws.create("R").value = Workspace().create("new").value
    ws.epoch += 1


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (wrong_shape, ShapeError, r"net 'n': operator Conv \(X, W, b\) -> \(c\): .*5 channels"),
        (not_there, MissingBlobError, "'R' holds nothing yet"),
    ],
)
def test_errors_name_the_operator_that_the_net_has(spoil: object, error: type, words: str) -> None:
    ws = workspace()
    plan = plan_of(RESIDUAL, ws)
    plan.run(2)
    spoil(ws)  # type: ignore[operator]
    with pytest.raises(error, match=words) as caught:
        plan.run()
    assert caught.value.position == 0


def test_a_kernel_that_fails_is_placed() -> None:
    ws = workspace()
    plan = plan_of([CONV, Op("Relu", ["c"], ["r"])], ws)
    plan.run(2)
    ws.find("W").value = torch.ones(4, 5, 3, 3)  # type: ignore[union-attr]
    with pytest.raises(KernelError, match=r"operator Conv \(X, W, b\).*'W' float32 \(4, 5, 3, 3\)"):
        plan.run()


def test_operators_that_work_on_the_workspace_run_as_they_are() -> None:
    ws = workspace()
    plan = plan_of([CONV, Op("Print", ["c"], [])], ws, {"c"})
    assert not plan.fused
    plan.run()
    close(ws.get("c"), plainly([CONV], ws))


def test_fusing_can_be_switched_off_and_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHPOT_FUSE", "0")
    assert not plan_of(RESIDUAL, workspace()).fused
    monkeypatch.setenv("FRESHPOT_FUSE", "verbose")
    assert plan_of(RESIDUAL, workspace()).fused
    shown = capsys.readouterr().err
    assert "fold_into_convolutions:\nFusedConv + BatchNorm (X, W, b, mean, var, one) -> (c)" in shown
