"""SqueezeNet (Iandola and others 2016)."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops, trained

__all__ = ["SqueezeNet", "squeezenet1_0", "squeezenet1_1"]

#: channels of the eight fire modules: squeezed, and each half of what is expanded
_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
#: version -> the fire modules that a pooling follows
_POOLED = {"1.0": (3, 7), "1.1": (2, 4)}


class MakeFireConv(Layer):
    """A convolution with relu."""

    def __init__(self, into: int, out: int, kernel: int, padding: int = 0) -> None:
        super().__init__()
        self._conv = nn.Conv2D(into, out, kernel, padding=padding)

    def forward(self, x: Any) -> Any:
        """(N, into, H, W) -> (N, out, H, W)."""
        return nn.functional.relu(self._conv(x))


class MakeFire(Layer):
    """Squeezed to few channels, expanded by 1 x 1 and 3 x 3 side by side."""

    def __init__(self, into: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self._conv = MakeFireConv(into, squeezed, 1)
        self._conv_path1 = MakeFireConv(squeezed, expanded, 1)
        self._conv_path2 = MakeFireConv(squeezed, expanded, 3, padding=1)

    def forward(self, inputs: Any) -> Any:
        """(N, into, H, W) -> (N, 2 * expanded, H, W)."""
        x = self._conv(inputs)
        return ops.concat([self._conv_path1(x), self._conv_path2(x)], axis=1)


class SqueezeNet(Layer):
    """Eight fire modules and a convolution that scores.

    Shapes: (N, 3, H, W) -> (N, num_classes).

    Args:
        version: "1.0" or "1.1".

    Raises:
        ArgumentError: another version.
    """

    def __init__(self, version: str, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__()
        if version not in _POOLED:
            raise ArgumentError(f"SqueezeNet: version {version!r}; choose '1.0' or '1.1'")
        self.version, self.num_classes, self.with_pool = version, num_classes, with_pool
        if version == "1.0":
            self._conv = nn.Conv2D(3, 96, 7, stride=2)
        else:
            self._conv = nn.Conv2D(3, 64, 3, stride=2, padding=1)
        self._pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=0)
        into = 96 if version == "1.0" else 64
        for place, (squeezed, expanded) in enumerate(_FIRES, 1):
            self.add_sublayer(f"_conv{place}", MakeFire(into, squeezed, expanded))
            into = 2 * expanded
        self._drop = nn.Dropout(0.5, mode="downscale_in_infer")
        self._conv9 = nn.Conv2D(512, num_classes, 1)
        self._avg_pool = nn.AdaptiveAvgPool2D(1)

    def forward(self, inputs: Any) -> Any:
        """Pictures -> scores."""
        relu = nn.functional.relu
        x = self._pool(relu(self._conv(inputs)))
        for place in range(1, 9):
            x = getattr(self, f"_conv{place}")(x)
            if place in _POOLED[self.version]:
                x = self._pool(x)
        if self.num_classes > 0:
            x = self._conv9(self._drop(x))
        return ops.squeeze(self._avg_pool(relu(x)), axis=[2, 3]) if self.with_pool else x


def squeezenet1_0(pretrained: Any = False, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.0; ``pretrained`` may be a file of weights."""
    return trained(SqueezeNet("1.0", **kwargs), pretrained, "SqueezeNet1_0_pretrained.pdparams")


def squeezenet1_1(pretrained: Any = False, **kwargs: Any) -> SqueezeNet:
    """SqueezeNet 1.1; ``pretrained`` may be a file of weights."""
    return trained(SqueezeNet("1.1", **kwargs), pretrained, "SqueezeNet1_1_pretrained.pdparams")
