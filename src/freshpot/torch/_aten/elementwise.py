"""Arithmetic."""

from __future__ import annotations

from typing import Any

from torch.fx import Node

from freshpot.torch._graph import Call, Lowering, aten

_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}


@aten(*_BINARY, *(f"{name}_" for name in _BINARY))
def binary(low: Lowering, call: Call) -> str:
    if call.given.get("alpha", 1) != 1 or call.given.get("rounding_mode") is not None:
        call.refuse("alpha and rounding are not converted.")
    name = call.name.removesuffix("_")
    output = _overwritten(low, call)
    if not isinstance(call.self, Node) or not isinstance(call.other, Node):
        return _with_number(low, call, name, output)
    return low.op(_BINARY[name], low.blobs([call.self, call.other]), output, broadcast=1)


@aten("rsub")
def rsub(low: Lowering, call: Call) -> str:
    if call.alpha != 1:
        call.refuse("alpha is not converted.")
    call.given["self"], call.given["other"] = call.other, call.self
    return _with_number(low, call, "sub", None)


def _overwritten(low: Lowering, call: Call) -> str | None:
    """The buffer that the call writes into: counters of batches."""
    if call.name.endswith("_") and isinstance(call.self, Node) and low.names[call.self] in low.values:
        return low.blob(call.self)
    return None


def _with_number(low: Lowering, call: Call, name: str, output: str | None) -> str:
    """A tensor and a number."""
    source = call.self if isinstance(call.self, Node) else call.other
    like = call.like(source)
    if name in ("mul", "div") and source is call.self and like.is_floating_point():
        scale = call.other if name == "mul" else 1.0 / call.other
        return low.op("Scale", [low.blob(source)], output, scale=float(scale))
    blob = low.blob(source)
    operands = [blob if v is source else low.scalar(v, like, blob) for v in (call.self, call.other)]
    return low.op(_BINARY[name], operands, output, broadcast=1)


@aten("pow")
def power(low: Lowering, call: Call) -> str:
    if not isinstance(call.exponent, (int, float)):
        call.refuse("only a number as exponent is converted.")
    return low.op("Pow", [low.blob(call.self)], exponent=float(call.exponent))


_REDUCTIONS = {"mean": "ReduceMean", "sum": "ReduceSum", "amax": "ReduceMax", "amin": "ReduceMin"}


@aten(*_REDUCTIONS)
def reduce(low: Lowering, call: Call) -> str:
    ndim = call.like().dim()
    dims: Any = call.given.get("dim")
    dims = list(range(ndim)) if dims in (None, []) else [dims] if isinstance(dims, int) else list(dims)
    keep = int(bool(call.given.get("keepdim", False)))
    args: dict[str, Any] = {"axes": sorted(d % ndim for d in dims), "keepdims": keep}
    return low.op(_REDUCTIONS[call.name], [low.blob(call.self)], **args)
