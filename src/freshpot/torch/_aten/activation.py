"""Activations, softmax and dropout."""

from __future__ import annotations

from typing import Any

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
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "erf": "Erf",
    "rsqrt": "Rsqrt",
    "reciprocal": "Reciprocal",
    "floor": "Floor",
    "ceil": "Ceil",
    "sign": "Sign",
    "softsign": "Softsign",
    "logical_not": "Not",
}


@aten(*_PLAIN, *(f"{name}_" for name in _PLAIN))
def plain(low: Lowering, call: Call) -> str:
    return low.op(_PLAIN[call.name.removesuffix("_")], [low.blob(call.node.args[0])])


@aten("gelu")
def gelu(low: Lowering, call: Call) -> str:
    return low.op("Gelu", [low.blob(call.self)], fast_gelu=int(call.approximate == "tanh"))


@aten("softplus")
def softplus(low: Lowering, call: Call) -> str:
    if (call.beta, call.threshold) != (1, 20):
        call.refuse("beta other than 1, or a threshold other than 20, is not converted.")
    return low.op("Softplus", [low.blob(call.self)])


@aten("mish", "mish_")
def mish(low: Lowering, call: Call) -> str:
    """x * tanh(log(1 + exp(x)))"""
    x, name = low.blob(call.self), call.node.name
    soft = low.op("Softplus", [x], low.fresh(f"{name}_soft"))
    return low.op("Mul", [x, low.op("Tanh", [soft], low.fresh(f"{name}_gate"))])


@aten("threshold", "threshold_")
def threshold(low: Lowering, call: Call) -> str:
    if call.threshold != 0 or call.value != 0:
        call.refuse("a threshold or a value other than 0 is not converted.")
    return low.op("Relu", [low.blob(call.self)])


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


@aten("glu")
def glu(low: Lowering, call: Call) -> str:
    axis, name = call.dim % call.like().dim(), call.node.name
    half = int(call.like().shape[axis]) // 2
    a, b = low.fresh(f"{name}_a"), low.fresh(f"{name}_b")
    low.op("Split", [low.blob(call.self)], a, [b], axis=axis, split=[half, half])
    return low.op("Mul", [a, low.op("Sigmoid", [b], low.fresh(f"{name}_gate"))])


@aten("softmax", "_softmax")
def softmax(low: Lowering, call: Call) -> str:
    axis = _axis(call)
    last = axis == call.like().dim() - 1
    return low.op("Softmax" if last else "CaffeSoftmax", [low.blob(call.self)], axis=axis)


@aten("log_softmax", "_log_softmax")
def log_softmax(low: Lowering, call: Call) -> str:
    return logarithms(low, call, _axis(call))


def logarithms(low: Lowering, call: Call, axis: int, name: str | None = None) -> str:
    """x - max - log(sum(exp(x - max))), which stays finite where a probability is too small for a float."""
    x, own = low.blob(call.self), call.node.name
    axes = [axis]
    most = low.op("ReduceMax", [x], low.fresh(f"{own}_max"), axes=axes, keepdims=1)
    fixed = low.op("StopGradient", [most], low.fresh(f"{own}_fixed"))
    shifted = low.op("Sub", [x, fixed], low.fresh(f"{own}_shifted"))
    powers = low.op("Exp", [shifted], low.fresh(f"{own}_exp"))
    total = low.op("ReduceSum", [powers], low.fresh(f"{own}_sum"), axes=axes, keepdims=1)
    return low.op("Sub", [shifted, low.op("Log", [total], low.fresh(f"{own}_log"))], name)


def _axis(call: Call) -> int:
    if call.given.get("dtype") not in (None, call.like().dtype):
        call.refuse("another type for the result is not converted.")
    return int(call.dim % call.like().dim())


@aten("dropout", "dropout_")
def dropout(low: Lowering, call: Call) -> str:
    made = low.fresh(call.node.name)
    more = [low.fresh(f"{made}_mask")] if call.train else []
    return low.op(
        "Dropout", [low.blob(call.input)], made, more, ratio=float(call.p), is_test=int(not call.train)
    )


@aten("native_dropout")
def native_dropout(low: Lowering, call: Call) -> list[str | None]:
    return [dropout(low, call), None]


@aten("feature_dropout", "feature_dropout_")
def feature_dropout(low: Lowering, call: Call) -> str:
    """Whole channels: one number a channel is dropped or kept."""
    if not call.train:
        return dropout(low, call)
    like, name = call.like(call.input), call.node.name
    low_ones = low.sized("FillSized", [], [*like.shape[:2], *[1] * (like.dim() - 2)], value=1.0)
    kept, mask = low.fresh(f"{name}_kept"), low.fresh(f"{name}_mask")
    low.op("Dropout", [low_ones], kept, [mask], ratio=float(call.p), is_test=0)
    return low.op("Mul", [low.blob(call.input), kept])
