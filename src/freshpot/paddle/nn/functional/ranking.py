"""Losses of pairs, triplets, several labels, and distributions."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from freshpot.paddle._tensor import lifted
from freshpot.paddle.nn.functional.loss import _reduce

__all__ = [
    "cosine_embedding_loss", "dice_loss", "gaussian_nll_loss", "hinge_embedding_loss", "multi_label_soft_margin_loss",
    "multi_margin_loss", "npair_loss", "poisson_nll_loss", "sigmoid_focal_loss", "soft_margin_loss",
    "triplet_margin_loss", "triplet_margin_with_distance_loss",
]  # fmt: skip


@lifted
def hinge_embedding_loss(
    input: Any, label: Any, margin: float = 1.0, reduction: str = "mean", name: str | None = None
) -> Any:
    """The input where the label is 1, max(0, margin - input) where it is -1."""
    zero = torch.zeros_like(input)
    made = torch.where(label == 1.0, input, zero) + torch.where(
        label == -1.0, torch.relu(margin - input), zero
    )
    return _reduce(made, reduction)


@lifted
def cosine_embedding_loss(
    input1: Any, input2: Any, label: Any, margin: float = 0, reduction: str = "mean", name: str | None = None
) -> Any:
    """1 - cosine where the label is 1, max(0, cosine - margin) where it is -1."""
    top = (input1 * input2).sum(-1)
    cosine = top / torch.sqrt((input1.square().sum(-1) + 1e-12) * (input2.square().sum(-1) + 1e-12))
    made = torch.where(label == 1, 1 - cosine, torch.relu(cosine - margin))
    return _reduce(made, reduction)


@lifted
def triplet_margin_loss(
    input: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2,
    epsilon: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
    name: str | None = None,
) -> Any:
    """max(0, distance to the positive - distance to the negative + margin)."""

    def distance(a: Any, b: Any) -> Any:
        return F.pairwise_distance(a, b, p, epsilon)

    far = distance(input, negative)
    far = torch.minimum(far, distance(positive, negative)) if swap else far
    return _reduce(torch.relu(distance(input, positive) - far + margin), reduction)


@lifted
def triplet_margin_with_distance_loss(
    input: Any,
    positive: Any,
    negative: Any,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    name: str | None = None,
) -> Any:
    """:func:`triplet_margin_loss` with a distance of one's own, a function of two tensors."""
    from freshpot.paddle._tensor import unwrap, wrap

    def distance(a: Any, b: Any) -> Any:
        return (
            F.pairwise_distance(a, b)
            if distance_function is None
            else unwrap(distance_function(wrap(a), wrap(b)))
        )

    far = distance(input, negative)
    far = torch.minimum(far, distance(positive, negative)) if swap else far
    return _reduce(torch.relu(distance(input, positive) - far + margin), reduction)


@lifted
def soft_margin_loss(input: Any, label: Any, reduction: str = "mean", name: str | None = None) -> Any:
    """log(1 + exp(-label * input))."""
    return _reduce(torch.log(1 + torch.exp(-label * input)), reduction)


@lifted
def multi_label_soft_margin_loss(
    input: Any, label: Any, weight: Any = None, reduction: str = "mean", name: str | None = None
) -> Any:
    """The mean over classes of sigmoid cross entropies."""
    made = -(label * F.logsigmoid(input) + (1 - label) * F.logsigmoid(-input))
    made = made if weight is None else made * weight
    return _reduce(made.mean(-1), reduction)


@lifted
def multi_margin_loss(
    input: Any,
    label: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
    name: str | None = None,
) -> Any:
    """The mean over the other classes of max(0, margin - score of the label + score) ** p."""
    rows = label.reshape(-1, 1).long()
    own = torch.gather(input, 1, rows)
    made = torch.relu(margin - own + input)
    if weight is not None:
        made = made * weight[rows]
    made = made**p
    hit = F.one_hot(rows[:, 0], input.shape[1]).bool()
    return _reduce(made.masked_fill(hit, 0).mean(1), reduction)


@lifted
def poisson_nll_loss(
    input: Any,
    label: Any,
    log_input: bool = True,
    full: bool = False,
    epsilon: float = 1e-8,
    reduction: str = "mean",
    name: str | None = None,
) -> Any:
    """The negative log likelihood of a Poisson distribution (up to a constant, unless ``full``)."""
    return _reduce(
        F.poisson_nll_loss(input, label, log_input, full, eps=epsilon, reduction="none"), reduction
    )


@lifted
def gaussian_nll_loss(
    input: Any,
    label: Any,
    variance: Any,
    full: bool = False,
    epsilon: float = 1e-6,
    reduction: str = "mean",
    name: str | None = None,
) -> Any:
    """The negative log likelihood of a normal distribution (up to a constant, unless ``full``)."""
    clamped = variance.detach().clamp(min=epsilon)
    made = 0.5 * (torch.log(clamped) + (input - label) ** 2 / clamped)
    return _reduce(made + (0.5 * math.log(2 * math.pi) if full else 0), reduction)


@lifted
def sigmoid_focal_loss(
    logit: Any,
    label: Any,
    normalizer: Any = None,
    alpha: float = 0.25,
    gamma: float = 2.0,
    reduction: str = "sum",
    name: str | None = None,
) -> Any:
    """Sigmoid cross entropy that counts what is easy less (Lin and others 2017)."""
    p = torch.sigmoid(logit)
    losses = F.binary_cross_entropy_with_logits(logit, label, reduction="none")
    hit = p * label + (1 - p) * (1 - label)
    losses = (alpha * label + (1 - alpha) * (1 - label)) * (1 - hit) ** gamma * losses
    return _reduce(losses if normalizer is None else losses / normalizer, reduction)


@lifted
def dice_loss(input: Any, label: Any, epsilon: float = 1e-5, name: str | None = None) -> Any:
    """1 - the overlap of probabilities (N, ..., C) and labels (N, ..., 1)."""
    hot = F.one_hot(label.squeeze(-1).long(), input.shape[-1]).to(input.dtype)
    axes = tuple(range(1, input.dim()))
    both = (input * hot).sum(axes)
    return (1 - 2 * both / (input.sum(axes) + hot.sum(axes) + epsilon)).mean()


@lifted
def npair_loss(anchor: Any, positive: Any, labels: Any, l2_reg: float = 0.002) -> Any:
    """The loss of pairs among many (Sohn 2016)."""
    same = (labels.reshape(-1, 1) == labels.reshape(1, -1)).to(anchor.dtype)
    wanted = same / same.sum(1, keepdim=True)
    decay = (anchor.square().sum(1).mean() + positive.square().sum(1).mean()) * 0.25 * l2_reg
    logs = torch.log_softmax(anchor @ positive.t(), 1)
    entropy = -(wanted * logs).sum(-1, keepdim=True)
    return decay + (wanted * entropy).sum(0).mean()
