"""Normalisations with constant statistics as one factor and one addend a channel.

Owned here: which operators are such, and their factors. Who calls it: the passes that fold them, and the
operators that stand for the folded ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

#: what is folded -> how many parameters it has
PARAMETERS = {"BatchNorm": 3, "CaffeScale": 1, "CaffeScale+bias": 2, "Bias": 1, "SpatialBN": 4}


def affine(kinds: Sequence[str], eps: Sequence[float], parameters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Factor and addend (C,), float64, of normalisations one after the other.

    Args:
        kinds: keys of `PARAMETERS`.
        eps: what each adds to the variance (any number where it has none).
        parameters: those of all, in order.
    """
    factor: Tensor | None = None
    addend: Tensor | None = None
    for kind, small, mine in _groups(kinds, eps, parameters):
        a, b = _one(kind, small, mine)
        factor, addend = (a, b) if factor is None or addend is None else (a * factor, a * addend + b)
    if factor is None or addend is None:
        raise ValueError("there is nothing to fold")
    return factor, addend


def _groups(
    kinds: Sequence[str], eps: Sequence[float], parameters: Sequence[Tensor]
) -> Iterator[tuple[str, float, list[Tensor]]]:
    at = 0
    for kind, small in zip(kinds, eps, strict=True):
        count = PARAMETERS[kind]
        yield kind, small, [t.double() for t in parameters[at : at + count]]
        at += count


def _one(kind: str, eps: float, mine: list[Tensor]) -> tuple[Tensor, Tensor]:
    if kind == "BatchNorm":
        means, variances, weight = mine
        share = torch.where(weight == 0, 0.0, 1.0 / weight)
        a = torch.rsqrt(variances * share + eps)
        return a, -means * share * a
    if kind == "SpatialBN":
        scale, bias, mean, variance = (t.reshape(-1) for t in mine)
        a = scale * torch.rsqrt(variance + eps)
        return a, bias - mean * a
    if kind == "Bias":
        return torch.ones_like(mine[0]), mine[0]
    return mine[0], mine[1] if len(mine) > 1 else torch.zeros_like(mine[0])
