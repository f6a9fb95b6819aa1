"""MobileNet V2 (Sandler and others 2018): narrow between blocks, wide within."""

from __future__ import annotations

from typing import Any

from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import ConvNormActivation, eights, nn, ops, trained

__all__ = ["MobileNetV2", "mobilenet_v2"]

#: how much wider within, channels out, blocks, stride of the first of them
_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _relu6(into: int, out: int, kernel: int, **more: Any) -> Layer:
    return ConvNormActivation(into, out, kernel, activation_layer=nn.ReLU6, **more)


class InvertedResidual(Layer):
    """Widened, convolved by channel, narrowed; added to what came in where sizes agree."""

    def __init__(self, inp: int, oup: int, stride: int, expand_ratio: float, norm_layer: Any = None) -> None:
        super().__init__()
        self.stride = stride
        self.use_res_connect = stride == 1 and inp == oup
        wide = round(inp * expand_ratio)
        parts = [_relu6(inp, wide, 1)] if expand_ratio != 1 else []
        parts.append(_relu6(wide, wide, 3, stride=stride, groups=wide))
        parts += [nn.Conv2D(wide, oup, 1, bias_attr=False), (norm_layer or nn.BatchNorm2D)(oup)]
        self.conv = nn.Sequential(*parts)

    def forward(self, x: Any) -> Any:
        """(N, inp, H, W) -> (N, oup, H / stride, W / stride)."""
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


class MobileNetV2(Layer):
    """Seventeen inverted residuals.

    Shapes: (N, 3, H, W) -> (N, num_classes).

    Args:
        scale: all channels are multiplied by it and rounded to eights.
    """

    def __init__(self, scale: float = 1.0, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__()
        self.num_classes, self.with_pool = num_classes, with_pool
        self.last_channel = eights(1280 * max(1.0, scale))
        into = eights(32 * scale)
        parts = [_relu6(3, into, 3, stride=2)]
        for ratio, channels, blocks, stride in _STAGES:
            out = eights(channels * scale)
            for place in range(blocks):
                parts.append(InvertedResidual(into, out, stride if place == 0 else 1, ratio))
                into = out
        parts.append(_relu6(into, self.last_channel, 1))
        self.features = nn.Sequential(*parts)
        if with_pool:
            self.pool2d_avg = nn.AdaptiveAvgPool2D(1)
        if num_classes > 0:
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(self.last_channel, num_classes))

    def forward(self, x: Any) -> Any:
        """Pictures -> scores."""
        x = self.features(x)
        if self.with_pool:
            x = self.pool2d_avg(x)
        return self.classifier(ops.flatten(x, 1)) if self.num_classes > 0 else x


def mobilenet_v2(pretrained: Any = False, scale: float = 1.0, **kwargs: Any) -> MobileNetV2:
    """MobileNet V2 with channels times ``scale``; ``pretrained`` may be a file of weights."""
    file = "mobilenet_v2_x1.0.pdparams" if scale == 1.0 else None
    return trained(MobileNetV2(scale, **kwargs), pretrained, file)
