"""``paddle.vision.models``: networks, with the original's names of parameters, so that its files of weights fit."""

from __future__ import annotations

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.vision.models import (
    densenet,
    inceptionv3,
    lenet,
    mobilenetv1,
    mobilenetv2,
    mobilenetv3,
    resnet,
    shufflenetv2,
    squeezenet,
    vgg,
)

__all__ = [
    *densenet.__all__,
    *inceptionv3.__all__,
    *lenet.__all__,
    *mobilenetv1.__all__,
    *mobilenetv2.__all__,
    *mobilenetv3.__all__,
    *resnet.__all__,
    *shufflenetv2.__all__,
    *squeezenet.__all__,
    *vgg.__all__,
    "AlexNet",
    "GoogLeNet",
    "alexnet",
    "googlenet",
]

from freshpot.paddle.vision.models.alexnet import AlexNet, alexnet
from freshpot.paddle.vision.models.densenet import *  # noqa: F403
from freshpot.paddle.vision.models.googlenet import GoogLeNet, googlenet
from freshpot.paddle.vision.models.inceptionv3 import *  # noqa: F403
from freshpot.paddle.vision.models.lenet import *  # noqa: F403
from freshpot.paddle.vision.models.mobilenetv1 import *  # noqa: F403
from freshpot.paddle.vision.models.mobilenetv2 import *  # noqa: F403
from freshpot.paddle.vision.models.mobilenetv3 import *  # noqa: F403
from freshpot.paddle.vision.models.resnet import *  # noqa: F403
from freshpot.paddle.vision.models.shufflenetv2 import *  # noqa: F403
from freshpot.paddle.vision.models.squeezenet import *  # noqa: F403
from freshpot.paddle.vision.models.vgg import *  # noqa: F403


def __getattr__(name: str) -> Any:
    raise missing("vision.models", name, __all__)
