"""Operators of neighbouring layers joined, in the passes of a net that is trained: less goes through memory.

Owned here: what is joined, on lists of operators. Who calls it: `_net.passes`. What users can see stays: a blob
that holds one thing after another, as of layers in place, must hold the last one; and what no operator needs
is computed when somebody looks.

- BatchNorm, Scale and ReLU in place are one operator, and so are their gradients.
- A sum's gradient, the same for each bottom, is read where it is: the bottoms' diffs are copied when looked at.

Nets on a GPU are left as they are; ``FRESHPOT_FUSE=0`` leaves all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from freshpot.net import Op

if TYPE_CHECKING:
    from caffe._net.layer import Layer


@dataclass(slots=True)
class Owned:
    """An operator, and the layer that it belongs to."""

    op: Op
    layer: int


def forward(ops: list[Owned], layers: Sequence[Layer]) -> list[Owned]:
    """The operators of a forward pass, joined."""
    if os.environ.get("FRESHPOT_FUSE") == "0":
        return ops
    made: list[Owned] = []
    at = 0
    while at < len(ops):
        found = _normalization(ops[at : at + 4], layers)
        made += found or ops[at : at + 1]
        at += (4 if found[0].op.args["relu"] else 3) if found else 1
    return made


def _normalization(ops: Sequence[Owned], layers: Sequence[Layer]) -> list[Owned]:
    """BatchNorm, CaffeKeep, CaffeScale and perhaps Relu, all of one blob; empty if it is not that."""
    if [o.op.type for o in ops[:3]] != ["BatchNorm", "CaffeKeep", "CaffeScale"]:
        return []
    norm, keep, scale = (o.op for o in ops[:3])
    blob = norm.outputs[0]
    if (
        norm.args["use_global_stats"]
        or norm.inputs[0] != layers[ops[0].layer].name + "/bottom"  # in place: X is kept, and nobody else's
        or keep.inputs != [blob]
        or scale.inputs[0] != keep.outputs[0]
        or scale.outputs != [blob]
        or not _by_channel(scale, layers[ops[2].layer])
    ):
        return []
    last = ops[3].op if len(ops) > 3 else None
    relu = last is not None and last.type == "Relu" and last.inputs == last.outputs == [blob]
    args = {key: norm.args[key] for key in ("eps", "moving_average_fraction")}
    inputs = [*norm.inputs, *scale.inputs[1:]]
    joined = Op("BatchNormScale", inputs, list(norm.outputs), {**args, "relu": int(relu)}, name=norm.name)
    later = Op("BatchNormLater", [norm.inputs[0], *norm.outputs[4:]], list(keep.outputs), name=scale.name)
    return [Owned(joined, ops[0].layer), Owned(later, ops[2].layer)]


def _by_channel(scale: Op, layer: Layer) -> bool:
    """True if factor and addend are the layer's own, one number a channel."""
    return (
        scale.args["axis"] == 1
        and scale.inputs[1:] == [blob.name for blob in layer.blobs]
        and len(layer.blobs) == 2
        and len(layer.blobs[0].dims) == 1
    )


def backward(ops: list[Owned], layers: Sequence[Layer]) -> list[Owned]:
    """The operators of a backward pass, joined."""
    if os.environ.get("FRESHPOT_FUSE") == "0":
        return ops
    made: list[Owned] = []
    at = 0
    while at < len(ops):
        for count in (3, 2):
            found = _normalization_gradient(ops[at : at + count], layers)
            if found:
                break
        made += found or ops[at : at + 1]
        at += count if found else 1
    return _sums_read_in_place(made)


def _normalization_gradient(ops: Sequence[Owned], layers: Sequence[Layer]) -> list[Owned]:
    """The same backwards: perhaps ReluGradient, then CaffeScaleGradient and BatchNormGradient."""
    kinds = [o.op.type for o in ops]
    if kinds[-2:] != ["CaffeScaleGradient", "BatchNormGradient"] or kinds[:-2] not in ([], ["ReluGradient"]):
        return []
    scale, norm = ops[-2].op, ops[-1].op
    diff = scale.inputs[2]
    layer = layers[ops[-2].layer]
    if (
        norm.args["use_global_stats"]
        or len(scale.outputs) != 3
        or not scale.outputs[0] == norm.inputs[3] == norm.outputs[0] == diff
        or scale.inputs[0] != layer.name + "/bottom"
        or not _by_channel(layer.ops[-1], layer)
    ):
        return []
    inputs = [*norm.inputs[:3], scale.inputs[1], diff]
    if len(ops) > 2:
        rectifier = ops[0].op
        if rectifier.outputs != [diff] or rectifier.inputs[1] != diff:
            return []
        inputs.append(rectifier.inputs[0])
    args = {"eps": norm.args["eps"]}
    joined = Op("BatchNormScaleGradient", inputs, [diff, *scale.outputs[1:]], args, name=norm.name)
    return [Owned(joined, ops[-1].layer)]


def _sums_read_in_place(ops: list[Owned]) -> list[Owned]:
    """Let what reads the gradients of a sum read the gradient of its result."""
    made: list[Owned] = []
    for at, owned in enumerate(ops):
        op = owned.op
        if not _passes_through(op) or any(op.inputs[-1] in later.op.outputs for later in ops[at:]):
            made.append(owned)
            continue
        for diff in op.outputs:
            gone = False
            for later in ops[at + 1 :]:
                if diff in later.op.inputs:
                    inputs = [op.inputs[-1] if name == diff else name for name in later.op.inputs]
                    later.op = replace(later.op, inputs=inputs)
                if diff in later.op.outputs:
                    gone = True
                    break
            if not gone:
                made.append(Owned(Op("CaffeCopyLater", [op.inputs[-1]], [diff], name=op.name), owned.layer))
    return made


def _passes_through(op: Op) -> bool:
    """True if it copies its last input to each output."""
    return (
        op.type == "EltwiseGradient"
        and op.args.get("operation", "SUM") == "SUM"
        and all(factor == 1 for factor in op.args.get("coeff") or [1])  # type: ignore[attr-defined]
        and len(set(op.outputs)) == len(op.outputs)
    )
