"""Layers of the branches of Caffe that label every pixel: SegNet's, DeepLab's and PSPNet's."""

from __future__ import annotations

from typing import Any

from caffe._layers.weights import constant
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError

# ---- sizes ---------------------------------------------------------------------------------------


@layer("Upsample", bottoms=(1, 2))
def upsample(low: Lowering) -> None:
    p = low.param.upsample_param
    if any(len(shape) != 4 for shape in low.shapes):
        low.refuse(f"bottoms must have 4 axes (num, channels, height, width), got {low.shapes}.")
    scales = [p.scale_h or p.scale, p.scale_w or p.scale]
    if len(low.bottom) == 1:  # of detectors' branches, without the places of maxima
        low.op(
            "ResizeNearest", low.bottom, low.top, height_scale=float(scales[0]), width_scale=float(scales[1])
        )
        return
    if p.HasField("scale_h") != p.HasField("scale_w") and not p.upsample_h:
        low.refuse("give scale_h and scale_w together, or upsample_h and upsample_w.", ArgumentError)
    pads = [int(p.pad_out_h), int(p.pad_out_w)]
    if any(pad and scale != 2 for pad, scale in zip(pads, scales, strict=True)):
        low.refuse(f"pad_out_h and pad_out_w go with a scale of 2, got {scales}.", ArgumentError)
    if p.HasField("upsample_h") and p.HasField("upsample_w"):
        sizes = [p.upsample_h, p.upsample_w]
    else:
        sizes = [n * s - pad for n, s, pad in zip(low.shapes[0][2:], scales, pads, strict=True)]
    low.op("CaffeUnpool", low.bottom, low.top, sizes=sizes)


@layer("Interp")
def interp(low: Lowering) -> None:
    p = low.param.interp_param
    if len(low.shapes[0]) != 4 or p.pad_beg > 0 or p.pad_end > 0:
        low.refuse(
            f"bottom must have 4 axes, and pad_beg and pad_end be at most 0 (cropping); got {low.shapes[0]}, "
            f"{p.pad_beg}, {p.pad_end}."
        )
    N, C, *space = low.shapes[0]
    source = low.bottom[0]
    if p.pad_beg or p.pad_end:
        space = [n + p.pad_beg + p.pad_end for n in space]
        if min(space) < 1:
            low.refuse(
                f"pad_beg {p.pad_beg} and pad_end {p.pad_end} leave nothing of bottom {low.shapes[0]}."
            )
        offsets = [0, 0, -p.pad_beg, -p.pad_beg]
        source = low.op("Crop", [source], [low.temp("inside")], offsets=offsets, sizes=[N, C, *space])[0]
    low.op(
        "Interpolate", [source], low.top, sizes=_new_sizes(low, p, space), mode="bilinear", align_corners=1
    )


def _new_sizes(low: Lowering, p: Any, space: list[int]) -> list[int]:
    """Height and width that the fields ask for."""
    shrinks, zooms = p.HasField("shrink_factor"), p.HasField("zoom_factor")
    if min(p.shrink_factor, p.zoom_factor) < 1:
        low.refuse(f"factors must be at least 1, got {p.shrink_factor} and {p.zoom_factor}.", ArgumentError)
    if shrinks == zooms and p.HasField("height") and p.HasField("width"):
        sizes = [p.height, p.width]
    elif shrinks or zooms:
        sizes = [(n - 1) // p.shrink_factor + 1 for n in space]
        sizes = [n + (n - 1) * (p.zoom_factor - 1) for n in sizes]
    else:
        low.refuse("give height and width, zoom_factor or shrink_factor.", ArgumentError)
    if min(sizes) < 1:
        low.refuse(f"height and width must be at least 1, got {sizes}.", ArgumentError)
    return sizes


# ---- batch normalisation ---------------------------------------------------------------------------
@layer("BN", tops=(1, 3))
def bn(low: Lowering) -> None:
    p = low.param.bn_param
    if len(low.shapes[0]) < 2:
        low.refuse(f"bottom must have at least 2 axes (num, channels, …), got {low.shapes[0]}.")
    if any(p.HasField(name) for name in ("scale_filler", "shift_filler", "bn_mode")):
        _bn_of_segnet(low, p)
    else:
        _bn_of_pspnet(low, p)


def _bn_of_segnet(low: Lowering, p: Any) -> None:
    C = low.shapes[0][1]
    scale = low.weight((1, C, 1, 1), p.scale_filler)
    shift = low.weight((1, C, 1, 1), p.shift_filler)
    if p.bn_mode == p.INFERENCE:
        if len(low.top) > 1:
            low.refuse("bn_mode INFERENCE has no statistics for tops 1 and 2.", ArgumentError)
        vectors = [
            low.op("Reshape", [W], [low.temp(name), low.temp(f"{name}_shape")], shape=[C])[0]
            for W, name in ((scale, "scale"), (shift, "shift"))
        ]
        low.op("CaffeScale", [low.kept_bottom(), *vectors], low.top, axis=1)
        return
    used = [*low.top[1:], *(low.temp(name) for name in ("mean", "variance")[len(low.top) - 1 :])]
    low.op("AveragedBatchNorm", [low.kept_bottom(), scale, shift], [low.top[0], *used], eps=1e-9)


def _bn_of_pspnet(low: Lowering, p: Any) -> None:
    if len(low.top) > 1:
        low.refuse(
            "tops 1 and 2 are those of SegNet's BN, whose bn_param has scale_filler or bn_mode.",
            ArgumentError,
        )
    while len(low.param.param) < 4:
        low.param.param.add()
    for k, spec in enumerate(low.param.param):
        if k > 1 or p.frozen:
            spec.lr_mult = spec.decay_mult = 0.0
    C = low.shapes[0][1]
    slope = low.weight((1, C, 1, 1), p.slope_filler)
    bias = low.weight((1, C, 1, 1), p.bias_filler)
    mean = low.weight((1, C, 1, 1))
    variance = low.weight((1, C, 1, 1), constant(1.0 if p.frozen else 0.0))
    low.op(
        "AveragedBatchNorm",
        [low.kept_bottom(), slope, bias, mean, variance],
        [low.top[0], low.temp("mean"), low.temp("variance"), mean, variance],
        eps=p.eps,
        momentum=p.momentum,
        use_averages=int(p.frozen or not low.train),
    )


# ---- measures --------------------------------------------------------------------------------------
@layer("SegAccuracy", bottoms=2)
def seg_accuracy(low: Lowering) -> None:
    p = low.param.seg_accuracy_param
    if len(low.shapes[0]) != 4:
        low.refuse(f"bottom 0 must have 4 axes (num, classes, height, width), got {low.shapes[0]}.")
    counts = low.state("counts", (low.shapes[0][1],) * 2)
    low.op(
        "SegmentationAccuracy",
        [*low.bottom, counts],
        [*low.top, counts],
        ignore_labels=list(p.ignore_label),
        reset=int(p.reset),
    )
