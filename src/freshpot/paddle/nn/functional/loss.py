"""Losses as functions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from freshpot.errors import ArgumentError, ShapeError
from freshpot.paddle._tensor import lifted

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "ctc_loss", "kl_div", "l1_loss",
    "log_loss", "margin_ranking_loss", "mse_loss", "nll_loss", "smooth_l1_loss", "softmax_with_cross_entropy",
    "square_error_cost",
]  # fmt: skip


def _reduce(loss: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return loss
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    raise ArgumentError(f"reduction {reduction!r}: choose 'mean', 'sum' or 'none'")


def _classes(label: torch.Tensor, input: torch.Tensor, axis: int) -> tuple[torch.Tensor, bool]:
    """Labels without their axis of size 1, and whether they had it.

    Raises:
        ShapeError: they fit the scores neither way.
    """
    sizes = list(input.shape)
    without = sizes[:axis] + sizes[axis + 1 :]
    kept = [*sizes[:axis], 1, *sizes[axis + 1 :]]
    found = list(label.shape)
    if found == kept:
        return label.squeeze(axis).long(), True
    if found == without or (not without and label.numel() == 1):
        return label.long().reshape(without), False
    raise ShapeError(f"cross_entropy: scores {sizes} want labels {kept} or {without}, got {found}")


@lifted
def cross_entropy(
    input: Any,
    label: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    soft_label: bool = False,
    axis: int = -1,
    use_softmax: bool = True,
    label_smoothing: float = 0.0,
    name: str | None = None,
) -> Any:
    """-log of the probability of the label; softmax is taken first, unless ``use_softmax`` is False.

    Shapes: input (N, ..., C); label (N, ..., 1) or (N, ...) of classes, or with ``soft_label`` as the input.
    The mean divides by the sum of the weights of the labels that count.

    Raises:
        ShapeError: labels that do not fit.
        ArgumentError: an unknown reduction.
    """
    axis %= input.dim()
    logs = torch.log_softmax(input, axis) if use_softmax else torch.log(input)
    if label_smoothing > 0 and not soft_label:
        classes, _ = _classes(label, input, axis)
        label = F.one_hot(classes, input.shape[axis]).movedim(-1, axis).to(input.dtype)
    if soft_label or label_smoothing > 0:
        return _soft(logs, label, weight, reduction, axis, label_smoothing)
    classes, kept = _classes(label, input, axis)
    losses = F.nll_loss(logs.movedim(axis, 1), classes, weight, ignore_index=ignore_index, reduction="none")
    if reduction == "mean":
        counted = classes != ignore_index
        scale = counted if weight is None else weight[torch.where(counted, classes, 0)] * counted
        total = scale.sum()
        return losses.sum() / torch.where(total == 0, torch.ones_like(total), total)
    return _reduce(losses.unsqueeze(axis) if kept else losses, reduction)


def _soft(
    logs: torch.Tensor, label: torch.Tensor, weight: Any, reduction: str, axis: int, smoothing: float
) -> torch.Tensor:
    if label.shape != logs.shape:
        raise ShapeError(
            f"cross_entropy: soft labels must have the scores' shape {list(logs.shape)}, got {list(label.shape)}"
        )
    label = (1 - smoothing) * label + smoothing / logs.shape[axis]
    losses = -(label.detach() * logs).sum(axis, keepdim=True)
    if weight is None:
        return _reduce(losses, reduction)
    shape = [-1 if i == axis else 1 for i in range(logs.dim())]
    scale = (label * weight.reshape(shape)).sum(axis, keepdim=True)
    losses = losses * scale
    return losses.sum() / scale.sum() if reduction == "mean" else _reduce(losses, reduction)


@lifted
def softmax_with_cross_entropy(
    logits: Any,
    label: Any,
    soft_label: bool = False,
    ignore_index: int = -100,
    numeric_stable_mode: bool = True,
    return_softmax: bool = False,
    axis: int = -1,
) -> Any:
    """The loss of every sample, its axis kept; on request the probabilities too."""
    axis %= logits.dim()
    logs = torch.log_softmax(logits, axis)
    if soft_label:
        losses = _soft(logs, label, None, "none", axis, 0.0)
    else:
        classes, _ = _classes(label, logits, axis)
        losses = F.nll_loss(logs.movedim(axis, 1), classes, ignore_index=ignore_index, reduction="none")
        losses = losses.unsqueeze(axis)
    return (losses, logs.exp().detach()) if return_softmax else losses


@lifted
def nll_loss(
    input: Any,
    label: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    name: str | None = None,
) -> Any:
    """-log probability of the label, (N, ...) or (N, 1, ...), from log probabilities (N, C, ...)."""
    if label.dim() == input.dim() and label.shape[1] == 1:
        label = label.squeeze(1)
    return F.nll_loss(input, label.long(), weight, ignore_index=ignore_index, reduction=reduction)


@lifted
def mse_loss(input: Any, label: Any, reduction: str = "mean", name: str | None = None) -> Any:
    """The square of the difference."""
    return _reduce(torch.square(input - label), reduction)


@lifted
def square_error_cost(input: Any, label: Any) -> Any:
    """The square of the difference, of every element."""
    return torch.square(input - label)


@lifted
def l1_loss(input: Any, label: Any, reduction: str = "mean", name: str | None = None) -> Any:
    """The size of the difference."""
    return _reduce(torch.abs(input - label), reduction)


@lifted
def smooth_l1_loss(
    input: Any, label: Any, reduction: str = "mean", delta: float = 1.0, name: str | None = None
) -> Any:
    """Half the square of differences up to ``delta``; delta * (size - delta / 2) beyond (Huber)."""
    return _reduce(F.huber_loss(input, label, reduction="none", delta=delta), reduction)


@lifted
def binary_cross_entropy(
    input: Any, label: Any, weight: Any = None, reduction: str = "mean", name: str | None = None
) -> Any:
    """-(label * log(p) + (1 - label) * log(1 - p))."""
    return _reduce(F.binary_cross_entropy(input, label.to(input.dtype), weight, reduction="none"), reduction)


@lifted
def binary_cross_entropy_with_logits(
    logit: Any,
    label: Any,
    weight: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
    name: str | None = None,
) -> Any:
    """The same of sigmoid(logit); ``pos_weight`` scales the label's side."""
    losses = F.binary_cross_entropy_with_logits(
        logit, label.to(logit.dtype), weight, pos_weight=pos_weight, reduction="none"
    )
    return _reduce(losses, reduction)


