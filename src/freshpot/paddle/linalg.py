"""``paddle.linalg``."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.tensor import factors, linalg
from freshpot.paddle.tensor.factors import *  # noqa: F403
from freshpot.paddle.tensor.linalg import *  # noqa: F403

__all__ = [*linalg.__all__, *factors.__all__]


def __getattr__(name: str) -> Any:
    raise missing("linalg", name, __all__)
