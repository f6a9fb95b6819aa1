"""``paddle.nn.functional``: layers without parameters of their own, as functions."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.nn.functional import activation, common, extension, loss, ranking, window
from freshpot.paddle.nn.functional.activation import *  # noqa: F403
from freshpot.paddle.nn.functional.common import *  # noqa: F403
from freshpot.paddle.nn.functional.extension import *  # noqa: F403
from freshpot.paddle.nn.functional.loss import *  # noqa: F403
from freshpot.paddle.nn.functional.ranking import *  # noqa: F403
from freshpot.paddle.nn.functional.window import *  # noqa: F403

__all__ = [
    *activation.__all__,
    *common.__all__,
    *extension.__all__,
    *loss.__all__,
    *ranking.__all__,
    *window.__all__,
]


def __getattr__(name: str) -> Any:
    raise missing("nn.functional", name, __all__)
