"""Normalisation."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.torch._graph import Call, Lowering, aten


@aten("batch_norm", "native_batch_norm")
def batch_norm(low: Lowering, call: Call) -> Any:
    channels = call.like(call.input).shape[1]
    scale, bias = _affine(low, call, channels)
    statistics = [call.running_mean, call.running_var]
    if None in statistics:
        call.refuse("without running statistics it is not converted.")
    mean, var = low.blobs(statistics)
    momentum, name = float(call.momentum), low.fresh(call.node.name)
    own: list[Any] = [low.fresh(f"{name}_mean"), low.fresh(f"{name}_rstd")] if call.training else []
    made = low.op(
        "SpatialBN",
        [low.blob(call.input), scale, bias, mean, var],
        name,
        [mean, var, *own] if call.training else [],
        is_test=int(not call.training),
        epsilon=float(call.eps),
        momentum=1.0 - momentum,
    )
    return made if call.name == "batch_norm" else [made, *(own or [None, None])]


@aten("_native_batch_norm_legit_functional")
def batch_norm_that_returns(low: Lowering, call: Call) -> Any:
    """Running statistics are results here; the operator overwrites them."""
    made = batch_norm(low, call)
    return [*made, *low.blobs([call.running_mean, call.running_var])]


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


@aten("native_group_norm")
def native_group_norm(low: Lowering, call: Call) -> list[str | None]:
    call.given["num_groups"] = call.group
    return [group_norm(low, call), None, None]


@aten("native_layer_norm")
def native_layer_norm(low: Lowering, call: Call) -> list[str | None]:
    return [layer_norm(low, call), None, None]


@aten("layer_norm")
def layer_norm(low: Lowering, call: Call) -> str:
    axis = call.like(call.input).dim() - len(call.normalized_shape)
    affine = [call.weight, call.bias]
    if affine != [None, None]:
        shape = [int(n) for n in call.normalized_shape]
        affine = [
            low.blob(node) if node is not None else low.constant(name, torch.full(shape, value))
            for node, name, value in zip(affine, ("weight", "bias"), (1.0, 0.0), strict=True)
        ]
    inputs = [low.blob(call.input), *(blob for blob in affine if blob is not None)]
    args: dict[str, Any] = {"axis": axis, "epsilon": float(call.eps)}
    return low.op(
        "LayerNorm", inputs, None, _moments(low, call), elementwise_affine=int(len(inputs) > 1), **args
    )


@aten("instance_norm")
def instance_norm(low: Lowering, call: Call) -> str:
    """A group for each channel."""
    if not call.use_input_stats:
        call.given.update(training=False)
        return str(batch_norm(low, call))
    if call.running_mean is not None:
        call.refuse("running statistics of single images are not converted.")
    channels = int(call.like(call.input).shape[1])
    inputs = [low.blob(call.input), *_affine(low, call, channels)]
    return low.op("GroupNorm", inputs, None, _moments(low, call), group=channels, epsilon=float(call.eps))


@aten("rms_norm")
def rms_norm(low: Lowering, call: Call) -> str:
    """X / sqrt(mean(X^2) + eps) * weight."""
    like, name = call.like(call.input), call.node.name
    axes = list(range(like.dim() - len(call.normalized_shape), like.dim()))
    x = low.blob(call.input)
    squares = low.op("Sqr", [x], low.fresh(f"{name}_squares"))
    mean = low.op("ReduceMean", [squares], low.fresh(f"{name}_mean"), axes=axes, keepdims=1)
    eps = torch.finfo(like.dtype).eps if call.eps is None else float(call.eps)
    safe = low.op("Add", [mean, low.scalar(eps, like, mean)], low.fresh(f"{name}_safe"))
    root = low.op("Sqrt", [safe], low.fresh(f"{name}_root"))
    if call.weight is None:
        return low.op("Div", [x, root])
    return low.op("Mul", [low.op("Div", [x, root], low.fresh(f"{name}_even")), low.blob(call.weight)])


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
