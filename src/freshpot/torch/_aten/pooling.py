"""Pooling and resizing."""

from __future__ import annotations

import math
from typing import Any

from freshpot.torch._aten.convolution import per_axis, window
from freshpot.torch._graph import Call, Lowering, aten


@aten("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(low: Lowering, call: Call) -> str:
    return low.op("MaxPool", [low.blob(call.self)], **_pool(call, call.dilation))


@aten("max_pool2d_with_indices")
def max_pool_with_indices(low: Lowering, call: Call) -> list[str | None]:
    return [max_pool(low, call), None]


@aten("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(low: Lowering, call: Call) -> str:
    args: dict[str, Any] = _pool(call, 1)
    divisor = call.given.get("divisor_override")
    include = int(call.count_include_pad or divisor is not None)
    name = low.fresh(f"{call.node.name}_mean") if divisor is not None else None
    made = low.op("AveragePool", [low.blob(call.self)], name, count_include_pad=include, **args)
    return made if divisor is None else low.op("Scale", [made], scale=math.prod(args["kernels"]) / divisor)


@aten("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive_avg_pool(low: Lowering, call: Call) -> str:
    return _adaptive(low, call, "AveragePool")


@aten("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(low: Lowering, call: Call) -> list[str | None]:
    return [_adaptive(low, call, "MaxPool"), None]


def _pool(call: Call, dilation: Any) -> dict[str, Any]:
    if call.ceil_mode:
        call.refuse("ceil_mode is not converted: sizes are rounded down.")
    count = call.made[0].dim() - 2 if isinstance(call.made, tuple) else call.made.dim() - 2
    args = window(call, per_axis(call.kernel_size, count), call.stride, call.padding, dilation)
    if set(args.pop("dilations")) != {1}:
        call.refuse("dilation of a pooling window is not converted.")
    return args


def _adaptive(low: Lowering, call: Call, type: str) -> str:
    sizes = list(call.like().shape[2:])
    wanted = per_axis(call.output_size, len(sizes))
    if set(wanted) == {1}:
        return low.op(type, [low.blob(call.self)], global_pooling=1)
    if any(size % want for size, want in zip(sizes, wanted, strict=True)):
        call.refuse(f"windows of equal size do not make {wanted} of {sizes}.")
    kernels = [size // want for size, want in zip(sizes, wanted, strict=True)]
    return low.op(type, [low.blob(call.self)], kernels=kernels, strides=kernels)


@aten("upsample_nearest2d")
def upsample_nearest(low: Lowering, call: Call) -> str:
    (h, w), (high, wide) = call.like().shape[2:], call.made.shape[2:]
    if high % h or wide % w:
        call.refuse("only whole factors are converted.")
    return low.op("ResizeNearest", [low.blob(call.node.args[0])], height_scale=high / h, width_scale=wide / w)


@aten("pad", "constant_pad_nd")
def pad(low: Lowering, call: Call) -> str:
    margins = list(call.pad)
    mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}.get(
        call.given.get("mode", "constant")
    )
    if call.like().dim() != 4 or len(margins) > 4 or mode is None or min(margins) < 0:
        call.refuse("only margins of the two last dimensions of 4 are converted.")
    left, right, top, bottom = (margins + [0] * 4)[:4]
    value = float(call.value or 0)
    return low.op("PadImage", [low.blob(call.self)], pads=[top, left, bottom, right], mode=mode, value=value)
