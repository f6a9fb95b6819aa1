"""Pooling and resizing."""

from __future__ import annotations

import math
from typing import Any

from freshpot.torch._aten.convolution import per_axis, window
from freshpot.torch._graph import Call, Lowering, aten


@aten("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(low: Lowering, call: Call) -> str:
    """In training Caffe's, which gives the gradient to the first of equal maxima, as PyTorch does."""
    args, x = _pool(call, call.dilation), low.blob(call.self)
    dilations = args.pop("dilations")
    plain = set(dilations) == {1}
    if plain and not low.training and not call.ceil_mode:
        return low.op("MaxPool", [x], **args)
    args["pads"] = args["pads"][: len(dilations)]
    within = all(k >= s for k, s in zip(args["kernels"], args["strides"], strict=True))
    if plain and len(dilations) == 2 and (within or not call.ceil_mode):
        name = low.fresh(call.node.name)
        index = low.fresh(f"{name}_index")
        return low.op("CaffeMaxPool", [x], name, [index], round_up=int(call.ceil_mode), **args)
    return low.op("WindowMaxPool", [x], dilations=dilations, round_up=int(call.ceil_mode), **args)


@aten("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def max_pool_with_indices(low: Lowering, call: Call) -> list[str | None]:
    return [max_pool(low, call), None]


@aten("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(low: Lowering, call: Call) -> str:
    args: dict[str, Any] = _pool(call, 1)
    del args["dilations"]
    divisor = call.given.get("divisor_override")
    if call.ceil_mode and _sticks_out(call, args):
        return _avg_pool_rounded_up(low, call, args, divisor)
    include = int(call.count_include_pad or divisor is not None)
    name = low.fresh(f"{call.node.name}_mean") if divisor is not None else None
    made = low.op("AveragePool", [low.blob(call.self)], name, count_include_pad=include, **args)
    return made if divisor is None else low.op("Scale", [made], scale=math.prod(args["kernels"]) / divisor)


def _sticks_out(call: Call, args: dict[str, Any]) -> bool:
    """True if rounding sizes up makes another window."""
    made = call.made.shape[2:]
    rows = zip(call.like().shape[2:], args["kernels"], args["strides"], args["pads"], made, strict=False)
    return any((int(size) + 2 * p - k) // s + 1 != int(out) for size, k, s, p, out in rows)


def _avg_pool_rounded_up(low: Lowering, call: Call, args: dict[str, Any], divisor: Any) -> str:
    """Caffe's pooling, which counts the margins within the image and not what sticks out of them."""
    plain = call.count_include_pad or not any(args["pads"])
    if len(args["kernels"]) != 2 or divisor is not None or not plain:
        call.refuse(
            "ceil_mode is converted for 2 dimensions with count_include_pad, without divisor_override."
        )
    args["pads"] = args["pads"][:2]
    return low.op("CaffeAveragePool", [low.blob(call.self)], **args)


@aten(
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
)
def adaptive_avg_pool(low: Lowering, call: Call) -> str:
    return _adaptive(low, call, "AveragePool", "AdaptiveAveragePool")


@aten("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(low: Lowering, call: Call) -> list[str | None]:
    return [_adaptive(low, call, "MaxPool", "AdaptiveMaxPool"), None]


def _pool(call: Call, dilation: Any) -> dict[str, Any]:
    made = call.made[0] if isinstance(call.made, tuple) else call.made
    count = call.like(call.self).dim() - 2
    if made.dim() != count + 2 or count < int(call.name.split("pool")[1][0]):
        call.refuse("images without a batch are not converted.")
    return window(call, per_axis(call.kernel_size, count), call.stride, call.padding, dilation)


def _adaptive(low: Lowering, call: Call, equal: str, any_size: str) -> str:
    old = call.like().shape[2:]
    if len(old) != int(call.name.split("pool")[1][0]):
        call.refuse("images without a batch are not converted.")
    made = (call.made[0] if isinstance(call.made, tuple) else call.made).shape[2:]
    wanted = [int(n) for n in made]
    x = low.blob(call.self)
    if set(wanted) == {1}:
        return low.op(equal, [x], global_pooling=1)
    sizes = [int(n) for n in old]
    if any(size % want for size, want in zip(sizes, wanted, strict=True)):
        return low.op(any_size, [x], sizes=wanted)
    kernels = [size // want for size, want in zip(sizes, wanted, strict=True)]
    return low.op(equal, [x], kernels=kernels, strides=kernels)


@aten(
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d",
    "_upsample_nearest_exact3d",
)
def upsample_nearest(low: Lowering, call: Call) -> str:
    (*old,), (*new,) = (map(int, like.shape[2:]) for like in (call.like(), call.made))
    if len(old) == 2 and not any(n % o for o, n in zip(old, new, strict=True)):
        return low.op(
            "ResizeNearest",
            [low.blob(call.node.args[0])],
            height_scale=new[0] / old[0],
            width_scale=new[1] / old[1],
        )
    return _interpolate(low, call, "nearest-exact" if "exact" in call.name else "nearest", 0)


_SMOOTH = {
    "upsample_linear1d": "linear",
    "upsample_bilinear2d": "bilinear",
    "upsample_bicubic2d": "bicubic",
    "upsample_trilinear3d": "trilinear",
}


@aten(*_SMOOTH)
def upsample_smooth(low: Lowering, call: Call) -> str:
    return _interpolate(low, call, _SMOOTH[call.name], int(call.align_corners))


def _interpolate(low: Lowering, call: Call, mode: str, align_corners: int) -> str:
    scales = call.given.get("scale_factors")
    if scales is None:
        one_each = [call.given.get(name) for name in ("scales_d", "scales_h", "scales_w", "scales")]
        scales = [scale for scale in one_each if scale is not None]
    args: dict[str, Any] = {"sizes": [int(n) for n in call.made.shape[2:]], "mode": mode}
    if scales:
        args["scales"] = [float(scale) for scale in scales]
    return low.op("Interpolate", [low.blob(call.node.args[0])], align_corners=align_corners, **args)


@aten(
    "pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d"
)
def pad(low: Lowering, call: Call) -> str:
    given_margins: Any = call.given.get("pad") or call.given.get("padding")
    margins = [int(n) for n in given_margins]
    given = call.given.get("mode", call.name.partition("_pad")[0].removesuffix("ion"))
    mode = {"replicate": "edge", "replicat": "edge", "circular": "wrap", "reflect": "reflect"}.get(
        given, "constant"
    )
    value, x = float(call.given.get("value") or 0), low.blob(call.node.args[0])
    left, right, top, bottom = (margins + [0] * 4)[:4]
    if call.like().dim() == 4 and len(margins) <= 4 and mode != "wrap" and min(margins) >= 0:
        return low.op("PadImage", [x], pads=[top, left, bottom, right], mode=mode, value=value)
    pairs = [margins[i : i + 2] for i in range(0, len(margins), 2)][::-1]
    pads = [head for head, _ in pairs] + [tail for _, tail in pairs]
    return low.op("Pad", [x], pads=pads, mode=mode, value=value)
