"""``paddle.optimizer``: update rules and learning rates."""

from freshpot.paddle.optimizer import lr
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
]
