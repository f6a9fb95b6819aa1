"""``paddle.linalg``."""

from typing import NoReturn

from freshpot.paddle._missing import missing
from freshpot.paddle.tensor.linalg import *  # noqa: F403
from freshpot.paddle.tensor.linalg import __all__ as __all__


def __getattr__(name: str) -> NoReturn:
    raise missing("linalg", name, __all__)
