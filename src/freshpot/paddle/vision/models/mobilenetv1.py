"""MobileNet (Howard and others 2017): depthwise and pointwise convolutions in turn."""

from __future__ import annotations

from typing import Any

from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import ConvNormActivation, nn, ops, trained

__all__ = ["MobileNetV1", "mobilenet_v1"]

#: name -> channels out, stride
_BLOCKS = {
    "conv2_1": (64, 1),
    "conv2_2": (128, 2),
    "conv3_1": (128, 1),
    "conv3_2": (256, 2),
    "conv4_1": (256, 1),
    "conv4_2": (512, 2),
    "conv5_1": (512, 1),
    "conv5_2": (512, 1),
    "conv5_3": (512, 1),
    "conv5_4": (512, 1),
    "conv5_5": (512, 1),
    "conv5_6": (1024, 2),
    "conv6": (1024, 1),
}


class DepthwiseSeparable(Layer):
    """Each channel by itself, then all channels at each place."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self._depthwise_conv = ConvNormActivation(into, into, 3, stride, 1, into)
        self._pointwise_conv = ConvNormActivation(into, out, 1, 1, 0)

    def forward(self, x: Any) -> Any:
        """(N, into, H, W) -> (N, out, H / stride, W / stride)."""
        return self._pointwise_conv(self._depthwise_conv(x))


class MobileNetV1(Layer):
    """Thirteen separable convolutions.

    Shapes: (N, 3, H, W) -> (N, num_classes).

    Args:
        scale: all channels are multiplied by it.
    """

    def __init__(self, scale: float = 1.0, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__()
        self.scale, self.num_classes, self.with_pool = scale, num_classes, with_pool
        self.dwsl: list[Layer] = []
        into = int(32 * scale)
        self.conv1 = ConvNormActivation(3, into, 3, 2, 1)
        for name, (channels, stride) in _BLOCKS.items():
            block = DepthwiseSeparable(into, int(channels * scale), stride)
            self.dwsl.append(self.add_sublayer(name, block))
            into = int(channels * scale)
        if with_pool:
            self.pool2d_avg = nn.AdaptiveAvgPool2D(1)
        if num_classes > 0:
            self.fc = nn.Linear(into, num_classes)

    def forward(self, x: Any) -> Any:
        """Pictures -> scores."""
        x = self.conv1(x)
        for block in self.dwsl:
            x = block(x)
        if self.with_pool:
            x = self.pool2d_avg(x)
        return self.fc(ops.flatten(x, 1)) if self.num_classes > 0 else x


def mobilenet_v1(pretrained: Any = False, scale: float = 1.0, **kwargs: Any) -> MobileNetV1:
    """MobileNet with channels times ``scale``; ``pretrained`` may be a file of weights."""
    file = "mobilenetv1_1.0.pdparams" if scale == 1.0 else None
    return trained(MobileNetV1(scale, **kwargs), pretrained, file)
