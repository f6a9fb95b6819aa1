"""Optimizers: their state lists, names, multipliers, and their messages. The nets: see test_programs.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from caffe2.python import brew, core, model_helper, optimizer, regularizer, workspace
from caffe2.python._errors import MisuseError
from freshpot.errors import NotSupportedError


@pytest.fixture(autouse=True)
def fresh() -> None:
    workspace.ResetWorkspace()
    core.Net._net_names_used = set()
    optimizer._optimizer_instance_count.clear()


def model(sparse: bool = False) -> Any:
    m = model_helper.ModelHelper(name="m")
    if sparse:
        table = m.param_init_net.XavierFill([], "emb", shape=[10, 3])
        m.AddParameter(table)
        scores = m.net.Gather([table, "indices"], "scores")
    else:
        scores = brew.fc(m, "data", "f", 8, 3)
    _, loss = m.SoftmaxWithLoss([scores, "label"], ["softmax", "loss"])
    m.AddGradientOperators([loss])
    return m


STATE = {
    "momentum": (optimizer.build_sgd, {"momentum": 0.9}, ["f_w_momentum", "f_b_momentum"]),
    "adam": (
        optimizer.build_adam,
        {},
        ["f_w_first_moment", "f_w_second_moment", "f_b_first_moment", "f_b_second_moment"],
    ),
    "adagrad": (optimizer.build_adagrad, {}, ["f_w_squared_sum", "f_b_squared_sum"]),
    "wngrad": (optimizer.build_wngrad, {}, ["f_w_moment", "f_b_moment"]),
    "rms_prop": (
        optimizer.build_rms_prop,
        {},
        ["f_w_mean_squares", "f_w_momentum", "f_b_mean_squares", "f_b_momentum"],
    ),
}


@pytest.mark.parametrize("case", STATE)
def test_state_is_listed(case: str) -> None:
    build, options, local = STATE[case]
    made = build(model(), 0.1, **options)
    assert [str(blob) for blob in made.get_auxiliary_parameters().local] == local


def test_blob_names_count_optimizers_of_a_class() -> None:
    first, second = optimizer.SgdOptimizer(0.1), optimizer.SgdOptimizer(0.1)
    assert first.make_unique_blob_name("lr") == "SgdOptimizer_0_lr_cpu"
    assert second.make_unique_blob_name("lr") == "SgdOptimizer_1_lr_cpu"
    with core.DeviceScope(core.DeviceOption(1, 3)):
        assert second.make_unique_blob_name("lr") == "SgdOptimizer_1_lr_gpu3"


def test_rates_can_be_scaled() -> None:
    for made, attribute in (
        (optimizer.SgdOptimizer(0.5), "base_learning_rate"),
        (optimizer.AdamOptimizer(0.5), "alpha"),
        (optimizer.StormOptimizer(0.5), "lr"),
    ):
        made.scale_learning_rate(0.5)
        assert getattr(made, attribute) == 0.25


def run(m: Any, times: int = 1) -> None:
    workspace.RunNetOnce(m.param_init_net)
    workspace.FeedBlob("f_w", np.full((3, 8), 0.5, np.float32))
    workspace.FeedBlob("data", np.ones((2, 8), np.float32))
    workspace.FeedBlob("label", np.zeros(2, np.int32))
    workspace.CreateNet(m.net, overwrite=True)
    workspace.RunNet(m.net, times)


def test_injected_multiplier_scales_the_step() -> None:
    m = model()
    optimizer.build_sgd(m, 0.1, allow_lr_injection=True)
    run(m)
    step = workspace.FetchBlob("f_b")
    assert optimizer.get_lr_injection() == [1.0]
    run(m, 0)
    optimizer.set_lr_injection(0.5)
    workspace.FeedBlob("f_w", np.full((3, 8), 0.5, np.float32))
    workspace.RunNet(m.net)
    np.testing.assert_allclose(workspace.FetchBlob("f_b"), step / 2, rtol=1e-6)


def test_gradients_are_clipped_together() -> None:
    m = model()
    optimizer.build_sgd(m, 1.0, max_gradient_norm=0.25)
    run(m)
    before, after = np.full((3, 8), 0.5), workspace.FetchBlob("f_w")
    moved = np.sqrt(np.sum((after - before) ** 2) + np.sum(workspace.FetchBlob("f_b") ** 2))
    np.testing.assert_allclose(moved, 0.25, rtol=1e-4)


def test_zero_rate_updates_nothing() -> None:
    m = model()
    count = len(m.Proto().op)
    optimizer.build_sgd(m, 0)
    assert len(m.Proto().op) == count


W = core.BlobReference("w")
MISUSE: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "negative": (lambda: optimizer.build_sgd(model(), -0.1), MisuseError, "must be positive; got -0.1"),
    "lars": (lambda: optimizer.build_sgd(model(), 0.1, lars=-1), MisuseError, "LARS must not be negative"),
    "rowwise": (lambda: optimizer.build_adagrad(model(), 0.1, rowWise=True), MisuseError, "sparse gradients"),
    "pruning": (
        lambda: optimizer.AdagradOptimizer(pruning_options={"mask_tensor": 1}),
        NotSupportedError,
        "never published",
    ),
    "decay": (lambda: optimizer.build_adagrad(model(True), 0.1, decay=0.9), MisuseError, "decay must be 1"),
    "yellowfin": (lambda: optimizer.build_yellowfin(model(True)), MisuseError, "does not take sparse"),
    "no gradient": (lambda: optimizer.SgdOptimizer()(None, None, "w"), MisuseError, "takes a ParameterInfo"),
    "scale": (lambda: optimizer.Optimizer().scale_learning_rate(2), NotSupportedError, "no learning rate"),
    "device": (lambda: optimizer.get_param_device("w", "w_grad", {}), MisuseError, "device is not known"),
    "l1": (lambda: regularizer.L1Norm(-1), MisuseError, "0 or positive; got -1"),
    "by": (lambda: regularizer.L1Norm(1)(None, None, W, by="chance"), MisuseError, "got 'chance'"),
    "dense": (
        lambda: regularizer.MaxNorm()(None, None, W, "g", by="after_optimizer"),
        NotSupportedError,
        "'w' is dense",
    ),
    "bounds": (lambda: regularizer.BoundedGradientProjection(2, 1), MisuseError, "nothing between"),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_says_what_is_wrong(case: str) -> None:
    act, error, message = MISUSE[case]
    with pytest.raises(error, match=message):
        act()
