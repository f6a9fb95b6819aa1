"""Optimizers: ``optimizer.build_sgd(model, 0.1)`` adds the updates of all parameters to the model.

Each ``build_…`` makes an optimizer, adds it to the model and returns it; further keyword arguments are
those of the optimizer's class and, past these, of the operator `LearningRate`.

Source: caffe2/python/optimizer.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python._optimizer.adagrad import FP16_ENGINES, AdagradOptimizer
from caffe2.python._optimizer.adaptive import (
    AdadeltaOptimizer,
    AdamOptimizer,
    FtrlOptimizer,
    GFtrlOptimizer,
    StormOptimizer,
    WngradOptimizer,
    YellowFinOptimizer,
)
from caffe2.python._optimizer.base import AuxOptimizerParams, Optimizer, _optimizer_instance_count
from caffe2.python._optimizer.build import (
    _get_param_to_device,
    get_lr_injection,
    get_param_device,
    set_lr_injection,
)
from caffe2.python._optimizer.build import build as _build
from caffe2.python._optimizer.sgd import (
    FP16SgdOptimizer,
    MultiPrecisionSgdOptimizer,
    RmsPropOptimizer,
    SgdOptimizer,
    WeightDecayBuilder,
)

__all__ = [
    "FP16_ENGINES",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AuxOptimizerParams",
    "FP16SgdOptimizer",
    "FtrlOptimizer",
    "GFtrlOptimizer",
    "MultiPrecisionSgdOptimizer",
    "Optimizer",
    "RmsPropOptimizer",
    "SgdOptimizer",
    "StormOptimizer",
    "WeightDecayBuilder",
    "WngradOptimizer",
    "YellowFinOptimizer",
    "_get_param_to_device",
    "_optimizer_instance_count",
    "add_weight_decay",
    "build_adadelta",
    "build_adagrad",
    "build_adam",
    "build_fp16_sgd",
    "build_ftrl",
    "build_gftrl",
    "build_multi_precision_sgd",
    "build_rms_prop",
    "build_sgd",
    "build_storm",
    "build_wngrad",
    "build_yellowfin",
    "get_lr_injection",
    "get_param_device",
    "set_lr_injection",
]


def add_weight_decay(model: Any, weight_decay: float) -> None:
    """Add ``weight_decay * W`` to the gradient of each weight; call it before ``build_…``."""
    _build(model, WeightDecayBuilder(weight_decay), weights_only=True, use_param_info_optim=False)


def _builder(kind: type[Any], name: str, parameters: bool = False) -> Callable[..., Optimizer]:
    """The function that makes an optimizer of this kind; ``parameters`` then stands, unused, in third place."""

    def build(
        model: Any,
        base_learning_rate: float,
        max_gradient_norm: float | None = None,
        allow_lr_injection: bool = False,
        **kwargs: Any,
    ) -> Optimizer:
        made = kind(base_learning_rate, **kwargs)
        return _build(model, made, max_gradient_norm=max_gradient_norm, allow_lr_injection=allow_lr_injection)

    def build_with_parameters(
        model: Any,
        base_learning_rate: float,
        parameters: Any = None,
        max_gradient_norm: float | None = None,
        allow_lr_injection: bool = False,
        **kwargs: Any,
    ) -> Optimizer:
        return build(model, base_learning_rate, max_gradient_norm, allow_lr_injection, **kwargs)

    made = build_with_parameters if parameters else build
    made.__name__ = made.__qualname__ = name
    unused = "; ``parameters`` is not used" if parameters else ""
    made.__doc__ = f"Update by `{kind.__name__}`{unused}."
    return made


build_sgd = _builder(SgdOptimizer, "build_sgd")
build_multi_precision_sgd = _builder(MultiPrecisionSgdOptimizer, "build_multi_precision_sgd")
build_adam = _builder(AdamOptimizer, "build_adam")
build_rms_prop = _builder(RmsPropOptimizer, "build_rms_prop")
build_adagrad = _builder(AdagradOptimizer, "build_adagrad", parameters=True)
build_wngrad = _builder(WngradOptimizer, "build_wngrad", parameters=True)
build_storm = _builder(StormOptimizer, "build_storm", parameters=True)
build_adadelta = _builder(AdadeltaOptimizer, "build_adadelta", parameters=True)


def build_fp16_sgd(model: Any, base_learning_rate: float, **kwargs: Any) -> Optimizer:
    """Update by `FP16SgdOptimizer`."""
    return _build(model, FP16SgdOptimizer(base_learning_rate, **kwargs))


def build_ftrl(model: Any, engine: str = "SIMD", **kwargs: Any) -> Optimizer:
    """Update by `FtrlOptimizer`. Differs: engine SIMD, which the original often lacked, is accepted."""
    return _build(model, FtrlOptimizer(engine=engine, **kwargs))


def build_gftrl(model: Any, engine: str = "", **kwargs: Any) -> Optimizer:
    """Update by `GFtrlOptimizer`."""
    require(engine != "SIMD" or core.IsOperator("GFtrl_ENGINE_SIMD"), "GFtrl has no engine SIMD.")
    return _build(model, GFtrlOptimizer(engine=engine, **kwargs))


def build_yellowfin(model: Any, base_learning_rate: float = 0.1, **kwargs: Any) -> Optimizer:
    """Update by `YellowFinOptimizer`."""
    return _build(model, YellowFinOptimizer(alpha=base_learning_rate, **kwargs))
