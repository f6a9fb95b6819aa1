"""ShuffleNet V2 (Ma and others 2018)."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import ConvNormActivation, nn, ops, trained

#: scale -> channels of the first convolution, of the three stages, of the last convolution
_CHANNELS = {
    0.25: (24, 24, 48, 96, 512),
    0.33: (24, 32, 64, 128, 512),
    0.5: (24, 48, 96, 192, 1024),
    1.0: (24, 116, 232, 464, 1024),
    1.5: (24, 176, 352, 704, 1024),
    2.0: (24, 224, 488, 976, 2048),
}
_REPEATS = (4, 8, 4)
_ACTIVATIONS = {"relu": "ReLU", "swish": "Swish"}
#: network -> scale, activation
_NETWORKS = {f"shufflenet_v2_x{str(scale).replace('.', '_')}": (scale, "relu") for scale in _CHANNELS}
_NETWORKS["shufflenet_v2_swish"] = (1.0, "swish")

__all__ = ["ShuffleNetV2", *_NETWORKS]


def channel_shuffle(x: Any, groups: int) -> Any:
    """Channels of the groups in turn."""
    return nn.functional.channel_shuffle(x, groups)


def _depthwise(channels: int, stride: int) -> Layer:
    return ConvNormActivation(channels, channels, 3, stride, 1, channels, activation_layer=None)


def _pointwise(into: int, out: int, activation: Any) -> Layer:
    return ConvNormActivation(into, out, 1, 1, 0, activation_layer=activation)


class InvertedResidual(Layer):
    """One half of the channels passes, the other is convolved."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, activation_layer: Any = nn.ReLU
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self._conv_pw = _pointwise(in_channels // 2, half, activation_layer)
        self._conv_dw = _depthwise(half, stride)
        self._conv_linear = _pointwise(half, half, activation_layer)

    def forward(self, inputs: Any) -> Any:
        """(N, C, H, W) -> the same."""
        half = inputs.shape[1] // 2
        kept, x = ops.split(inputs, [half, half], axis=1)
        return channel_shuffle(
            ops.concat([kept, self._conv_linear(self._conv_dw(self._conv_pw(x)))], axis=1), 2
        )


class InvertedResidualDS(Layer):
    """Both halves are made from all channels, at half the size."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, activation_layer: Any = nn.ReLU
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self._conv_dw_1 = _depthwise(in_channels, stride)
        self._conv_linear_1 = _pointwise(in_channels, half, activation_layer)
        self._conv_pw_2 = _pointwise(in_channels, half, activation_layer)
        self._conv_dw_2 = _depthwise(half, stride)
        self._conv_linear_2 = _pointwise(half, half, activation_layer)

    def forward(self, inputs: Any) -> Any:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride)."""
        first = self._conv_linear_1(self._conv_dw_1(inputs))
        second = self._conv_linear_2(self._conv_dw_2(self._conv_pw_2(inputs)))
        return channel_shuffle(ops.concat([first, second], axis=1), 2)


class ShuffleNetV2(Layer):
    """Three stages of shuffled halves.

    Shapes: (N, 3, H, W) -> (N, num_classes).

    Args:
        scale: 0.25, 0.33, 0.5, 1.0, 1.5 or 2.0.
        act: "relu", "swish", or None.

    Raises:
        ArgumentError: another scale or activation.
    """

    def __init__(
        self, scale: float = 1.0, act: str | None = "relu", num_classes: int = 1000, with_pool: bool = True
    ) -> None:
        super().__init__()
        if scale not in _CHANNELS:
            raise ArgumentError(f"ShuffleNetV2: scale {scale}; choose {', '.join(map(str, _CHANNELS))}")
        if act is not None and act not in _ACTIVATIONS:
            raise ArgumentError(f"ShuffleNetV2: act {act!r}; choose 'relu', 'swish' or None")
        activation = None if act is None else getattr(nn, _ACTIVATIONS[act])
        self.scale, self.num_classes, self.with_pool = scale, num_classes, with_pool
        first, *stages, last = _CHANNELS[scale]
        self._conv1 = ConvNormActivation(3, first, 3, 2, 1, activation_layer=activation)
        self._max_pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self._block_list: list[Layer] = []
        into = first
        for stage, (out, repeats) in enumerate(zip(stages, _REPEATS, strict=True), 2):
            for place in range(1, repeats + 1):
                block = (
                    InvertedResidualDS(into, out, 2, activation)
                    if place == 1
                    else InvertedResidual(out, out, 1, activation)
                )
                self._block_list.append(self.add_sublayer(f"{stage}_{place}", block))
            into = out
        self._last_conv = ConvNormActivation(into, last, 1, 1, 0, activation_layer=activation)
        if with_pool:
            self._pool2d_avg = nn.AdaptiveAvgPool2D(1)
        if num_classes > 0:
            self._out_c = last
            self._fc = nn.Linear(last, num_classes)

    def forward(self, inputs: Any) -> Any:
        """Pictures -> scores."""
        x = self._max_pool(self._conv1(inputs))
        for block in self._block_list:
            x = block(x)
        x = self._last_conv(x)
        if self.with_pool:
            x = self._pool2d_avg(x)
        return self._fc(ops.flatten(x, 1)) if self.num_classes > 0 else x


def _maker(name: str, scale: float, act: str) -> Any:
    def make(pretrained: Any = False, **kwargs: Any) -> ShuffleNetV2:
        made = ShuffleNetV2(**{"scale": scale, "act": act, **kwargs})
        return trained(made, pretrained, f"{name}.pdparams")

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{name}; ``kwargs`` are :class:`ShuffleNetV2`'s, ``pretrained`` also a file of weights."
    return make


globals().update({name: _maker(name, *options) for name, options in _NETWORKS.items()})
