"""``paddle.nn``: layers."""

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn import (
    activations,
    clip,
    common,
    container,
    functional,
    initializer,
    loss,
    norms,
    rnn,
    transformer,
    utils,
    vision,
    windows,
)
from freshpot.paddle.nn.activations import *  # noqa: F403
from freshpot.paddle.nn.clip import *  # noqa: F403
from freshpot.paddle.nn.common import *  # noqa: F403
from freshpot.paddle.nn.container import *  # noqa: F403
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.nn.loss import *  # noqa: F403
from freshpot.paddle.nn.norms import *  # noqa: F403
from freshpot.paddle.nn.rnn import *  # noqa: F403
from freshpot.paddle.nn.transformer import *  # noqa: F403
from freshpot.paddle.nn.vision import *  # noqa: F403
from freshpot.paddle.nn.windows import *  # noqa: F403

__all__ = [
    *activations.__all__,
    *clip.__all__,
    *common.__all__,
    *container.__all__,
    *loss.__all__,
    *norms.__all__,
    *rnn.__all__,
    *transformer.__all__,
    *vision.__all__,
    *windows.__all__,
    "Layer",
    "ParamAttr",
    "functional",
    "initializer",
    "loss",
    "utils",
]


def __getattr__(name: str) -> Any:
    raise missing("nn", name, __all__)
