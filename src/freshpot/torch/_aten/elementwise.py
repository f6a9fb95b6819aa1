"""Arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from freshpot.torch._graph import Call, Lowering, aten

_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}


@aten(*_BINARY, *(f"{name}_" for name in _BINARY))
def binary(low: Lowering, call: Call) -> str:
    name = call.name.removesuffix("_")
    rounding = call.given.get("rounding_mode")
    if rounding is not None:
        call.refuse("rounding is not converted.")
    output = _overwritten(low, call)
    size: Any = call.like(call.other) if isinstance(call.other, Node) else None
    if isinstance(size, torch.SymInt):
        return low.op(_BINARY[name], [low.blob(call.self), low.count(size)], output)
    call.given["other"] = _multiplied(low, call)
    if not isinstance(call.self, Node) or not isinstance(call.other, Node):
        return _with_number(low, call, name, output)
    return low.op(_BINARY[name], _alike(low, call), output)


def _multiplied(low: Lowering, call: Call) -> Any:
    """The second operand, times alpha."""
    alpha = call.given.get("alpha", 1)
    if alpha == 1:
        return call.other
    if not isinstance(call.other, Node):
        return call.other * alpha
    if not call.like(call.other).is_floating_point():
        call.refuse("alpha of whole numbers is not converted.")
    low.scaled[call.node] = low.op(
        "Scale", [low.blob(call.other)], low.fresh(f"{call.node.name}_scaled"), scale=float(alpha)
    )
    return call.other


def _alike(low: Lowering, call: Call) -> list[str]:
    """Both operands' blobs in the result's type."""
    blobs = [low.blob(call.self), low.scaled.get(call.node) or low.blob(call.other)]
    wanted = torch.result_type(call.like(call.self), call.like(call.other))
    if call.name.removesuffix("_") == "div" and not wanted.is_floating_point:
        wanted = torch.float32
    for i, node in enumerate((call.self, call.other)):
        if call.like(node).dtype is not wanted:
            blobs[i] = low.cast(blobs[i], call.like(node).dtype, wanted)
    return blobs


_COMPARISONS = {"lt": "LT", "le": "LE", "gt": "GT", "ge": "GE", "eq": "EQ", "ne": "NE"}


@aten(*_COMPARISONS)
def comparison(low: Lowering, call: Call) -> str:
    if isinstance(call.other, Node):
        return low.op(_COMPARISONS[call.name], _alike(low, call))
    like = call.like()
    if not like.is_floating_point() and int(call.other) != call.other:
        call.refuse("whole numbers beside a fraction are not converted.")
    blob = low.blob(call.self)
    return low.op(_COMPARISONS[call.name], [blob, low.scalar(call.other, like, blob)])


_LOGIC = {
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "bitwise_and": "And",
    "bitwise_or": "Or",
    "bitwise_xor": "Xor",
}


@aten(*_LOGIC, "bitwise_not", "__and__", "__or__")
def logic(low: Lowering, call: Call) -> str:
    operands = [node for node in call.node.args if isinstance(node, Node)]
    if any(call.like(node).dtype is not torch.bool for node in operands) or len(operands) != len(
        call.node.args
    ):
        call.refuse("only bools are converted.")
    type = {"bitwise_not": "Not", "__and__": "And", "__or__": "Or"}.get(call.name) or _LOGIC[call.name]
    return low.op(type, low.blobs(operands))


@aten("maximum", "minimum")
def extreme(low: Lowering, call: Call) -> str:
    """The gradient goes to both where they are equal under Max, half of it under PyTorch."""
    a, b = low.blobs([call.self, call.other])
    first = low.op("GE" if call.name == "maximum" else "LE", [a, b], low.fresh(f"{call.node.name}_first"))
    return low.op("Choose", [first, a, b])


@aten("where")
def where(low: Lowering, call: Call) -> str:
    if "self" not in call.given:
        call.refuse("indices of what is true are not converted.")
    sides = [call.self, call.other]
    dtype = call.made.dtype
    blobs = [
        low.typed(side, call.like(side).dtype, dtype) if isinstance(side, Node) else _number(low, side, dtype)
        for side in sides
    ]
    return low.op("Choose", [low.blob(call.condition), *blobs])


@aten("masked_fill", "masked_fill_")
def masked_fill(low: Lowering, call: Call) -> str:
    like = call.like()
    value = (
        low.typed(call.value, call.like(call.value).dtype, like.dtype)
        if isinstance(call.value, Node)
        else _number(low, call.value, like.dtype)
    )
    return low.op("Choose", [low.blob(call.mask), value, low.blob(call.self)])


def _number(low: Lowering, value: Any, dtype: torch.dtype) -> str:
    return low.constant("number", torch.tensor(value, dtype=dtype))


@aten("isnan")
def isnan(low: Lowering, call: Call) -> str:
    """What is not itself."""
    x = low.blob(call.self)
    return low.op("NE", [x, x])


@aten("log1p", "expm1")
def beside_one(low: Lowering, call: Call) -> str:
    like, name, x = call.like(), call.node.name, low.blob(call.self)
    one = low.scalar(1, like, x)
    if call.name == "log1p":
        return low.op("Log", [low.op("Add", [x, one], low.fresh(f"{name}_sum"))])
    return low.op("Sub", [low.op("Exp", [x], low.fresh(f"{name}_exp")), one])


@aten("rsub")
def rsub(low: Lowering, call: Call) -> str:
    if call.alpha != 1:
        call.refuse("alpha is not converted.")
    call.given["self"], call.given["other"] = call.other, call.self
    if isinstance(call.self, Node):
        return low.op("Sub", _alike(low, call))
    return _with_number(low, call, "sub", None)


def _overwritten(low: Lowering, call: Call) -> str | None:
    """The buffer that the call writes into: counters of batches."""
    if call.name.endswith("_") and isinstance(call.self, Node) and low.names[call.self] in low.values:
        return low.blob(call.self)
    return None


def _with_number(low: Lowering, call: Call, name: str, output: str | None) -> str:
    """A tensor and a number."""
    source = call.self if isinstance(call.self, Node) else call.other
    like, made, blob = call.like(source), call.made, low.blob(source)
    if like.dtype is not made.dtype:
        blob, like = low.cast(blob, like.dtype, made.dtype), made
    if name in ("mul", "div") and source is call.self and like.is_floating_point() and call.other:
        scale = call.other if name == "mul" else 1.0 / call.other
        return low.op("Scale", [blob], output, scale=float(scale))
    operands = [blob if v is source else low.scalar(v, like, blob) for v in (call.self, call.other)]
    return low.op(_BINARY[name], operands, output)


@aten("pow")
def power(low: Lowering, call: Call) -> str:
    if isinstance(call.exponent, Node) and isinstance(call.self, Node):
        return low.op("Pow", low.blobs([call.self, call.exponent]))
    if isinstance(call.exponent, Node) or not call.like().is_floating_point():
        call.refuse("a number as base, and powers of whole numbers, are not converted.")
    if call.exponent == 2:
        return low.op("Sqr", [low.blob(call.self)])
    return low.op("Pow", [low.blob(call.self)], exponent=float(call.exponent))
