"""``fluid.regularizer``: decays under their old names."""

from __future__ import annotations

from typing import Any

from freshpot.paddle.regularizer import L1Decay as _L1
from freshpot.paddle.regularizer import L2Decay as _L2

__all__ = ["L1Decay", "L1DecayRegularizer", "L2Decay", "L2DecayRegularizer"]


def L1Decay(regularization_coeff: float = 0.0) -> Any:
    """The sum of absolute values, times a coefficient."""
    return _L1(regularization_coeff)


def L2Decay(regularization_coeff: float = 0.0) -> Any:
    """Half the sum of squares, times a coefficient."""
    return _L2(regularization_coeff)


L1DecayRegularizer, L2DecayRegularizer = L1Decay, L2Decay
