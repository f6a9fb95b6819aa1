"""``paddle.nn.functional``: layers without parameters of their own, as functions."""

from freshpot.paddle.nn.functional import activation, common, loss, window
from freshpot.paddle.nn.functional.activation import *  # noqa: F403
from freshpot.paddle.nn.functional.common import *  # noqa: F403
from freshpot.paddle.nn.functional.loss import *  # noqa: F403
from freshpot.paddle.nn.functional.window import *  # noqa: F403

__all__ = [*activation.__all__, *common.__all__, *loss.__all__, *window.__all__]
