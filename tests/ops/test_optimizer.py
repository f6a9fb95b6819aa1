"""Update rules and schedules that the recorded cases leave out. Numbers are the original Caffe2's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from freshpot.engine import Workspace
from freshpot.errors import ArgumentError, ShapeError
from freshpot.net import Net, Op

ITERATIONS = (1, 2, 3, 5, 7, 12, 20)

SCHEDULES = [
    (
        {
            "policy": "hill",
            "num_iter": 4,
            "start_multiplier": 0.1,
            "gamma": 0.5,
            "power": 1.0,
            "end_multiplier": 0.2,
        },
        [0.065, 0.11, 0.155, 0.1333333, 0.08, 0.04, 0.04],
    ),
    (
        {"policy": "slope", "num_iter_1": 3, "multiplier_1": 1.0, "num_iter_2": 8, "multiplier_2": 0.25},
        [0.2, 0.2, 0.2, 0.14, 0.08, 0.05, 0.05],
    ),
    (
        {"policy": "cosine", "max_lr": 0.5, "min_lr": 0.1, "period": 4, "t_mult": 2.0, "lr_shrink": 0.5},
        [0.0882843, 0.06, 0.0317157, 0.0484776, 0.0376537, 0.025, 0.015],
    ),
    (
        {
            "policy": "compositeCyclical",
            "start_warmup_multiplier": 0.1,
            "constant_warmup_num_iter": 2,
            "linear_warmup_num_iter": 3,
            "cyclical_max_lr": 0.6,
            "cyclical_step_size": 2,
            "cyclical_decay": 0.5,
        },
        [0.02, 0.02, 0.08, 0.2, 0.6, 0.3, 0.225],
    ),
    (
        {"policy": "cyclical", "max_lr": 0.6, "stepsize": 2, "decay": 0.5, "base_lr": -0.2},
        [-0.4, -0.6, -0.4, -0.3, -0.3, -0.2, -0.2],
    ),
    (
        {
            "policy": "composite",
            "sub_policy_num_iters": [3, 3, 4],
            "sub_policy_0_policy": "fixed",
            "sub_policy_0_lr_scale": 0.5,
            "sub_policy_1_policy": "step",
            "sub_policy_1_stepsize": 2,
            "sub_policy_1_gamma": 0.5,
            "sub_policy_2_policy": "inv",
            "sub_policy_2_gamma": 0.1,
            "sub_policy_2_power": 0.5,
        },
        [0.1, 0.1, 0.1, 0.05, 0.153393, 0.13484, 0.1154701],
    ),
]


@pytest.mark.parametrize(("args", "wanted"), SCHEDULES, ids=[a["policy"] for a, _ in SCHEDULES])
def test_schedules(args: dict, wanted: list[float]) -> None:
    ws = Workspace()
    ws.feed("iter", np.array([0]))
    plan = ws.create_net(Net("lr", [Op("LearningRate", ["iter"], ["lr"], {"base_lr": 0.2, **args})]))
    made = []
    for iteration in ITERATIONS:
        ws.feed("iter", np.array([iteration]))
        plan.run()
        made.append(float(ws.get("lr")))
    assert made == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"policy": "nosuch"}, "argument 'policy' is 'nosuch'; there are fixed, alter"),
        ({"policy": "step", "gamma": 0.5}, "'stepsize' must be > 0, got 0"),
        ({"policy": "composite"}, "'sub_policy_num_iters' must list numbers > 0"),
        (
            {"policy": "composite", "sub_policy_num_iters": [2], "sub_policy_0_policy": "composite"},
            "'sub_policy_0_policy' is 'composite'",
        ),
    ],
)
def test_schedules_that_are_refused(args: dict, words: str) -> None:
    ws = Workspace()
    ws.feed("iter", np.array([1]))
    with pytest.raises(ArgumentError, match=words):
        ws.run_op(Op("LearningRate", ["iter"], ["lr"], {"base_lr": 0.2, **args}))


def test_yellow_fin_follows_the_original() -> None:
    rng = np.random.RandomState(0)
    ws = Workspace()
    zeros = np.zeros((3, 2), np.float32)
    state = {
        "p": zeros + 1,
        "m": zeros,
        "lr": np.full(1, 0.1, np.float32),
        "mu": np.full(1, 0.5, np.float32),
        "window": np.zeros(4, np.float32),
        "g1": zeros,
        "g2": zeros,
        "memory": np.zeros(5, np.float32),
    }
    for name, value in state.items():
        ws.feed(name, value)
    args = {"curv_win_width": 4, "nesterov": 1, "zero_debias": 1, "beta": 0.9}
    op = Op("YellowFin", [*state, "g", "it"], list(state), args)
    for iteration in range(1, 9):
        ws.feed("g", rng.randn(3, 2).astype(np.float32))
        ws.feed("it", np.array([iteration]))
        ws.run_op(op)
    assert float(ws.get("lr")) == pytest.approx(0.07585755, rel=1e-5)
    assert float(ws.get("mu")) == pytest.approx(0.3789418, rel=1e-5)
    wanted = [[-0.02654324, 0.86347634], [1.3839982, 0.7199889], [0.31147185, 0.9255247]]
    np.testing.assert_allclose(ws.get("p"), wanted, rtol=1e-5)
    np.testing.assert_allclose(
        ws.get("memory"), [1.5394738, 4.380756, 0.81633413, 1.4396222, 0.1959766], rtol=1e-5
    )


def test_updates_write_into_the_parameter_itself() -> None:
    ws = Workspace()
    for name in ("g", "m", "p"):
        ws.feed(name, np.ones(3, np.float32))
    ws.feed("lr", np.array([0.5], np.float32))
    held = ws.get("p")
    args = {"momentum": 0.5, "nesterov": 0}
    ws.run_op(Op("MomentumSGDUpdate", ["g", "m", "lr", "p"], ["g", "m", "p"], args))
    assert ws.get("p") is held
    assert held.tolist() == [0.0, 0.0, 0.0]


def test_updates_into_other_blobs_leave_the_inputs() -> None:
    ws = Workspace()
    for name in ("g", "m", "p"):
        ws.feed(name, np.ones(3, np.float32))
    ws.feed("lr", np.array([0.5], np.float32))
    ws.run_op(Op("MomentumSGDUpdate", ["g", "m", "lr", "p"], ["g2", "m2", "p2"], {"momentum": 0.5}))
    assert [ws.get(n).tolist() for n in ("g", "m", "p")] == [[1.0] * 3] * 3
    assert ws.get("p2").tolist() == [0.0] * 3


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_weight_decay_of_the_momentum_updates(dtype: type) -> None:
    ws = Workspace()
    for name in ("g", "m", "p"):
        ws.feed(name, np.ones(2, dtype))
    ws.feed("lr", np.array([0.5], np.float32))
    kind = "FP32MomentumSGDUpdate" if dtype == np.float32 else "FP16MomentumSGDUpdate"
    ws.run_op(Op(kind, ["g", "m", "lr", "p"], ["g", "m", "p"], {"momentum": 0.5, "weight_decay": 0.5}))
    assert ws.get("m").tolist() == [1.25, 1.25]  # 0.5 * 1 + 0.5 * (1 + 0.5 * 1)
    assert ws.get("p").tolist() == [-0.25, -0.25]


@pytest.mark.parametrize("index", [-1, 5])
def test_rows_that_are_not_there_are_refused(index: int) -> None:
    ws = Workspace()
    for name in ("p", "m"):
        ws.feed(name, np.zeros((5, 2), np.float32))
    ws.feed("i", np.array([index]))
    ws.feed("g", np.ones((1, 2), np.float32))
    ws.feed("lr", np.array([1.0], np.float32))
    with pytest.raises(ShapeError, match="indices must be from 0 to 4"):
        ws.run_op(Op("SparseAdagrad", ["p", "m", "i", "g", "lr"], ["p", "m"]))


def test_a_row_named_twice_is_updated_twice_in_order() -> None:
    ws = Workspace()
    ws.feed("p", np.zeros((3, 2), np.float32))
    ws.feed("m", np.zeros((3, 2), np.float32))
    ws.feed("i", np.array([1, 1, 2]))
    ws.feed("g", np.array([[3, 3], [4, 4], [1, 1]], np.float32))
    ws.feed("lr", np.array([1.0], np.float32))
    ws.run_op(Op("SparseAdagrad", ["p", "m", "i", "g", "lr"], ["p", "m"], {"epsilon": 0.0}))
    assert ws.get("m")[:, 0].tolist() == [0.0, 25.0, 1.0]
    torch.testing.assert_close(ws.get("p")[:, 0], torch.tensor([0.0, 3 / 3 + 4 / 5, 1.0]))
