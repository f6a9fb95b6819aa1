"""VGG (Simonyan and Zisserman 2015): rows of 3 x 3 convolutions between poolings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops, trained

_CHANNELS = (64, 128, 256, 512, 512)
#: network -> convolutions before each pooling
_ROWS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}

__all__ = ["VGG", *_ROWS]


class VGG(Layer):
    """Given features, then three full layers.

    Shapes: (N, 3, H, W) -> (N, num_classes).
    """

    def __init__(self, features: Layer, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__()
        self.features = features
        self.num_classes, self.with_pool = num_classes, with_pool
        if with_pool:
            self.avgpool = nn.AdaptiveAvgPool2D((7, 7))
        if num_classes > 0:
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(),
                nn.Linear(4096, num_classes),
            )

    def forward(self, x: Any) -> Any:
        """Pictures -> scores."""
        x = self.features(x)
        if self.with_pool:
            x = self.avgpool(x)
        return self.classifier(ops.flatten(x, 1)) if self.num_classes > 0 else x


def make_layers(cfg: Iterable[Any], batch_norm: bool = False) -> Any:
    """Convolutions with so many channels each, and "M" for a pooling."""
    parts, into = [], 3
    for out in cfg:
        if out == "M":
            parts.append(nn.MaxPool2D(kernel_size=2, stride=2))
            continue
        parts.append(nn.Conv2D(into, out, 3, padding=1))
        parts += [nn.BatchNorm2D(out)] if batch_norm else []
        parts.append(nn.ReLU())
        into = out
    return nn.Sequential(*parts)


def _maker(name: str) -> Any:
    cfg = [part for c, n in zip(_CHANNELS, _ROWS[name], strict=True) for part in [c] * n + ["M"]]

    def make(pretrained: Any = False, batch_norm: bool = False, **kwargs: Any) -> VGG:
        file = f"{name}.pdparams" if name in ("vgg16", "vgg19") and not batch_norm else None
        return trained(VGG(make_layers(cfg, batch_norm), **kwargs), pretrained, file)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{name}; ``kwargs`` are :class:`VGG`'s, ``pretrained`` also a file of weights."
    return make


globals().update({name: _maker(name) for name in _ROWS})
