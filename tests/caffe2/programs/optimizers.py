"""One small net, every optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python import brew, model_helper, optimizer
from programs.common import Program, train


def with_optimizer(name: str, build: Callable[..., Any], *args: Any, **kwargs: Any) -> Program:
    def make() -> Any:
        m = model_helper.ModelHelper(name=name)
        c = brew.conv(m, "data", "conv1", 1, 4, 3)
        c = brew.relu(m, c, c)
        return train(m, brew.fc(m, c, "fc", 144, 10), build, *args, **kwargs)

    return make


def decayed_sgd(model: Any, rate: float) -> None:
    optimizer.add_weight_decay(model, 1e-4)
    optimizer.build_sgd(model, rate)


_FTRL = {"engine": "", "alpha": 0.1, "beta": 0.1, "lambda1": 0.01, "lambda2": 0.01}
_CASES: dict[str, Any] = {
    "sgd_fixed": (optimizer.build_sgd, (0.1,), {}),
    "sgd_exp": (optimizer.build_sgd, (0.1,), {"policy": "exp", "gamma": 0.99}),
    "sgd_poly": (optimizer.build_sgd, (0.1,), {"policy": "poly", "power": 1.0, "max_iter": 1000}),
    "sgd_nesterov": (
        optimizer.build_sgd,
        (0.1,),
        {"momentum": 0.9, "policy": "step", "stepsize": 10, "gamma": 0.9},
    ),
    "sgd_lars": (optimizer.build_sgd, (0.1,), {"momentum": 0.9, "lars": 0.5}),
    "sgd_weight_decay": (decayed_sgd, (0.1,), {}),
    "multi_precision_sgd": (optimizer.build_multi_precision_sgd, (0.1,), {"momentum": 0.9}),
    "fp16_sgd": (optimizer.build_fp16_sgd, (0.1,), {}),
    "ftrl": (optimizer.build_ftrl, (), _FTRL),
    "gftrl": (optimizer.build_gftrl, (), _FTRL),
    "adagrad_effective_lr": (optimizer.build_adagrad, (0.1,), {"output_effective_lr_and_update": True}),
    "wngrad": (optimizer.build_wngrad, (0.1,), {}),
    "storm": (optimizer.build_storm, (0.1,), {}),
    "adam": (optimizer.build_adam, (0.001,), {}),
    "adam_args": (
        optimizer.build_adam,
        (0.01,),
        {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "policy": "exp", "gamma": 0.99},
    ),
    "yellowfin": (optimizer.build_yellowfin, (0.1,), {}),
}
PROGRAMS: dict[str, Program] = {
    f"opt_{name}": with_optimizer(f"opt_{name}", build, *args, **kwargs)
    for name, (build, args, kwargs) in _CASES.items()
}
