"""MobileNet V3 (Howard and others 2019): inverted residuals with squeeze and excitation and hard swishes."""

from __future__ import annotations

import functools
from typing import Any

from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import ConvNormActivation, eights, nn, ops, trained

__all__ = ["MobileNetV3Large", "MobileNetV3Small", "mobilenet_v3_large", "mobilenet_v3_small"]

_NORM = functools.partial(nn.BatchNorm2D, epsilon=0.001, momentum=0.99)
#: channels in, kernel, channels within, channels out, squeezed and excited, hard swish, stride
_SMALL = (
    (16, 3, 16, 16, True, False, 2),
    (16, 3, 72, 24, False, False, 2),
    (24, 3, 88, 24, False, False, 1),
    (24, 5, 96, 40, True, True, 2),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 120, 48, True, True, 1),
    (48, 5, 144, 48, True, True, 1),
    (48, 5, 288, 96, True, True, 2),
    (96, 5, 576, 96, True, True, 1),
    (96, 5, 576, 96, True, True, 1),
)
_LARGE = (
    (16, 3, 16, 16, False, False, 1),
    (16, 3, 64, 24, False, False, 2),
    (24, 3, 72, 24, False, False, 1),
    (24, 5, 72, 40, True, False, 2),
    (40, 5, 120, 40, True, False, 1),
    (40, 5, 120, 40, True, False, 1),
    (40, 3, 240, 80, False, True, 2),
    (80, 3, 200, 80, False, True, 1),
    (80, 3, 184, 80, False, True, 1),
    (80, 3, 184, 80, False, True, 1),
    (80, 3, 480, 112, True, True, 1),
    (112, 3, 672, 112, True, True, 1),
    (112, 5, 672, 160, True, True, 2),
    (160, 5, 960, 160, True, True, 1),
    (160, 5, 960, 160, True, True, 1),
)


class SqueezeExcitation(Layer):
    """Channels weighed by what their means say (Hu and others 2018)."""

    def __init__(
        self,
        input_channels: int,
        squeeze_channels: int,
        activation: Any = nn.ReLU,
        scale_activation: Any = nn.Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2D(1)
        self.fc1 = nn.Conv2D(input_channels, squeeze_channels, 1)
        self.fc2 = nn.Conv2D(squeeze_channels, input_channels, 1)
        self.activation = activation()
        self.scale_activation = scale_activation()

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> the same."""
        weights = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(input)))))
        return weights * input


class InvertedResidual(Layer):
    """Widened, convolved by channel, weighed, narrowed; added to what came in where sizes agree."""

    def __init__(
        self,
        into: int,
        wide: int,
        out: int,
        kernel: int,
        stride: int,
        use_se: bool,
        activation: Any,
    ) -> None:
        super().__init__()
        self.use_res_connect = stride == 1 and into == out
        self.use_se, self.expand = use_se, into != wide
        if self.expand:
            self.expand_conv = ConvNormActivation(into, wide, 1, 1, 0, 1, _NORM, activation)
        middle = (wide, wide, kernel, stride, (kernel - 1) // 2, wide, _NORM, activation)
        self.bottleneck_conv = ConvNormActivation(*middle)
        if use_se:
            self.mid_se = SqueezeExcitation(wide, eights(wide // 4), scale_activation=nn.Hardsigmoid)
        self.linear_conv = ConvNormActivation(wide, out, 1, 1, 0, 1, _NORM, None)

    def forward(self, x: Any) -> Any:
        """(N, into, H, W) -> (N, out, H / stride, W / stride)."""
        kept = x
        if self.expand:
            x = self.expand_conv(x)
        x = self.bottleneck_conv(x)
        if self.use_se:
            x = self.mid_se(x)
        x = self.linear_conv(x)
        return kept + x if self.use_res_connect else x


class MobileNetV3(Layer):
    """A row of inverted residuals and a classifier of two layers."""

    def __init__(
        self,
        config: Any,
        last_channel: int,
        scale: float = 1.0,
        num_classes: int = 1000,
        with_pool: bool = True,
    ) -> None:
        super().__init__()
        self.last_channel, self.scale = last_channel, scale
        self.num_classes, self.with_pool = num_classes, with_pool

        def of(channels: int) -> int:
            return eights(channels * scale)

        first = of(config[0][0])
        self.conv = ConvNormActivation(3, first, 3, 2, 1, 1, _NORM, nn.Hardswish)
        blocks = [
            InvertedResidual(of(a), of(w), of(b), k, s, se, nn.Hardswish if hard else nn.ReLU)
            for a, k, w, b, se, hard, s in config
        ]
        self.blocks = nn.Sequential(*blocks)
        into = of(config[-1][0])
        self.lastconv = ConvNormActivation(into, 6 * into, 1, 1, 0, 1, _NORM, nn.Hardswish)
        if with_pool:
            self.avgpool = nn.AdaptiveAvgPool2D(1)
        if num_classes > 0:
            self.classifier = nn.Sequential(
                nn.Linear(6 * into, last_channel),
                nn.Hardswish(),
                nn.Dropout(0.2),
                nn.Linear(last_channel, num_classes),
            )

    def forward(self, x: Any) -> Any:
        """Pictures (N, 3, H, W) -> scores (N, num_classes)."""
        x = self.lastconv(self.blocks(self.conv(x)))
        if self.with_pool:
            x = self.avgpool(x)
        return self.classifier(ops.flatten(x, 1)) if self.num_classes > 0 else x


class MobileNetV3Small(MobileNetV3):
    """Eleven inverted residuals; all channels times ``scale``, rounded to eights."""

    def __init__(self, scale: float = 1.0, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__(_SMALL, eights(1024 * scale), scale, num_classes, with_pool)


class MobileNetV3Large(MobileNetV3):
    """Fifteen inverted residuals; all channels times ``scale``, rounded to eights."""

    def __init__(self, scale: float = 1.0, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__(_LARGE, eights(1280 * scale), scale, num_classes, with_pool)


def mobilenet_v3_small(pretrained: Any = False, scale: float = 1.0, **kwargs: Any) -> MobileNetV3Small:
    """The small MobileNet V3; ``pretrained`` may be a file of weights."""
    file = "mobilenet_v3_small_x1.0.pdparams" if scale == 1.0 else None
    return trained(MobileNetV3Small(scale, **kwargs), pretrained, file)


def mobilenet_v3_large(pretrained: Any = False, scale: float = 1.0, **kwargs: Any) -> MobileNetV3Large:
    """The large MobileNet V3; ``pretrained`` may be a file of weights."""
    file = "mobilenet_v3_large_x1.0.pdparams" if scale == 1.0 else None
    return trained(MobileNetV3Large(scale, **kwargs), pretrained, file)
