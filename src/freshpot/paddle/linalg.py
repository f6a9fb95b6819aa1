"""``paddle.linalg``."""

from freshpot.paddle.tensor.linalg import *  # noqa: F403
from freshpot.paddle.tensor.linalg import __all__ as __all__
