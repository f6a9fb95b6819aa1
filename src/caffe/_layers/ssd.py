"""Layers of SSD's branch of Caffe (Liu et al., 2016): boxes found in one pass."""

from __future__ import annotations

from typing import Any

from caffe import _log
from caffe._layers.losses import loss_args
from caffe._layers.weights import channel_weight, constant
from caffe._net.layer import Lowering, layer
from freshpot.errors import ArgumentError, NotSupportedError


def _word(message: Any, field: str) -> str:
    """The name of an enum field's value."""
    value: str = (
        message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number[getattr(message, field)].name
    )
    return value


@layer("Permute")
def permute(low: Lowering) -> None:
    order = list(low.param.permute_param.order)
    axes = range(len(low.shapes[0]))
    if len(set(order)) != len(order) or not set(order) <= set(axes):
        low.refuse(f"order must name axes of bottom {low.shapes[0]}, each once; got {order}.", ArgumentError)
    low.op("Transpose", low.bottom, low.top, axes=[*order, *(i for i in axes if i not in order)])


@layer("Normalize")
def normalize(low: Lowering) -> None:
    p = low.param.norm_param
    filler = p.scale_filler if p.HasField("scale_filler") else constant(1.0)
    scale = channel_weight(low, p.channel_shared, filler)
    low.op(
        "ScaledL2Norm", [low.kept_bottom(), scale], low.top, across_spatial=int(p.across_spatial), eps=p.eps
    )


def _both(low: Lowering, name: str) -> list[float]:
    """Height and width of a field, or of its _h and _w forms; nothing if neither is given."""
    p = low.param.prior_box_param
    h, w = (f"img_{c}" if name == "img_size" else f"{name}_{c}" for c in "hw")
    if p.HasField(h) or p.HasField(w):
        if p.HasField(name):
            low.refuse(f"give {name}, or {h} and {w}, not both.", ArgumentError)
        return [getattr(p, h), getattr(p, w)]
    return [getattr(p, name)] * 2 if p.HasField(name) else []


@layer("PriorBox", bottoms=2)
def prior_box(low: Lowering) -> None:
    p = low.param.prior_box_param
    low.op(
        "PriorBox",
        low.bottom,
        low.top,
        min_sizes=list(p.min_size),
        max_sizes=list(p.max_size),
        aspect_ratios=list(p.aspect_ratio),
        flip=int(p.flip),
        clip=int(p.clip),
        variances=list(p.variance) or [0.1],
        image_size=[int(n) for n in _both(low, "img_size")],
        steps=[float(n) for n in _both(low, "step")],
        offset=p.offset,
    )


@layer("MultiBoxLoss", bottoms=4, loss=True, not_forced=(2, 3))
def multibox_loss(low: Lowering) -> None:
    p = low.param.multibox_loss_param
    if not p.HasField("num_classes"):
        low.refuse("give num_classes.", ArgumentError)
    mining = _word(p, "mining_type")
    if p.HasField("do_neg_mining") and p.do_neg_mining != (mining != "NONE"):
        low.refuse(f"do_neg_mining {p.do_neg_mining} contradicts mining_type {mining}.", ArgumentError)
    learn = list(low.param.propagate_down) or [True, True]
    low.op(
        "MultiBoxLoss",
        low.bottom,
        [low.top[0], low.temp("of_loc"), low.temp("of_conf")],
        classes=p.num_classes,
        share_location=int(p.share_location),
        background=p.background_label_id,
        loc_loss=_word(p, "loc_loss_type"),
        conf_loss=_word(p, "conf_loss_type"),
        loc_weight=p.loc_weight,
        match=_word(p, "match_type"),
        overlap=p.overlap_threshold,
        match_priors=int(p.use_prior_for_matching),
        use_difficult=int(p.use_difficult_gt),
        mining=mining,
        neg_pos_ratio=p.neg_pos_ratio,
        neg_overlap=p.neg_overlap,
        sample_size=p.sample_size,
        code=_word(p, "code_type"),
        variance_in_target=int(p.encode_variance_in_target),
        agnostic=int(p.map_object_to_agnostic),
        ignore_crossing=int(p.ignore_cross_boundary_bbox),
        inside_only=int(p.bp_inside),
        nms_threshold=p.nms_param.nms_threshold if p.HasField("nms_param") else 0.0,
        nms_top_k=p.nms_param.top_k if p.nms_param.HasField("top_k") else -1,
        nms_priors=int(p.use_prior_for_nms),
        normalization=loss_args(low, "VALID")["normalization"],
        learn=[int(part) for part in learn[:2]],
    )
    low.no_gradient_for(2, 3)


@layer("DetectionOutput", bottoms=(3, 4))
def detection_output(low: Lowering) -> None:
    p = low.param.detection_output_param
    if not p.HasField("num_classes"):
        low.refuse("give num_classes.", ArgumentError)
    _no_files(low, p)
    nms = p.nms_param
    low.op(
        "DetectionOutput",
        low.bottom[:3],
        low.top,
        classes=p.num_classes,
        share_location=int(p.share_location),
        background=p.background_label_id,
        code=_word(p, "code_type"),
        variance_in_target=int(p.variance_encoded_in_target),
        confidence=p.confidence_threshold if p.HasField("confidence_threshold") else None,
        nms_threshold=nms.nms_threshold,
        nms_top_k=nms.top_k if nms.HasField("top_k") else -1,
        eta=nms.eta,
        keep_top_k=p.keep_top_k,
    )


def _no_files(low: Lowering, p: Any) -> None:
    """Refuse to write results to files; the top has them."""
    save = p.save_output_param
    if save.output_directory and save.label_map_file and save.name_size_file:
        raise NotSupportedError(
            f"layer '{low.param.name}' (DetectionOutput): save_output_param asks for result files in "
            f"'{save.output_directory}', which are not written here: leave it out, and write the top's rows (image, "
            "label, confidence, x1, y1, x2, y2) yourself."
        )
    if p.visualize:
        _log.warning(
            "detection_output_layer.cpp:118", f"{low.param.name}: visualize is left aside: no window is shown"
        )


@layer("DetectionEvaluate", bottoms=2)
def detection_evaluate(low: Lowering) -> None:
    p = low.param.detection_evaluate_param
    if not p.HasField("num_classes"):
        low.refuse("give num_classes.", ArgumentError)
    if p.overlap_threshold <= 0:
        low.refuse(f"overlap_threshold must be greater than 0, got {p.overlap_threshold:g}.", ArgumentError)
    if p.name_size_file:
        raise NotSupportedError(
            f"layer '{low.param.name}' (DetectionEvaluate): name_size_file asks for overlaps in whole pixels of the "
            "original images; here boxes are compared as shares of the image: leave it out."
        )
    low.op(
        "DetectionEvaluate",
        low.bottom,
        low.top,
        classes=p.num_classes,
        background=p.background_label_id,
        overlap=p.overlap_threshold,
        use_difficult=int(p.evaluate_difficult_gt),
    )
