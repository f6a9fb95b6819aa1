"""Reductions."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.torch._graph import Call, Lowering, aten

_REDUCTIONS = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}


@aten(*_REDUCTIONS)
def reduce(low: Lowering, call: Call) -> str:
    blob, like = low.blob(call.self), call.like()
    if call.made.dtype is not like.dtype:
        blob = low.cast(blob, like.dtype, call.made.dtype)
    return _reduced(low, call, _REDUCTIONS[call.name], blob)


def _reduced(low: Lowering, call: Call, type: str, blob: str, name: str | None = None) -> str:
    axes, keep = _axes(call), int(bool(call.given.get("keepdim", False)))
    if not axes:
        return low.op("Copy", [blob], name)
    return low.op(type, [blob], name, axes=axes, keepdims=keep)


def _axes(call: Call) -> list[int]:
    ndim = call.like().dim()
    dims: Any = call.given.get("dim")
    dims = list(range(ndim)) if dims in (None, []) else [dims] if isinstance(dims, int) else list(dims)
    return sorted(d % ndim for d in dims) if ndim else []


@aten("var", "std", "var_mean")
def variance(low: Lowering, call: Call) -> Any:
    """The mean of squared differences from the mean, times n / (n - correction)."""
    like, name, x = call.like(), call.node.name, low.blob(call.self)
    axes = _axes(call)
    correction = call.given.get("correction")
    correction = int(call.given.get("unbiased", True)) if correction is None else correction
    count = 1
    for axis in axes:
        count *= int(like.shape[axis])
    mean = low.op("ReduceMean", [x], low.fresh(f"{name}_mean"), axes=axes, keepdims=1)
    squares = low.op(
        "Sqr", [low.op("Sub", [x, mean], low.fresh(f"{name}_off"))], low.fresh(f"{name}_squares")
    )
    spread = _reduced(low, call, "ReduceMean", squares, low.fresh(f"{name}_spread"))
    made = low.op("Scale", [spread], low.fresh(f"{name}_var"), scale=count / max(count - correction, 0))
    if call.name == "var_mean":
        return [made, _reduced(low, call, "ReduceMean", x, low.fresh(f"{name}_of"))]
    return low.op("Sqrt", [made]) if call.name == "std" else made


@aten("argmax", "argmin")
def arg(low: Lowering, call: Call) -> str:
    type = {"argmax": "ArgMax", "argmin": "ArgMin"}[call.name]
    blob = low.blob(call.self)
    if call.dim is None:
        blob = low.op("FlattenToVec", [blob], low.fresh(f"{call.node.name}_flat"))
        return low.op(type, [blob], axis=0, keepdims=0)
    return low.op(type, [blob], axis=call.dim % call.like().dim(), keepdims=int(call.keepdim))


@aten("max", "min")
def extreme(low: Lowering, call: Call) -> Any:
    """Of all elements; or along a dimension, with the places."""
    side = "Max" if call.name == "max" else "Min"
    if "other" in call.given:
        first = low.op(
            "GE" if side == "Max" else "LE",
            low.blobs([call.self, call.other]),
            low.fresh(f"{call.node.name}_first"),
        )
        return low.op("Choose", [first, *low.blobs([call.self, call.other])])
    made = _reduced(low, call, f"Reduce{side}", low.blob(call.self), low.fresh(f"{call.node.name}_values"))
    if "dim" not in call.given:
        return made
    axis, keep = call.dim % call.like().dim(), int(call.keepdim)
    name = low.fresh(f"{call.node.name}_places")
    return [made, low.op(f"Arg{side}", [low.blob(call.self)], name, axis=axis, keepdims=keep)]


@aten("topk")
def topk(low: Lowering, call: Call) -> list[str]:
    if not call.largest:
        call.refuse("the smallest are not converted.")
    name = call.node.name
    values, places = low.fresh(f"{name}_values"), low.fresh(f"{name}_places")
    axis = call.dim % call.like().dim()
    low.op("TopK", [low.blob(call.self)], values, [places], k=int(call.k), axis=axis)
    return [values, places]


@aten("linalg_vector_norm", "norm")
def norm(low: Lowering, call: Call) -> str:
    kind = call.given.get("ord", call.given.get("p", 2))
    if kind not in (1, 2, None) or not call.like().is_floating_point():
        call.refuse("only the norms 1 and 2 are converted.")
    if call.given.get("dtype") not in (None, torch.float32):
        call.refuse("another type for the result is not converted.")
    return _reduced(low, call, "ReduceL1" if kind == 1 else "ReduceL2", low.blob(call.self))
