"""``paddle.optimizer.lr``."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.optimizer import cycles, schedules
from freshpot.paddle.optimizer.cycles import *  # noqa: F403
from freshpot.paddle.optimizer.schedules import *  # noqa: F403

__all__ = [*cycles.__all__, *schedules.__all__]


def __getattr__(name: str) -> Any:
    raise missing("optimizer.lr", name, __all__)
