"""``paddle.distribution``: distributions, maps of them and divergences, on PyTorch's."""

from __future__ import annotations

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.distribution import known, transforms
from freshpot.paddle.distribution.base import Distribution, ExponentialFamily
from freshpot.paddle.distribution.kl import kl_divergence, register_kl
from freshpot.paddle.distribution.known import *  # noqa: F403
from freshpot.paddle.distribution.transforms import *  # noqa: F403

__all__ = [
    *known.__all__,
    *transforms.__all__,
    "Distribution",
    "ExponentialFamily",
    "kl_divergence",
    "register_kl",
]


def __getattr__(name: str) -> Any:
    raise missing("distribution", name, __all__)
