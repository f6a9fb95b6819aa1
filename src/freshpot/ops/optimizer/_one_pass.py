"""Stochastic gradient descent with momentum on all parameters of a net, by machine code in one pass.

Owned here: when that may be, and the call with its factors. Who calls it: `caffe_solvers`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freshpot.native.machine import lanes
from freshpot.ops.exposure import written


def fits(blobs: Sequence[Tensor]) -> bool:
    """True if machine code may update these, by addresses."""
    return bool(lanes()) and all(map(_simple, blobs))


def _simple(t: Tensor) -> bool:
    return type(t) is Tensor and t.is_cpu and t.is_contiguous() and t.dtype is torch.float32


class OnePass:
    """The step of all parameters: ``run(lr)``.

    Args:
        blobs: parameters, gradients, histories: as many of each.
        rates: factor of the learning rate, one a parameter.
        decays: strength of the weight decay, one a parameter.
        momentum: share of the history that is kept.
    """

    def __init__(
        self, blobs: Sequence[Tensor], rates: Sequence[float], decays: Sequence[float], momentum: float
    ) -> None:
        from freshpot.native.update import FACTORS
        from freshpot.native.update import momentum as bound

        count = len(rates)
        self._blobs = blobs
        self._rates = np.array(rates, np.float64)
        factors = torch.empty(count, FACTORS)
        self._factors = factors.numpy()
        self._factors[:, 1] = decays
        self._factors[:, 2] = momentum
        groups = (blobs[i * count : (i + 1) * count] for i in range(3))
        self._update = bound(list(zip(*groups, strict=True)), factors)

    def run(self, lr: Tensor) -> None:
        """Make a step with this learning rate."""
        self._factors[:, 0] = self._rates * lr.item()
        self._update()
        written(*self._blobs)
