"""``paddle.optimizer``: update rules and learning rates."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.optimizer import lr, lr_scheduler
from freshpot.paddle.optimizer.lbfgs import LBFGS
from freshpot.paddle.optimizer.lr_scheduler import *  # noqa: F403
from freshpot.paddle.optimizer.optimizer import Optimizer
from freshpot.paddle.optimizer.rules import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lamb,
    Momentum,
    RMSProp,
)

__all__ = [
    *lr_scheduler.__all__,
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lamb",
    "Momentum",
    "Optimizer",
    "RMSProp",
    "lr",
    "lr_scheduler",
]


def __getattr__(name: str) -> Any:
    raise missing("optimizer", name, __all__)
