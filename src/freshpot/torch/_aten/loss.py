"""Losses."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.torch._aten.activation import logarithms
from freshpot.torch._graph import Call, Lowering, aten

#: what PyTorch's numbers of reductions mean
_REDUCTIONS = ("none", "mean", "sum")


@aten("cross_entropy_loss")
def cross_entropy(low: Lowering, call: Call) -> str:
    """SoftmaxWithLoss for the plain case; else the loss of logarithms."""
    labels, like, name = call.like(call.target), call.like(), call.node.name
    if call.label_smoothing or labels.is_floating_point() or like.dim() < 2:
        call.refuse("smoothed labels, and labels that are probabilities, are not converted.")
    if call.weight is None and call.reduction == 1 and like.dim() == 2:
        target = low.blob(call.target)
        if labels.dtype is not torch.int32:
            target = low.op("Cast", [target], low.fresh(f"{name}_labels"), to=2)
        low.op("SoftmaxWithLoss", [low.blob(call.self), target], low.fresh(f"{name}_softmax"), [name])
        return name
    return _nll(low, call, logarithms(low, call, 1, low.fresh(f"{name}_logarithms")))


@aten("nll_loss", "nll_loss2d", "nll_loss_nd")
def nll_loss(low: Lowering, call: Call) -> str:
    return _nll(low, call, low.blob(call.self))


def _nll(low: Lowering, call: Call, logarithm: str) -> str:
    target = low.blob(call.target)
    if call.like(call.target).dtype is not torch.int64:
        target = low.op("Cast", [target], low.fresh(f"{call.node.name}_labels"), to=10)
    weight = [] if call.weight is None else [low.blob(call.weight)]
    how: Any = {"reduction": _REDUCTIONS[call.reduction], "ignore": int(call.ignore_index)}
    return low.op("NLLLoss", [logarithm, target, *weight], **how)


@aten("mse_loss")
def mse_loss(low: Lowering, call: Call) -> str:
    return _reduced(low, call, "Sqr", _difference(low, call))


@aten("l1_loss")
def l1_loss(low: Lowering, call: Call) -> str:
    return _reduced(low, call, "Abs", _difference(low, call))


def _difference(low: Lowering, call: Call) -> str:
    return low.op("Sub", low.blobs([call.self, call.target]), low.fresh(f"{call.node.name}_difference"))


def _reduced(low: Lowering, call: Call, type: str, blob: str) -> str:
    """Each element's loss, or their mean or sum."""
    how = _REDUCTIONS[call.reduction]
    if how == "none":
        return low.op(type, [blob])
    each = low.op(type, [blob], low.fresh(f"{call.node.name}_each"))
    axes = list(range(call.like().dim()))
    if not axes:
        return each
    return low.op("ReduceMean" if how == "mean" else "ReduceSum", [each], axes=axes, keepdims=0)
