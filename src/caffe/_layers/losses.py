"""Losses, accuracy and what they stand on."""

from __future__ import annotations

from typing import Any

import torch

from caffe._net.layer import Lowering, layer
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError, ArityError, FormatError
from freshpot.formats import caffemodel, protobuf


def loss_args(low: Lowering, normalization: str) -> dict[str, Any]:
    """ignore_label and normalization of a loss, the old field `normalize` included."""
    p = low.param.loss_param
    if p.HasField("normalization"):
        normalization = caffe_pb2.LossParameter.NormalizationMode.Name(p.normalization)
    elif p.HasField("normalize"):
        normalization = "VALID" if p.normalize else "BATCH_SIZE"
    return {
        "ignore_label": p.ignore_label if p.HasField("ignore_label") else None,
        "normalization": normalization,
    }


def fixed_normalizer(low: Lowering) -> float | None:
    """What R-FCN's `normalization: PRE_FIXED` divides by; None for another normalization."""
    p = low.param.loss_param
    fixed = p.HasField("normalization") and p.normalization == caffe_pb2.LossParameter.PRE_FIXED
    return float(p.pre_fixed_normalizer) if fixed else None


def same_first_size(low: Lowering, labels: int = 1) -> None:
    """The original wants as many labels as rows."""
    if low.shapes[0][:1] != low.shapes[labels][:1]:
        low.refuse(
            f"'{low.bottom[0]}' {low.shapes[0]} and '{low.bottom[labels]}' {low.shapes[labels]} must have the same "
            "first dimension."
        )


@layer("Softmax")
def softmax(low: Lowering) -> None:
    low.op("CaffeSoftmax", low.bottom, low.top, axis=low.axis(low.param.softmax_param.axis))


@layer("SoftmaxWithLoss", bottoms=2, tops=(1, 3), loss=True, not_forced=(1,))
def softmax_with_loss(low: Lowering) -> None:
    axis = low.axis(low.param.softmax_param.axis)
    if low.param.type == "SoftmaxWithLoss" and len(low.top) == 2:  # three are R-FCN's
        low.refuse(
            "two tops are refused by the original, whose loss_weight fits one alone; give one top.",
            ArityError,
        )
    p = low.param.loss_param
    if p.class_weighting and not p.weight_by_label_freqs:
        low.refuse("class_weighting counts only with weight_by_label_freqs: true.", ArgumentError)
    low.op(
        "CaffeSoftmaxWithLoss",
        low.bottom,
        low.top if len(low.top) > 1 else [low.top[0], low.temp("prob")],
        axis=axis,
        class_weights=list(p.class_weighting) or None,
        **loss_args(low, "VALID"),
    )


layer("SoftmaxWithLossOHEM", bottoms=2, tops=(1, 3), loss=True, not_forced=(1,))(softmax_with_loss)


@layer("InfogainLoss", bottoms=(2, 3), tops=(1, 2), loss=True, not_forced=(1,))
def infogain_loss(low: Lowering) -> None:
    p = low.param.infogain_loss_param
    if low.param.loss_param.HasField("normalize"):
        low.refuse("the field normalize is not known here; use normalization.", ArgumentError)
    if len(low.bottom) == 3:
        H = low.bottom[2]
    elif p.HasField("source"):
        H = low.constant("H", _read_blob_file(p.source))
    else:
        low.refuse(
            "the infogain matrix is missing: give it as bottom 2, or name its file as source.", ArgumentError
        )
    prob = low.top[1] if len(low.top) > 1 else low.temp("prob")
    low.op(
        "InfogainLoss",
        [*low.bottom[:2], H],
        [low.top[0], prob],
        axis=low.axis(p.axis),
        **loss_args(low, "VALID"),
    )
    low.no_gradient_for(1, 2)


def _read_blob_file(path: str) -> torch.Tensor:
    try:
        with open(path, "rb") as file:
            blob = protobuf.parse_message(caffe_pb2.BlobProto, file.read(), path=path)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    return torch.from_numpy(caffemodel.read_blob(blob, path=path))


@layer("SigmoidCrossEntropyLoss", bottoms=2, loss=True, not_forced=(1,))
def sigmoid_cross_entropy_loss(low: Lowering) -> None:
    same_first_size(low)
    low.op("SigmoidCrossEntropyLoss", low.bottom, low.top, **loss_args(low, "BATCH_SIZE"))


@layer("MultinomialLogisticLoss", bottoms=2, loss=True, not_forced=(1,))
def multinomial_logistic_loss(low: Lowering) -> None:
    same_first_size(low)
    low.op("MultinomialLogisticLoss", low.bottom, low.top)


@layer("HingeLoss", bottoms=2, loss=True, not_forced=(1,))
def hinge_loss(low: Lowering) -> None:
    same_first_size(low)
    low.op(
        "HingeLoss",
        low.bottom,
        low.top,
        norm=caffe_pb2.HingeLossParameter.Norm.Name(low.param.hinge_loss_param.norm),
    )


@layer("EuclideanLoss", bottoms=2, loss=True)
def euclidean_loss(low: Lowering) -> None:
    low.op("EuclideanLoss", low.bottom, low.top)


@layer("ContrastiveLoss", bottoms=3, loss=True, not_forced=(2,))
def contrastive_loss(low: Lowering) -> None:
    p = low.param.contrastive_loss_param
    low.op("ContrastiveLoss", low.bottom, low.top, margin=p.margin, legacy_version=int(p.legacy_version))


@layer("Accuracy", bottoms=2, tops=(1, 2))
def accuracy(low: Lowering) -> None:
    p = low.param.accuracy_param
    ignored = p.ignore_label if p.HasField("ignore_label") else None
    axis = low.axis(p.axis)
    low.op("CaffeAccuracy", low.bottom, low.top, axis=axis, ignore_label=ignored, top_k=p.top_k)
