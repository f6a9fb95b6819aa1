"""Adding an optimizer to a model: which parameters, on which device, with which multipliers."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, workspace
from caffe2.python._errors import require
from caffe2.python._optimizer.base import Optimizer

_LEARNING_RATE_INJECTION = "lr_injection"


def _get_param_to_device(model: Any) -> dict[str, Any]:
    """Blob -> the device of the operators that make or use it, in both nets of the model."""
    return {**core.InferBlobDevices(model.net), **core.InferBlobDevices(model.param_init_net)}


def get_param_device(
    param_name: str, grad: Any, param_to_device: dict[str, Any] | None = None, default_device: Any = None
) -> Any:
    """The device of a parameter, or of its gradient if no operator makes the parameter."""
    sparse = isinstance(grad, core.GradientSlice)
    places = param_to_device or {}
    for blob in (param_name, *((str(grad.values), str(grad.indices)) if sparse else (str(grad),))):
        if blob in places:
            return places[blob]
    require(
        default_device is not None,
        f"no operator makes or uses parameter '{param_name}' or its gradient, so its device is not known.",
    )
    return default_device


def get_lr_injection() -> Any:
    """The multiplier of all learning rates, for models built with ``allow_lr_injection=True``."""
    return workspace.FetchBlob(_LEARNING_RATE_INJECTION)


def set_lr_injection(lr_injection_value: float) -> None:
    """Set the multiplier of all learning rates, for models built with ``allow_lr_injection=True``."""
    workspace.FeedBlob(_LEARNING_RATE_INJECTION, np.array([lr_injection_value], dtype=np.float32))


def _calc_norm_ratio(
    model: Any, params: list[Any], name_scope: str, param_to_device: dict[str, Any], max_gradient_norm: float
) -> Any:
    """``max_gradient_norm`` over the norm of all gradients together, at most 1."""
    with core.NameScope(name_scope):
        sums = [
            _squared_sum(model, info, f"grad_{i}_squared_sum", param_to_device)
            for i, info in enumerate(params)
        ]
        with core.DeviceScope(core.DeviceOption(caffe2_pb2.CPU)):
            total = model.net.Sum(sums, "grad_squared_full_sum")
            norm = model.net.Pow(total, "global_norm", exponent=0.5)
            clip = model.param_init_net.ConstantFill(
                [], "clip_norm", shape=[], value=float(max_gradient_norm)
            )
            largest = model.net.Max([norm, clip], "max_norm")
            return model.net.Div([clip, largest], "norm_ratio")


def _squared_sum(model: Any, info: Any, name: str, param_to_device: dict[str, Any]) -> Any:
    with core.DeviceScope(get_param_device(str(info.blob), info.grad, param_to_device)):
        grad = info.grad.values if isinstance(info.grad, core.GradientSlice) else info.grad
        return model.net.EnsureCPUOutput(model.net.SumSqrElements(grad, name))


def _lr_multiplier(
    model: Any,
    params: list[Any],
    devices: dict[str, Any],
    max_gradient_norm: float | None,
    allow_lr_injection: bool,
) -> Any:
    """The blob that scales all rates, or None."""
    ratio = None
    if max_gradient_norm is not None:
        ratio = _calc_norm_ratio(model, params, "norm_clipped_grad_update", devices, max_gradient_norm)
    if not allow_lr_injection:
        return ratio
    injected: Any = _LEARNING_RATE_INJECTION
    if not model.net.BlobIsDefined(injected):
        injected = model.param_init_net.ConstantFill([], injected, shape=[1], value=1.0)
    return injected if ratio is None else model.net.Mul([ratio, injected], "lr_multiplier", broadcast=1)


def build(
    model: Any,
    optimizer: Optimizer,
    weights_only: bool = False,
    use_param_info_optim: bool = True,
    max_gradient_norm: float | None = None,
    allow_lr_injection: bool = False,
) -> Optimizer:
    """Add the update of every parameter of the model; returns the optimizer.

    Args:
        weights_only: spare biases and other parameters that are not weights.
        use_param_info_optim: let parameters with an optimizer of their own use that.
        max_gradient_norm: scale rates down where the norm of all gradients is larger.
        allow_lr_injection: multiply rates by what `set_lr_injection` says.
    """
    devices = _get_param_to_device(model)
    model.Validate()
    infos = model.GetOptimizationParamInfo()
    params = [info for info in infos if not weights_only or info.blob in model.weights]
    optimizer.add_lr_multiplier(_lr_multiplier(model, params, devices, max_gradient_norm, allow_lr_injection))
    for info in params:
        updating = (info.optimizer if use_param_info_optim else None) or optimizer
        with core.DeviceScope(get_param_device(str(info.blob), info.grad, devices)):
            updating(model.net, model.param_init_net, info)
    return optimizer
