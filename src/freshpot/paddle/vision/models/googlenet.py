"""GoogLeNet (Szegedy and others 2015), as Paddle has it: convolutions without bias, relu after each joint only."""

from __future__ import annotations

from typing import Any

from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops, trained

__all__ = ["GoogLeNet", "googlenet"]

#: inception -> channels in, of 1 x 1, before and of 3 x 3, before and of 5 x 5, behind the pooling
_INCEPTIONS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def _start(channels: int, kernel: int = 1) -> ParamAttr:
    bound = (3.0 / (kernel**2 * channels)) ** 0.5
    return ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))


class ConvLayer(Layer):
    """A convolution without bias that keeps the size at stride 1."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self._conv = nn.Conv2D(into, out, kernel, stride, (kernel - 1) // 2, bias_attr=False)

    def forward(self, inputs: Any) -> Any:
        """(N, into, H, W) -> (N, out, H / stride, W / stride)."""
        return self._conv(inputs)


class Inception(Layer):
    """Windows of four sizes side by side."""

    def __init__(
        self, into: int, one: int, three_in: int, three: int, five_in: int, five: int, proj: int
    ) -> None:
        super().__init__()
        self._conv1 = ConvLayer(into, one, 1)
        self._conv3r = ConvLayer(into, three_in, 1)
        self._conv3 = ConvLayer(three_in, three, 3)
        self._conv5r = ConvLayer(into, five_in, 1)
        self._conv5 = ConvLayer(five_in, five, 5)
        self._pool = nn.MaxPool2D(kernel_size=3, stride=1, padding=1)
        self._convprj = ConvLayer(into, proj, 1)

    def forward(self, inputs: Any) -> Any:
        """(N, into, H, W) -> (N, one + three + five + proj, H, W)."""
        parts = [
            self._conv1(inputs),
            self._conv3(self._conv3r(inputs)),
            self._conv5(self._conv5r(inputs)),
            self._convprj(self._pool(inputs)),
        ]
        return nn.functional.relu(ops.concat(parts, axis=1))


class GoogLeNet(Layer):
    """Nine inceptions; two more sets of scores from the middle, for training.

    Shapes: (N, 3, 224, 224) -> three times (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__()
        self.num_classes, self.with_pool = num_classes, with_pool
        self._conv = ConvLayer(3, 64, 7, 2)
        self._pool = nn.MaxPool2D(kernel_size=3, stride=2)
        self._conv_1 = ConvLayer(64, 64, 1)
        self._conv_2 = ConvLayer(64, 192, 3)
        for name, channels in _INCEPTIONS.items():
            self.add_sublayer(f"_ince{name}", Inception(*channels))
        if with_pool:
            self._pool_5 = nn.AdaptiveAvgPool2D(1)
            self._pool_o1 = nn.AvgPool2D(kernel_size=5, stride=3)
            self._pool_o2 = nn.AvgPool2D(kernel_size=5, stride=3)
        if num_classes > 0:
            self._drop = nn.Dropout(0.4, mode="downscale_in_infer")
            self._fc_out = nn.Linear(1024, num_classes, weight_attr=_start(1024))
            for number, into in ((1, 512), (2, 528)):
                parts = {
                    f"_conv_o{number}": ConvLayer(into, 128, 1),
                    f"_fc_o{number}": nn.Linear(1152, 1024, weight_attr=_start(2048)),
                    f"_drop_o{number}": nn.Dropout(0.7, mode="downscale_in_infer"),
                    f"_out{number}": nn.Linear(1024, num_classes, weight_attr=_start(1024)),
                }
                for name, part in parts.items():
                    self.add_sublayer(name, part)

    def _through(self, x: Any, *names: str) -> Any:
        for name in names:
            x = getattr(self, f"_ince{name}")(x)
        return x

    def forward(self, inputs: Any) -> Any:
        """Pictures -> scores, scores after 4a, scores after 4d."""
        x = self._pool(self._conv_2(self._conv_1(self._pool(self._conv(inputs)))))
        first = self._through(self._pool(self._through(x, "3a", "3b")), "4a")
        second = self._through(first, "4b", "4c", "4d")
        last = self._through(self._pool(self._through(second, "4e")), "5a", "5b")
        if self.with_pool:
            last, first, second = self._pool_5(last), self._pool_o1(first), self._pool_o2(second)
        if self.num_classes > 0:
            last = self._fc_out(ops.squeeze(self._drop(last), axis=[2, 3]))
            first = nn.functional.relu(self._fc_o1(ops.flatten(self._conv_o1(first), 1)))
            first = self._out1(self._drop_o1(first))
            second = self._fc_o2(
                ops.flatten(self._conv_o2(second), 1)
            )  # no relu here: as the original has it
            second = self._out2(self._drop_o2(second))
        return last, first, second


def googlenet(pretrained: Any = False, **kwargs: Any) -> GoogLeNet:
    """GoogLeNet; ``pretrained`` may be a file of weights."""
    return trained(GoogLeNet(**kwargs), pretrained, "GoogLeNet_pretrained.pdparams")
