"""Matrix products and look-ups."""

from __future__ import annotations

import math

import torch

from freshpot.torch._graph import Call, Lowering, aten
from freshpot.torch._sizes import same


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
    """Batches that differ are broadcast first: the original's gradient does not sum them."""
    nodes = call.node.args[:2]
    if min(call.like(node).dim() for node in nodes) < 2:
        call.refuse("vectors are not converted.")
    batch = list(call.made.shape[:-2])
    blobs = []
    for node in nodes:
        shape = list(call.like(node).shape)
        blob = low.blob(node)
        if len(shape) - 2 != len(batch) or not all(map(same, shape[:-2], batch)):
            blob = low.sized("BroadcastTo", [blob], [*batch, *shape[-2:]])
        blobs.append(blob)
    return low.op("BatchMatMul", blobs)


@aten("mv")
def mv(low: Lowering, call: Call) -> str:
    column = low.op("ExpandDims", [low.blob(call.vec)], low.fresh(f"{call.node.name}_column"), dims=[1])
    product = low.op("MatMul", [low.blob(call.self), column], low.fresh(f"{call.node.name}_product"))
    return low.op("Squeeze", [product], dims=[1])


@aten("dot")
def dot(low: Lowering, call: Call) -> str:
    product = low.op("Mul", low.blobs(call.node.args[:2]), low.fresh(f"{call.node.name}_product"))
    return low.op("ReduceSum", [product], axes=[0], keepdims=0)


@aten("embedding")
def embedding(low: Lowering, call: Call) -> str:
    return low.op("Gather", low.blobs([call.weight, call.indices]))


@aten("baddbmm")
def baddbmm(low: Lowering, call: Call) -> str:
    if (call.alpha, call.beta) != (1, 1):
        call.refuse("factors other than 1 are not converted.")
    product = low.op(
        "BatchMatMul", low.blobs([call.batch1, call.batch2]), low.fresh(f"{call.node.name}_product")
    )
    return low.op("Add", [product, low.blob(call.self)])


@aten("scaled_dot_product_attention")
def attention(low: Lowering, call: Call) -> str:
    """softmax(query @ key^T * scale + mask) @ value."""
    if call.enable_gqa:
        call.refuse("heads that share keys (enable_gqa) are not converted.")
    batches = [call.like(x).shape[:-2] for x in (call.query, call.key, call.value)]
    if any(len(b) != len(batches[0]) or not all(map(same, b, batches[0])) for b in batches[1:]):
        call.refuse("batches that differ are not converted.")
    name, width = call.node.name, int(call.like(call.query).shape[-1])
    scale = 1 / math.sqrt(width) if call.scale is None else float(call.scale)
    query = low.op("Scale", [low.blob(call.query)], low.fresh(f"{name}_query"), scale=scale)
    scores = low.op("BatchMatMul", [query, low.blob(call.key)], low.fresh(f"{name}_scores"), trans_b=1)
    scores = _masked(low, call, scores)
    chances = low.op("Softmax", [scores], low.fresh(f"{name}_softmax"), axis=call.like(call.query).dim() - 1)
    if call.dropout_p:
        mask = low.fresh(f"{name}_mask")
        chances = low.op(
            "Dropout", [chances], low.fresh(f"{name}_kept"), [mask], ratio=float(call.dropout_p), is_test=0
        )
    return low.op("BatchMatMul", [chances, low.blob(call.value)])


def _masked(low: Lowering, call: Call, scores: str) -> str:
    name = low.fresh(f"{call.node.name}_masked")
    if call.is_causal:
        rows, columns = (int(call.like(x).shape[-2]) for x in (call.query, call.key))
        future = torch.full((rows, columns), -math.inf).triu(1)
        return low.op("Add", [scores, low.constant("future", future)], name)
    if call.attn_mask is None:
        return scores
    mask = low.blob(call.attn_mask)
    if call.like(call.attn_mask).dtype is not torch.bool:
        return low.op("Add", [scores, mask], name)
    never = low.constant("never", torch.tensor(-math.inf))
    return low.op("Choose", [mask, scores, never], name)


@aten("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(low: Lowering, call: Call) -> list[str]:
    """Sequences of one length."""
    if "batch_sizes" in call.given:
        call.refuse("packed sequences are not converted.")
    states = call.hx if isinstance(call.hx, (list, tuple)) else [call.hx]
    made = low.fresh(call.node.name)
    more = [low.fresh(f"{made}_{what}") for what in ("last", "last_cell")[: len(states)]]
    low.op(
        "RecurrentLayers",
        low.blobs([call.input, *states, *call.params]),
        made,
        more,
        kind=call.name,
        layers=call.num_layers,
        biases=int(call.has_biases),
        bidirectional=int(call.bidirectional),
        batch_first=int(call.batch_first),
        dropout=float(call.dropout),
        is_test=int(not call.train),
    )
    return [made, *more]
