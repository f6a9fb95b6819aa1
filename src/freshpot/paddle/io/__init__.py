"""``paddle.io``: data sets, orders, batches."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.io import dataset, loader, sampler
from freshpot.paddle.io.dataset import *  # noqa: F403
from freshpot.paddle.io.loader import *  # noqa: F403
from freshpot.paddle.io.sampler import *  # noqa: F403

__all__ = [*dataset.__all__, *loader.__all__, *sampler.__all__]


def __getattr__(name: str) -> Any:
    raise missing("io", name, __all__)
