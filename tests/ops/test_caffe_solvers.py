"""The update rules of Caffe's solvers beside their formulas in NumPy, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from freshpot.engine import Workspace
from freshpot.errors import ArgumentError, ArityError, NetError, ShapeError
from freshpot.net import Net, Op, registry

SHAPES = ((3, 4), (3,), (2, 1, 5))
LR_MULTS, DECAY_MULTS = [1.0, 2.0, 1.0], [1.0, 0.0, 0.5]
LR, M, M2, RMS, DELTA, ITERATION = 0.1, 0.9, 0.95, 0.8, 1e-3, 4


def sgd(g: Any, rate: float, h: Any) -> tuple:
    h = M * h + rate * g
    return h, h


def nesterov(g: Any, rate: float, h: Any) -> tuple:
    new = M * h + rate * g
    return (1 + M) * new - M * h, new


def adagrad(g: Any, rate: float, h: Any) -> tuple:
    h = h + g * g
    return rate * g / (np.sqrt(h) + DELTA), h


def rmsprop(g: Any, rate: float, h: Any) -> tuple:
    h = RMS * h + (1 - RMS) * g * g
    return rate * g / (np.sqrt(h) + DELTA), h


def adadelta(g: Any, rate: float, h: Any, k: Any) -> tuple:
    h = M * h + (1 - M) * g * g
    u = g * np.sqrt((k + DELTA) / (h + DELTA))
    return rate * u, h, M * k + (1 - M) * u * u


def adam(g: Any, rate: float, m: Any, v: Any) -> tuple:
    t = ITERATION + 1
    m, v = M * m + (1 - M) * g, M2 * v + (1 - M2) * g * g
    return rate * np.sqrt(1 - M2**t) / (1 - M**t) * m / (np.sqrt(v) + DELTA), m, v


RULES = {
    "CaffeSGD": (sgd, 1),
    "CaffeNesterov": (nesterov, 1),
    "CaffeAdaGrad": (adagrad, 1),
    "CaffeRMSProp": (rmsprop, 1),
    "CaffeAdaDelta": (adadelta, 2),
    "CaffeAdam": (adam, 2),
}


def arrays(slots: int) -> list[np.ndarray]:
    """Parameters, gradients, histories (not negative)."""
    rng = np.random.default_rng(3)
    made = [rng.standard_normal(shape).astype(np.float32) for _ in range(2 + slots) for shape in SHAPES]
    return [np.abs(a) if i >= 2 * len(SHAPES) else a for i, a in enumerate(made)]


def run(kind: str, values: list[np.ndarray], **args: Any) -> tuple[float, list[np.ndarray]]:
    ws, names = Workspace(), [f"b{i}" for i in range(len(values))]
    ws.feed("lr", np.array([LR], np.float32))
    ws.feed("iter", np.array([ITERATION], np.int64))
    for name, value in zip(names, values, strict=True):
        ws.feed(name, value)
    given = {"lr_mults": LR_MULTS, "decay_mults": DECAY_MULTS, "momentum": M, "momentum2": M2}
    given |= {"rms_decay": RMS, "delta": DELTA, **args}
    ws.run_once(Net("update", [Op(kind, ["lr", "iter", *names], ["norm", *names], given)]))
    return float(ws.get("norm").item()), [ws.get(name).numpy() for name in names]


@pytest.mark.parametrize("kind", RULES)
@pytest.mark.parametrize(
    "args",
    [
        {},
        {"weight_decay": 0.2},
        {"weight_decay": 0.2, "regularization": "L1"},
        {"clip_gradients": 1.5},
        {"clip_gradients": 1e6},
        {"iter_size": 3, "weight_decay": 0.1, "clip_gradients": 1.0},
    ],
)
def test_rule(kind, args):
    rule, slots = RULES[kind]
    values, n = arrays(slots), len(SHAPES)
    norm, found = run(kind, values, **args)
    wide = [v.astype(np.float64) for v in values]
    total = np.sqrt(sum((g * g).sum() for g in wide[n : 2 * n]))
    limit = args.get("clip_gradients", -1)
    assert norm == pytest.approx(total if limit >= 0 else 0, rel=1e-5)
    for i in range(n):
        param, g = wide[i], wide[n + i]
        if 0 <= limit < total:
            g = g * limit / total
        g = g / args.get("iter_size", 1)
        decayed = np.sign(param) if args.get("regularization") == "L1" else param
        g = g + args.get("weight_decay", 0) * DECAY_MULTS[i] * decayed
        step, *histories = rule(g, LR * LR_MULTS[i], *(wide[(2 + s) * n + i] for s in range(slots)))
        wanted = [param - step, step, *histories]
        for k, value in enumerate(wanted):
            np.testing.assert_allclose(
                found[k * n + i], value, rtol=2e-5, atol=1e-6, err_msg=f"blob {k}, {i}"
            )


@pytest.mark.parametrize(
    ("change", "args", "error", "words"),
    [
        (lambda v: v[:-1], {}, ArityError, "3 parameters need 9 blobs"),
        (lambda v: [*v[:-1], v[-1].reshape(-1)], {}, ShapeError, r"blob 'b8' must have shape \(2, 1, 5\)"),
        (lambda v: v, {"decay_mults": [1.0]}, ArgumentError, "must be as many"),
        (lambda v: v, {"iter_size": 0}, ArgumentError, "must be > 0"),
        (lambda v: v, {"regularization": "L3"}, ArgumentError, "must be one of 'L1', 'L2'"),
    ],
)
def test_refused(change, args, error, words):
    with pytest.raises(error, match=words):
        run("CaffeSGD", change(arrays(1)), **args)


def test_everything_is_overwritten_in_place():
    ws = Workspace()
    with pytest.raises(NetError, match="must be the same blob as input 2"):
        ws.run_once(
            Net(
                "u",
                [Op("CaffeSGD", ["lr", "iter", "p", "g", "h"], ["n", "q", "g", "h"], {"lr_mults": [1.0]})],
            )
        )


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_a_large_parameter_is_updated_in_one_pass_alike(
    decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By machine code where there is any: as the passes of PyTorch do it."""
    from freshpot.ops.optimizer import _one_pass

    rng = np.random.default_rng(3)
    start = [rng.standard_normal((400, 112), np.float32) for _ in range(3)]
    args = {"lr_mults": [1.0], "decay_mults": [1.0], "weight_decay": decay, "momentum": M}
    found = []
    for width in (_one_pass.lanes(), 0):
        monkeypatch.setattr(_one_pass, "lanes", lambda width=width: width)
        ws = Workspace()
        ws.feed("lr", np.array([LR], np.float32))
        ws.feed("it", np.array([0], np.int64))
        for name, value in zip("pgh", start, strict=True):
            ws.feed(name, value)
        plan = ws.create_net(Net("n", [Op("CaffeSGD", ["lr", "it", *"pgh"], ["norm", *"pgh"], args)]))
        plan.run(2)
        found.append([ws.get(name).numpy() for name in "pgh"])
    for ours, passes in zip(*found, strict=True):
        np.testing.assert_allclose(ours, passes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("limit", [-1.0, 0.5])
def test_steps_in_memory_of_the_plan_round_as_the_kernel(limit: float) -> None:
    rng = np.random.default_rng(4)
    start = [torch.from_numpy(rng.standard_normal(shape, np.float32)) for shape in SHAPES * 3]
    names = [f"b{i}" for i in range(len(start))]
    args = {
        "lr_mults": LR_MULTS,
        "decay_mults": DECAY_MULTS,
        "weight_decay": 0.01,
        "momentum": M,
        "clip_gradients": limit,
    }
    op = Op("CaffeSGD", ["lr", "it", *names], ["norm", *names], args)
    ws = Workspace()
    lr, it = torch.tensor([LR]), torch.tensor([0])
    for name, value in zip(("lr", "it", *names), (lr, it, *start), strict=True):
        ws.feed(name, value.clone())
    ws.create_net(Net("n", [op])).run(6)
    operator = registry.get("CaffeSGD")(op)
    assert operator.kernel_inplace is not None
    for _ in range(6):
        norm, *_blobs = operator.kernel_inplace(lr, it, *start)
    assert torch.equal(ws.get("norm"), norm)
    for name, wanted in zip(names, start, strict=True):
        assert torch.equal(ws.get(name), wanted), name
