"""What SSD's operators share: boxes (x1, y1, x2, y2) as shares of the image, coded relative to prior boxes.

Owned here: coding, overlaps, matching, greedy suppression. Who calls it: the loss, the output and the evaluation.
Source: Liu et al., SSD, 2016; Erhan et al., 2014 (matching).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: the ways to code a box
CODES = ("CORNER", "CENTER_SIZE", "CORNER_SIZE")
_LEAST_OVERLAP = 1e-6


def encode(code: str, boxes: Tensor, priors: Tensor, variances: Tensor | None) -> Tensor:
    """Boxes (M, 4) relative to priors (M, 4), divided by variances (M, 4) if these are given."""
    if code == "CORNER":
        coded = boxes - priors
    else:
        sizes = priors[:, 2:] - priors[:, :2]
        if code == "CORNER_SIZE":
            coded = (boxes - priors) / sizes.repeat(1, 2)
        else:
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - (priors[:, :2] + priors[:, 2:]) / 2
            coded = torch.cat((centres / sizes, ((boxes[:, 2:] - boxes[:, :2]) / sizes).log()), 1)
    return coded if variances is None else coded / variances


def decode(code: str, coded: Tensor, priors: Tensor, variances: Tensor | None) -> Tensor:
    """The inverse of `encode`."""
    if variances is not None:
        coded = coded * variances
    if code == "CORNER":
        return priors + coded
    sizes = priors[:, 2:] - priors[:, :2]
    if code == "CORNER_SIZE":
        return priors + coded * sizes.repeat(1, 2)
    centres = coded[:, :2] * sizes + (priors[:, :2] + priors[:, 2:]) / 2
    halves = coded[:, 2:].exp() * sizes / 2
    return torch.cat((centres - halves, centres + halves), 1)


def area(boxes: Tensor) -> Tensor:
    """Areas of boxes (…, 4); 0 for those that end before they begin."""
    sizes = boxes[..., 2:] - boxes[..., :2]
    return torch.where((sizes < 0).any(-1), 0.0, sizes.prod(-1))


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of each box (A, 4) with each other (B, 4)."""
    low = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sizes = high - low
    shared = torch.where((sizes > 0).all(-1), sizes.prod(-1), 0.0)
    union = area(boxes)[:, None] + area(others)[None] - shared
    return torch.where(shared > 0, shared / union, 0.0)


def match(boxes: Tensor, truths: Tensor, threshold: float | None, inside_only: bool) -> tuple[Tensor, Tensor]:
    """For each box (P, 4) the number of its true box, -1 for none, -2 for a box to ignore; and its greatest overlap.

    Each true box takes the box that overlaps it most, the best pair first; then (with a threshold) every other box
    takes the true box that it overlaps most, if by no less than that.
    """
    found = torch.full((len(boxes),), -1, dtype=torch.long, device=boxes.device)
    best = boxes.new_zeros(len(boxes))
    if not len(truths):
        return found, best
    shared = overlaps(boxes, truths)
    shared = torch.where(shared > _LEAST_OVERLAP, shared, 0.0)
    if inside_only:
        outside = ((boxes < 0) | (boxes > 1)).any(1)
        found[outside] = -2
        shared[outside] = 0
    best = shared.amax(1)
    left = shared.clone()
    for _ in range(len(truths)):
        place = int(left.argmax())
        box, column = divmod(place, len(truths))
        if left[box, column] <= 0:
            break
        found[box], best[box] = column, shared[box, column]
        left[box], left[:, column] = 0, 0
    if threshold is not None:
        most, truth = shared.max(1)
        takes = (found == -1) & (most > 0) & (most >= threshold)
        found[takes] = truth[takes]
    return found, best


def suppress(
    boxes: np.ndarray, order: np.ndarray, threshold: float, eta: float = 1.0, most: int = -1
) -> list[int]:
    """Those in ``order`` (best first) of the boxes (P, 4) that overlap no better one by more than the threshold.

    With eta below 1 the threshold, while above 0.5, is multiplied by it at every box kept. ``most``: how many, if >= 0.
    """
    sorted_boxes = torch.from_numpy(np.ascontiguousarray(boxes[order]))
    kept: list[int] = []
    alive = np.ones(len(order), bool)
    highest = np.zeros(len(order), np.float32)  # the greatest overlap with a box that was kept
    for i in range(len(order)):
        if len(kept) == most:
            break
        if not alive[i] or highest[i] > threshold:
            continue
        kept.append(int(order[i]))
        shared = overlaps(sorted_boxes[i : i + 1], sorted_boxes[i + 1 :])[0].numpy()
        np.maximum(highest[i + 1 :], shared, out=highest[i + 1 :])
        if eta < 1:
            threshold *= eta if threshold > 0.5 else 1.0
        else:
            alive[i + 1 :] &= shared <= threshold
    return kept
