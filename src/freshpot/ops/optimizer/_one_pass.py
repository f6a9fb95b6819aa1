"""Stochastic gradient descent with momentum on all parameters of a net, by machine code in one pass.

Owned here: when that may be, and the call with its factors. Who calls it: `caffe_solvers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from freshpot.native.machine import lanes


def fits(blobs: Sequence[Tensor]) -> bool:
    """True if machine code may update these, by addresses."""
    return bool(lanes()) and all(map(_simple, blobs))


def _simple(t: Tensor) -> bool:
    return type(t) is Tensor and t.is_cpu and t.is_contiguous() and t.dtype is torch.float32


def one_pass(
    blobs: Sequence[Tensor], lr: Tensor, rates: Sequence[float], decays: Sequence[float], momentum: float
) -> Callable[[], None]:
    """The call that makes the step of all parameters, with the rate that ``lr`` holds then.

    Args:
        blobs: parameters, gradients, histories: as many of each.
        lr: the learning rate.
        rates: factor of the learning rate, one a parameter.
        decays: strength of the weight decay, one a parameter.
        momentum: share of the history that is kept.
    """
    from freshpot.native import update

    count = len(rates)
    rows = [[rate, decay, momentum] for rate, decay in zip(rates, decays, strict=True)]
    factors = torch.tensor(rows, dtype=torch.float32)
    groups = (blobs[i * count : (i + 1) * count] for i in range(3))
    return update.momentum(list(zip(*groups, strict=True)), factors, lr)
