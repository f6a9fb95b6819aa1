"""``paddle.optimizer.lr_scheduler``: the learning rates by the names they had in 2.0-beta."""

from __future__ import annotations

from typing import Any

from freshpot.paddle.optimizer import schedules
from freshpot.paddle.optimizer.schedules import LRScheduler as _LRScheduler

#: the name in 2.0-beta -> today's
_NAMES = {
    "CosineAnnealingLR": "CosineAnnealingDecay",
    "ExponentialLR": "ExponentialDecay",
    "InverseTimeLR": "InverseTimeDecay",
    "LambdaLR": "LambdaDecay",
    "LinearLrWarmup": "LinearWarmup",
    "MultiStepLR": "MultiStepDecay",
    "NaturalExpLR": "NaturalExpDecay",
    "NoamLR": "NoamDecay",
    "PiecewiseLR": "PiecewiseDecay",
    "PolynomialLR": "PolynomialDecay",
    "ReduceLROnPlateau": "ReduceOnPlateau",
    "StepLR": "StepDecay",
}


def _again(name: str, base: Any) -> type:
    return type(
        name, (base,), {"__doc__": f"{base.__name__}, as 2.0-beta called it.", "__module__": __name__}
    )


globals().update({old: _again(old, getattr(schedules, new)) for old, new in _NAMES.items()})
__all__ = [*_NAMES, "_LRScheduler"]
