"""Normalisation."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.torch._graph import Call, Lowering, aten


@aten("batch_norm", "native_batch_norm")
def batch_norm(low: Lowering, call: Call) -> object:
    channels = call.like(call.input).shape[1]
    scale, bias = _affine(low, call, channels)
    statistics = [call.running_mean, call.running_var]
    if None in statistics:
        call.refuse("without running statistics it is not converted.")
    mean, var = low.blobs(statistics)
    momentum, name = float(call.momentum), low.fresh(call.node.name)
    own = [low.fresh(f"{name}_mean"), low.fresh(f"{name}_rstd")] if call.training else []
    made = low.op(
        "SpatialBN",
        [low.blob(call.input), scale, bias, mean, var],
        name,
        [mean, var, *own] if call.training else [],
        is_test=int(not call.training),
        epsilon=float(call.eps),
        momentum=1.0 - momentum,
    )
    return made if call.name == "batch_norm" else [made, *own]


@aten("_native_batch_norm_legit_no_training")
def batch_norm_in_use(low: Lowering, call: Call) -> object:
    call.given["training"] = False
    return batch_norm(low, call)


@aten("group_norm")
def group_norm(low: Lowering, call: Call) -> str:
    inputs = [low.blob(call.input), *_affine(low, call, call.like(call.input).shape[1])]
    return low.op(
        "GroupNorm", inputs, None, _moments(low, call), group=call.num_groups, epsilon=float(call.eps)
    )


@aten("layer_norm")
def layer_norm(low: Lowering, call: Call) -> str:
    axis = call.like(call.input).dim() - len(call.normalized_shape)
    affine = [node for node in (call.weight, call.bias) if node is not None]
    if len(affine) == 1:
        call.refuse("a weight without a bias is not converted.")
    inputs = low.blobs([call.input, *affine])
    args: dict[str, Any] = {"axis": axis, "epsilon": float(call.eps), "elementwise_affine": int(bool(affine))}
    return low.op("LayerNorm", inputs, None, _moments(low, call), **args)


def _moments(low: Lowering, call: Call) -> list[str]:
    return [low.fresh(f"{call.node.name}_{what}") for what in ("mean", "std")]


def _affine(low: Lowering, call: Call, channels: int) -> list[str]:
    made = []
    for name, value in (("weight", 1.0), ("bias", 0.0)):
        node = call.given.get(name)
        made.append(
            low.blob(node) if node is not None else low.constant(name, torch.full((channels,), value))
        )
    return made