@lifted
def kl_div(
    input: Any, label: Any, reduction: str = "mean", log_target: bool = False, name: str | None = None
) -> Any:
    """label * (log(label) - input)."""
    label = label.detach()
    losses = F.kl_div(input, label, reduction="none", log_target=log_target)
    return losses.sum() / input.shape[0] if reduction == "batchmean" else _reduce(losses, reduction)


@lifted
def log_loss(input: Any, label: Any, epsilon: float = 1e-4, name: str | None = None) -> Any:
    """-label * log(p + epsilon) - (1 - label) * log(1 - p + epsilon), of every element."""
    return -label * torch.log(input + epsilon) - (1 - label) * torch.log(1 - input + epsilon)


@lifted
def margin_ranking_loss(
    input: Any, other: Any, label: Any, margin: float = 0.0, reduction: str = "mean", name: str | None = None
) -> Any:
    """max(0, -label * (input - other) + margin)."""
    return _reduce(torch.relu(-label * (input - other) + margin), reduction)


@lifted
def ctc_loss(
    log_probs: Any,
    labels: Any,
    input_lengths: Any,
    label_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    norm_by_times: bool = False,
) -> Any:
    """Connectionist temporal classification; the scores (T, N, C) are not yet normalised."""
    logs = torch.log_softmax(log_probs, -1)
    losses = F.ctc_loss(logs, labels, input_lengths, label_lengths, blank, "none")
    losses = losses / input_lengths if norm_by_times else losses
    return (losses / label_lengths).mean() if reduction == "mean" else _reduce(losses, reduction)
