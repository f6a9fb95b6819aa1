"""Matrix products and look-ups."""

from __future__ import annotations

import torch

from freshpot.torch._graph import Call, Lowering, aten


@aten("linear")
def linear(low: Lowering, call: Call) -> str:
    inputs = [low.blob(call.input), low.blob(call.weight), _bias(low, call)]
    return low.op("FC", inputs, axis=call.like(call.input).dim() - 1)


def _bias(low: Lowering, call: Call) -> str:
    if call.bias is not None:
        return low.blob(call.bias)
    return low.constant("bias", torch.zeros(call.like(call.weight).shape[0]))


@aten("t")
def t(low: Lowering, call: Call) -> str:
    return low.op("Transpose", [low.blob(call.self)])


@aten("addmm")
def addmm(low: Lowering, call: Call) -> str:
    if (call.alpha, call.beta) != (1, 1):
        call.refuse("factors other than 1 are not converted.")
    transposed = call.mat2
    if transposed.target is torch.ops.aten.t.default and call.like(call.self).dim() == 1:
        blobs = [call.mat1, transposed.args[0], call.self]
        return low.op("FC", low.blobs(blobs))
    product = low.op("MatMul", low.blobs([call.mat1, call.mat2]), low.fresh(f"{call.node.name}_product"))
    return low.op("Add", [product, low.blob(call.self)], broadcast=1)


@aten("mm")
def mm(low: Lowering, call: Call) -> str:
    return low.op("MatMul", low.blobs([call.self, call.mat2]))


@aten("bmm", "matmul")
def matmul(low: Lowering, call: Call) -> str:
    return low.op("BatchMatMul", low.blobs(call.node.args[:2]))


@aten("embedding")
def embedding(low: Lowering, call: Call) -> str:
    return low.op("Gather", low.blobs([call.weight, call.indices]))
