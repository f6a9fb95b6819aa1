"""AlexNet (Krizhevsky 2014: one tower)."""

from __future__ import annotations

import math
from typing import Any

from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops, trained

__all__ = ["AlexNet", "alexnet"]


def _within(fan_in: int) -> dict[str, Any]:
    """Weights and biases that begin uniform between -1 / sqrt(fan_in) and that."""
    bound = 1.0 / math.sqrt(fan_in)
    start = nn.initializer.Uniform(-bound, bound)
    return {"weight_attr": ParamAttr(initializer=start), "bias_attr": ParamAttr(initializer=start)}


class ConvPoolLayer(Layer):
    """A convolution, relu, and pooling of 3 x 3 at stride 2."""

    def __init__(self, into: int, out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self._conv = nn.Conv2D(into, out, kernel, stride, padding, **_within(into * kernel * kernel))
        self._pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=0)

    def forward(self, inputs: Any) -> Any:
        """(N, into, H, W) -> (N, out, ...)."""
        return self._pool(self.relu(self._conv(inputs)))


class AlexNet(Layer):
    """Five convolutions, three full layers.

    Shapes: (N, 3, 224, 224) -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.num_classes = num_classes
        self._conv1 = ConvPoolLayer(3, 64, 11, 4, 2)
        self._conv2 = ConvPoolLayer(64, 192, 5, 1, 2)
        self._conv3 = nn.Conv2D(192, 384, 3, padding=1, **_within(192 * 9))
        self._conv4 = nn.Conv2D(384, 256, 3, padding=1, **_within(384 * 9))
        self._conv5 = ConvPoolLayer(256, 256, 3, 1, 1)
        if num_classes > 0:
            start = _within(256 * 36)
            self._drop1 = nn.Dropout(0.5, mode="downscale_in_infer")
            self._fc6 = nn.Linear(256 * 36, 4096, **start)
            self._drop2 = nn.Dropout(0.5, mode="downscale_in_infer")
            self._fc7 = nn.Linear(4096, 4096, **start)
            self._fc8 = nn.Linear(4096, num_classes, **start)

    def forward(self, inputs: Any) -> Any:
        """Pictures -> scores."""
        relu = nn.functional.relu
        x = self._conv2(self._conv1(inputs))
        x = self._conv5(relu(self._conv4(relu(self._conv3(x)))))
        if self.num_classes <= 0:
            return x
        x = relu(self._fc6(self._drop1(ops.flatten(x, 1))))
        return self._fc8(relu(self._fc7(self._drop2(x))))


def alexnet(pretrained: Any = False, **kwargs: Any) -> AlexNet:
    """AlexNet; ``pretrained`` may be a file of weights."""
    return trained(AlexNet(**kwargs), pretrained, "AlexNet_pretrained.pdparams")
