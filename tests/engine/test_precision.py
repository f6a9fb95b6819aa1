"""Precision on a GPU: exact unless told otherwise; what bfloat16 rounds, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from far_device import FAR, Traffic
from far_graph import FarRecorder
from freshpot.engine import Plan, Workspace, precision
from freshpot.errors import ArgumentError
from freshpot.net import Net, Op
from freshpot.net.op import CUDA, Device

GPU = Device(CUDA, 0)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [(None, (False, False)), ("0", (False, False)), ("1", (True, True)), ("torch", (True, False))],
)
def test_tf32(said: str | None, wanted: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHPOT_TF32", raising=False)
    if said is not None:
        monkeypatch.setenv("FRESHPOT_TF32", said)
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
        precision.use_gpu.__wrapped__()
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == wanted
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_settings_that_are_none(monkeypatch: pytest.MonkeyPatch, traffic: Traffic) -> None:
    monkeypatch.setenv("FRESHPOT_TF32", "yes")
    with pytest.raises(ArgumentError, match="FRESHPOT_TF32 is 'yes'; it may be 0, 1 or torch"):
        precision.use_gpu.__wrapped__()
    monkeypatch.setenv("FRESHPOT_AMP", "fp16")
    ws = Workspace()
    ws.feed("X", np.ones(3, np.float32))
    with pytest.raises(ArgumentError, match="FRESHPOT_AMP is 'fp16'; it may be 0 or bf16"):
        Plan(Net("n", [Op("Relu", ["X"], ["Y"])], device=GPU), ws)
    Plan(Net("n", [Op("Relu", ["X"], ["Y"])]), ws).run()  # the CPU does not ask


def net() -> Net:
    return Net(
        "n",
        [
            Op("Conv", ["X", "K", "k"], ["C"], {"kernel": 3}),
            Op("Relu", ["C"], ["R"]),
            Op("FC", ["R", "W", "b"], ["Y"]),
            Op("Sub", ["Y", "T"], ["dY"]),
            Op("FCGradient", ["R", "W", "dY"], ["dW", "db", "dR"]),
            Op("ReluGradient", ["R", "dR"], ["dC"]),
            Op("ConvGradient", ["X", "K", "dC"], ["dK", "dk", "dX"], {"kernel": 3}),
            *(Op("WeightedSum", [p, "one", f"d{p}", "rate"], [p]) for p in ("W", "b", "K", "k")),
        ],
        device=GPU,
    )


def fed() -> Workspace:
    ws, rng = Workspace(), np.random.default_rng(0)
    shapes = {"X": (4, 2, 6, 6), "K": (3, 2, 3, 3), "k": (3,), "W": (2, 48), "b": (2,), "T": (4, 2)}
    for name, shape in shapes.items():
        ws.feed(name, torch.from_numpy(rng.standard_normal(shape).astype(np.float32) / 3).to(FAR))
    ws.feed("one", torch.ones(1).to(FAR))
    ws.feed("rate", torch.full((1,), -0.02).to(FAR))
    return ws


def test_bfloat16_rounds_products_and_nothing_else(
    graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHPOT_AMP", "bf16")
    monkeypatch.setenv("FRESHPOT_GRAPH", "0")
    ws = fed()
    before = {name: ws.get(name).cpu() for name in ws.names()}
    Plan(net(), ws).run()
    found = {name: ws.get(name).cpu() for name in ws.names()}
    assert {value.dtype for value in found.values()} == {torch.float32}
    low = {name: value.bfloat16() for name, value in before.items()}
    C = conv2d(low["X"], low["K"], low["k"]).float()
    assert torch.equal(found["C"], C)
    assert torch.equal(found["dY"], found["Y"] - before["T"])
    np.testing.assert_allclose(found["Y"], C.relu().flatten(1) @ before["W"].T + before["b"], atol=0.02)
    dW = found["dY"].bfloat16().T @ C.relu().flatten(1).bfloat16()
    assert torch.equal(found["dW"].reshape(2, -1), dW.float())
    assert torch.equal(found["W"], torch.addcmul(before["W"], found["dW"], torch.tensor(-0.02)))


def test_bfloat16_learns_what_float32_learns(graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With graphs and without, to the same bit."""
    found = []
    for amp, recorded in (("0", "0"), ("bf16", "0"), ("bf16", "1")):
        monkeypatch.setenv("FRESHPOT_AMP", amp)
        monkeypatch.setenv("FRESHPOT_GRAPH", recorded)
        ws = fed()
        plan, losses = Plan(net(), ws), []
        for _ in range(40):
            plan.run()
            losses.append(float(ws.find("dY").on_cpu().square().sum()))
        found.append((losses, ws.get("W").cpu(), ws.get("dX").cpu()))
    (exact, W, _), (rounded, V, dX), (played, U, dU) = found
    assert rounded == played
    assert torch.equal(V, U)
    assert torch.equal(dX, dU)
    assert rounded != exact
    assert exact[-1] < exact[0] / 20
    assert rounded[-1] < rounded[0] / 20
    assert 0 < float((W - V).abs().max()) < 0.02
    assert graphs.replays > 30
