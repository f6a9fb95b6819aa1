"""DenseNet (Huang and others 2017): every layer sees what all before it in its block made."""

from __future__ import annotations

import math
from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops, trained

#: depth -> channels of the first convolution, channels that a layer adds, layers of the four blocks
_BLOCKS = {
    121: (64, 32, (6, 12, 24, 16)),
    161: (96, 48, (6, 12, 36, 24)),
    169: (64, 32, (6, 12, 32, 32)),
    201: (64, 32, (6, 12, 48, 32)),
    264: (64, 32, (6, 12, 64, 48)),
}

__all__ = ["DenseNet", *(f"densenet{depth}" for depth in _BLOCKS)]


class BNACConvLayer(Layer):
    """Norm, relu, then a convolution that keeps the size."""

    def __init__(self, into: int, out: int, kernel: int) -> None:
        super().__init__()
        self._batch_norm = nn.BatchNorm(into, act="relu")
        self._conv = nn.Conv2D(into, out, kernel, padding=kernel // 2, bias_attr=False)

    def forward(self, input: Any) -> Any:
        """(N, into, H, W) -> (N, out, H, W)."""
        return self._conv(self._batch_norm(input))


class DenseLayer(Layer):
    """A narrow and a 3 x 3 convolution, whose result is put behind what came in."""

    def __init__(self, into: int, growth: int, bn_size: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.bn_ac_func1 = BNACConvLayer(into, bn_size * growth, 1)
        self.bn_ac_func2 = BNACConvLayer(bn_size * growth, growth, 3)
        if dropout:
            self.dropout_func = nn.Dropout(dropout, mode="downscale_in_infer")

    def forward(self, input: Any) -> Any:
        """(N, into, H, W) -> (N, into + growth, H, W)."""
        new = self.bn_ac_func2(self.bn_ac_func1(input))
        return ops.concat([input, self.dropout_func(new) if self.dropout else new], axis=1)


class DenseBlock(Layer):
    """Layers ``conv<number>_1`` and on."""

    def __init__(
        self, into: int, growth: int, bn_size: int, dropout: float, layers: int, number: int
    ) -> None:
        super().__init__()
        for place in range(layers):
            layer = DenseLayer(into + place * growth, growth, bn_size, dropout)
            self.add_sublayer(f"conv{number}_{place + 1}", layer)

    def forward(self, input: Any) -> Any:
        """(N, into, H, W) -> (N, into + layers * growth, H, W)."""
        for layer in self.children():
            input = layer(input)
        return input


class TransitionLayer(Layer):
    """Half the channels, half the size."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv_ac_func = BNACConvLayer(into, out, 1)
        self.pool2d_avg = nn.AvgPool2D(kernel_size=2, stride=2, padding=0)

    def forward(self, input: Any) -> Any:
        """(N, into, H, W) -> (N, out, H / 2, W / 2)."""
        return self.pool2d_avg(self.conv_ac_func(input))


class ConvBNLayer(Layer):
    """The first convolution, with norm and relu."""

    def __init__(self, into: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self._conv = nn.Conv2D(into, out, kernel, stride, kernel // 2, bias_attr=False)
        self._batch_norm = nn.BatchNorm(out, act="relu")

    def forward(self, input: Any) -> Any:
        """(N, into, H, W) -> (N, out, H / stride, W / stride)."""
        return self._batch_norm(self._conv(input))


class DenseNet(Layer):
    """A densely connected network.

    Shapes: (N, 3, H, W) -> (N, num_classes).

    Args:
        layers: 121, 161, 169, 201 or 264.
        bn_size: channels of a narrow convolution, in what a layer adds.

    Raises:
        ArgumentError: another depth.
    """

    def __init__(
        self,
        layers: int = 121,
        bn_size: int = 4,
        dropout: float = 0.0,
        num_classes: int = 1000,
        with_pool: bool = True,
    ) -> None:
        super().__init__()
        if layers not in _BLOCKS:
            raise ArgumentError(f"DenseNet: layers {layers}; choose {', '.join(map(str, _BLOCKS))}")
        self.num_classes, self.with_pool = num_classes, with_pool
        channels, growth, self.block_config = _BLOCKS[layers]
        self.conv1_func = ConvBNLayer(3, channels, 7, 2)
        self.pool2d_max = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        self._order: list[str] = []
        for number, count in enumerate(self.block_config, 2):
            self._then(f"db_conv_{number}", DenseBlock(channels, growth, bn_size, dropout, count, number))
            channels += count * growth
            if number < 5:
                self._then(f"tr_conv{number}_blk", TransitionLayer(channels, channels // 2))
                channels //= 2
        self.batch_norm = nn.BatchNorm(channels, act="relu")
        if with_pool:
            self.pool2d_avg = nn.AdaptiveAvgPool2D(1)
        if num_classes > 0:
            bound = 1.0 / math.sqrt(channels)
            start = ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))
            self.out = nn.Linear(channels, num_classes, weight_attr=start)

    def _then(self, name: str, layer: Layer) -> None:
        self._order.append(name)
        self.add_sublayer(name, layer)

    def forward(self, input: Any) -> Any:
        """Pictures -> scores."""
        x = self.pool2d_max(self.conv1_func(input))
        for name in self._order:
            x = getattr(self, name)(x)
        x = self.batch_norm(x)
        if self.with_pool:
            x = self.pool2d_avg(x)
        return self.out(ops.flatten(x, 1)) if self.num_classes > 0 else x


def _maker(depth: int) -> Any:
    def make(pretrained: Any = False, **kwargs: Any) -> DenseNet:
        return trained(DenseNet(depth, **kwargs), pretrained, f"DenseNet{depth}_pretrained.pdparams")

    make.__name__ = make.__qualname__ = f"densenet{depth}"
    make.__doc__ = (
        f"densenet{depth}; ``kwargs`` are :class:`DenseNet`'s, ``pretrained`` also a file of weights."
    )
    return make


globals().update({f"densenet{depth}": _maker(depth) for depth in _BLOCKS})
