"""Activations, softmax and losses."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.torch._graph import Call, Lowering, aten

_PLAIN = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "silu": "Swish",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "neg": "Negative",
    "abs": "Abs",
    "sin": "Sin",
    "cos": "Cos",
    "selu": "Selu",
    "square": "Sqr",
    "clone": "Copy",
}


@aten(*_PLAIN, *(f"{name}_" for name in ("relu", "sigmoid", "tanh", "silu", "selu", "exp")))
def plain(low: Lowering, call: Call) -> str:
    return low.op(_PLAIN[call.name.removesuffix("_")], [low.blob(call.node.args[0])])


@aten("gelu")
def gelu(low: Lowering, call: Call) -> str:
    return low.op("Gelu", [low.blob(call.self)], fast_gelu=int(call.approximate == "tanh"))


@aten("leaky_relu", "leaky_relu_")
def leaky_relu(low: Lowering, call: Call) -> str:
    return low.op("LeakyRelu", [low.blob(call.self)], alpha=float(call.negative_slope))


@aten("elu", "elu_")
def elu(low: Lowering, call: Call) -> str:
    if (call.scale, call.input_scale) != (1, 1):
        call.refuse("scales other than 1 are not converted.")
    return low.op("Elu", [low.blob(call.self)], alpha=float(call.alpha))


@aten("prelu")
def prelu(low: Lowering, call: Call) -> str:
    return low.op("PRelu", low.blobs([call.self, call.weight]))


@aten("hardtanh", "hardtanh_")
def hardtanh(low: Lowering, call: Call) -> str:
    return low.op("Clip", [low.blob(call.self)], min=float(call.min_val), max=float(call.max_val))


@aten("relu6", "relu6_")
def relu6(low: Lowering, call: Call) -> str:
    return low.op("Clip", [low.blob(call.self)], min=0.0, max=6.0)


@aten("clamp", "clamp_", "clamp_min", "clamp_max")
def clamp(low: Lowering, call: Call) -> str:
    bounds = {side: call.given.get(side) for side in ("min", "max")}
    given: dict[str, Any] = {side: float(value) for side, value in bounds.items() if value is not None}
    return low.op("Clip", [low.blob(call.self)], **given)


@aten("hardsigmoid", "hardsigmoid_")
def hardsigmoid(low: Lowering, call: Call) -> str:
    return low.op("HardSigmoid", [low.blob(call.self)], alpha=1 / 6, beta=0.5)


@aten("hardswish", "hardswish_")
def hardswish(low: Lowering, call: Call) -> str:
    x = low.blob(call.self)
    gate = low.op("HardSigmoid", [x], low.fresh(f"{call.node.name}_gate"), alpha=1 / 6, beta=0.5)
    return low.op("Mul", [x, gate])


@aten("softmax", "_softmax")
def softmax(low: Lowering, call: Call) -> str:
    _last_axis(call)
    return low.op("Softmax", [low.blob(call.self)], axis=call.like().dim() - 1)


@aten("log_softmax", "_log_softmax")
def log_softmax(low: Lowering, call: Call) -> str:
    """x - max - log(sum(exp(x - max))), which stays finite where a probability is too small for a float."""
    _last_axis(call)
    x, name = low.blob(call.self), call.node.name
    axes = [call.like().dim() - 1]
    most = low.op("ReduceMax", [x], low.fresh(f"{name}_max"), axes=axes, keepdims=1)
    fixed = low.op("StopGradient", [most], low.fresh(f"{name}_fixed"))
    shifted = low.op("Sub", [x, fixed], low.fresh(f"{name}_shifted"), broadcast=1)
    powers = low.op("Exp", [shifted], low.fresh(f"{name}_exp"))
    total = low.op("ReduceSum", [powers], low.fresh(f"{name}_sum"), axes=axes, keepdims=1)
    return low.op("Sub", [shifted, low.op("Log", [total], low.fresh(f"{name}_log"))], broadcast=1)


def _last_axis(call: Call) -> None:
    if call.dim not in (-1, call.like().dim() - 1):
        call.refuse(f"only the last dimension is converted, got {call.dim}.")


@aten("cross_entropy_loss")
def cross_entropy(low: Lowering, call: Call) -> str:
    labels = call.like(call.target)
    if (
        call.weight is not None
        or call.label_smoothing
        or call.reduction != 1
        or call.like().dim() != 2
        or labels.is_floating_point()
    ):
        call.refuse("only the mean over (N, classes) with class numbers, without weights, is converted.")
    target, name = low.blob(call.target), call.node.name
    if labels.dtype is not torch.int32:
        target = low.op("Cast", [target], low.fresh(f"{name}_labels"), to=2)
    low.op("SoftmaxWithLoss", [low.blob(call.self), target], low.fresh(f"{name}_softmax"), more=[name])
    return name


@aten("dropout", "dropout_", "feature_dropout")
def dropout(low: Lowering, call: Call) -> str:
    if call.name == "feature_dropout" and call.train:
        call.refuse("dropping whole channels in training is not converted; capture in eval mode.")
    made = low.fresh(call.node.name)
    more = [low.fresh(f"{made}_mask")] if call.train else []
    return low.op(
        "Dropout", [low.blob(call.input)], made, more, ratio=float(call.p), is_test=int(not call.train)
    )
