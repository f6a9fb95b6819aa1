"""Arithmetic of boxes (x1, y1, x2, y2), in pixels. ``one`` is 1 where a box from x to x is one pixel wide, else 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: the greatest logarithm by which a box may grow
_GROWTH = math.log(1000.0 / 16.0)


def transform(boxes: Tensor, deltas: Tensor, weights: list[float], one: int) -> Tensor:
    """Boxes moved by deltas (N, 4): of the centre in widths and heights, and logarithms of growth."""
    sizes = boxes[:, 2:] - boxes[:, :2] + one
    centres = boxes[:, :2] + 0.5 * sizes
    scale = deltas.new_tensor(weights)
    scaled = deltas / scale
    centres = scaled[:, :2] * sizes + centres
    sizes = scaled[:, 2:].clamp(max=_GROWTH).exp() * sizes
    return torch.cat((centres - 0.5 * sizes, centres + 0.5 * sizes - one), 1)


def clip(boxes: Tensor, height: int, width: int, one: int) -> Tensor:
    """Boxes cut to an image."""
    most = boxes.new_tensor([width - one, height - one] * 2)
    return torch.minimum(boxes, most).clamp(min=0)


def overlaps(box: Tensor, others: Tensor, one: int) -> Tensor:
    """Intersection over union of a box with others."""
    low = torch.maximum(others[:, :2], box[:2])
    high = torch.minimum(others[:, 2:], box[2:])
    shared = (high - low + one).clamp(min=0).prod(1)
    return shared / (area(box[None], one) + area(others, one) - shared)


def area(boxes: Tensor, one: int) -> Tensor:
    """Pixels in each box."""
    return (boxes[:, 2:] - boxes[:, :2] + one).prod(1)


def suppress(boxes: Tensor, order: Tensor, threshold: float, most: int, one: int) -> Tensor:
    """Those of the boxes in ``order`` (best first) that overlap no better one by more; at most ``most`` if >= 0."""
    kept: list[Tensor] = []
    while len(order) and not 0 <= most <= len(kept):
        kept.append(order[0])
        rest = order[1:]
        order = rest[overlaps(boxes[order[0]], boxes[rest], one) <= threshold]
    return torch.stack(kept) if kept else order


def suppress_softly(
    boxes: Tensor, scores: Tensor, pending: Tensor, method: str, limits: tuple[float, float, float], one: int
) -> tuple[Tensor, Tensor]:
    """Boxes by falling score, where each takes from the scores of those it overlaps; and the new scores.

    ``limits``: sigma of the Gaussian, overlap above which the linear method takes, least score.
    """
    sigma, threshold, least = limits
    scores = scores.clone()
    kept: list[Tensor] = []
    while len(pending):
        best = int(scores[pending].argmax())
        box = pending[best]
        kept.append(box)
        rest = torch.cat((pending[:best], pending[best + 1 :]))
        shared = overlaps(boxes[box], boxes[rest], one)
        if method == "gaussian":
            keeps = torch.exp(-shared * shared / sigma)
        else:
            keeps = torch.where(shared > threshold, 1 - shared, 1.0)
        scores[rest] *= keeps
        pending = rest[scores[rest] >= least]
    return (torch.stack(kept) if kept else pending), scores
