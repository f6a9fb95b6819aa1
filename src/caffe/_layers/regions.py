"""Layers of the branches of Caffe for regions: Fast R-CNN's (Girshick, 2015) and R-FCN's (Dai et al., 2016).

Regions and weights have no gradient, and where one is asked for, none flows: proposals come from layers that learn.
"""

from __future__ import annotations

import math

from caffe._layers.losses import fixed_normalizer, loss_args
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError, ArityError


@layer("ROIPooling", bottoms=2)
def roi_pooling(low: Lowering) -> None:
    p = low.param.roi_pooling_param
    if p.pooled_h < 1 or p.pooled_w < 1:
        low.refuse(
            f"pooled_h and pooled_w must be at least 1, got {p.pooled_h} and {p.pooled_w}.", ArgumentError
        )
    low.op(
        "RoIPool",
        [low.bottom[0], _rows(low, 1)],
        [low.top[0], low.temp("argmaxes")],
        pooled_h=p.pooled_h,
        pooled_w=p.pooled_w,
        spatial_scale=p.spatial_scale,
    )


def _rows(low: Lowering, bottom: int) -> str:
    """Regions as (R, 5): blobs of their time have (R, 5, 1, 1), too."""
    shape = low.shapes[bottom]
    if len(shape) < 2 or shape[1] != 5 or math.prod(shape[2:]) != 1:
        low.refuse(f"'{low.bottom[bottom]}' must be (R, 5): image, x1, y1, x2, y2; got {shape}.")
    if len(shape) == 2:
        return low.bottom[bottom]
    return low.op("Reshape", [low.bottom[bottom]], [low.temp("rois"), low.temp("rois_shape")], shape=[0, 5])[
        0
    ]


@layer("PSROIPooling", bottoms=2)
def psroi_pooling(low: Lowering) -> None:
    p = low.param.psroi_pooling_param
    low.op(
        "PSRoIPool",
        [low.bottom[0], _rows(low, 1)],
        low.top,
        spatial_scale=p.spatial_scale,
        output_dim=p.output_dim,
        group=p.group_size,
    )


@layer("SmoothL1Loss", bottoms=(2, 4), tops=(1, 2), loss=True)
def smooth_l1_loss(low: Lowering) -> None:
    loss = low.param.loss_param
    given = loss.HasField("normalization") or loss.HasField("normalize")
    _smooth_l1(low, "BATCH_SIZE" if not given else "VALID")


@layer("SmoothL1LossOHEM", bottoms=(2, 3), tops=(1, 2), loss=True)
def smooth_l1_loss_ohem(low: Lowering) -> None:
    _smooth_l1(low, "VALID")


def _smooth_l1(low: Lowering, default: str) -> None:
    rows = low.shapes[0][:1]
    places = math.prod(low.shapes[0][2:])
    counts = {"FULL": math.prod(rows) * places, "BATCH_SIZE": math.prod(rows), "NONE": 1}
    counts["VALID"] = counts["FULL"]
    normalization = loss_args(low, default)["normalization"]
    fixed = fixed_normalizer(low)
    low.op(
        "CaffeSmoothL1Loss",
        low.bottom,
        low.top,
        sigma=low.param.smooth_l1_loss_param.sigma,
        normalizer=float(max(1, fixed if fixed is not None else counts[normalization])),
    )


@layer("BoxAnnotatorOHEM", bottoms=4, tops=2)
def box_annotator_ohem(low: Lowering) -> None:
    p = low.param.box_annotator_ohem_param
    if p.roi_per_img < 1:
        low.refuse(f"roi_per_img must be at least 1, got {p.roi_per_img}.", ArgumentError)
    if len(low.bottom) != len(set(low.bottom)):
        low.refuse("the four bottoms are regions, losses, labels and weights.", ArityError)
    low.op("HardRegions", low.bottom, low.top, regions=p.roi_per_img, ignore_label=p.ignore_label)
