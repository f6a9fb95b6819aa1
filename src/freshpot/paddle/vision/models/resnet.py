"""ResNet (He and others 2016), ResNeXt (Xie and others 2017) and wide ResNet (Zagoruyko and Komodakis 2016)."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import nn, ops, trained

#: depth -> blocks of the four stages
_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
#: network -> depth, groups, width of a group
_NETWORKS = {
    "resnet18": (18, 1, 64),
    "resnet34": (34, 1, 64),
    "resnet50": (50, 1, 64),
    "resnet101": (101, 1, 64),
    "resnet152": (152, 1, 64),
    "resnext50_32x4d": (50, 32, 4),
    "resnext50_64x4d": (50, 64, 4),
    "resnext101_32x4d": (101, 32, 4),
    "resnext101_64x4d": (101, 64, 4),
    "resnext152_32x4d": (152, 32, 4),
    "resnext152_64x4d": (152, 64, 4),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}

__all__ = ["ResNet", *_NETWORKS]


class _Block(Layer):
    """Convolutions with norms, added to what came in (through ``downsample``, where sizes change)."""

    expansion = 1
    #: kernel sizes of its convolutions
    kernels: tuple[int, ...] = (3, 3)

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: Layer | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Any = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2D
        sizes = self.channels(inplanes, planes, groups, base_width)
        first = self.kernels.index(3)  # the one with the stride
        for place, kernel in enumerate(self.kernels):
            wide = {"dilation": dilation, "groups": groups} if kernel == 3 else {}
            conv = nn.Conv2D(
                sizes[place],
                sizes[place + 1],
                kernel,
                stride if place == first else 1,
                dilation if kernel == 3 else 0,
                bias_attr=False,
                **wide,
            )
            self.add_sublayer(f"conv{place + 1}", conv)
            self.add_sublayer(f"bn{place + 1}", norm(sizes[place + 1]))
            if place == 0 and self.expansion == 1:
                self.relu = nn.ReLU()
        if self.expansion > 1:
            self.relu = nn.ReLU()
        self.downsample = downsample
        self.stride = stride

    def channels(self, inplanes: int, planes: int, groups: int, base_width: int) -> list[int]:
        """Channels before, between and after the convolutions."""
        raise NotImplementedError

    def forward(self, x: Any) -> Any:
        """(N, inplanes, H, W) -> (N, planes * expansion, H / stride, W / stride)."""
        kept = x if self.downsample is None else self.downsample(x)
        last = len(self.kernels)
        for place in range(1, last + 1):
            x = getattr(self, f"bn{place}")(getattr(self, f"conv{place}")(x))
            x = self.relu(x if place < last else x + kept)
        return x


class BasicBlock(_Block):
    """Two convolutions of 3 x 3.

    Raises:
        ArgumentError: groups, another width or dilation: only :class:`BottleneckBlock` has them.
    """

    def channels(self, inplanes: int, planes: int, groups: int, base_width: int) -> list[int]:
        """Channels before, between and after the convolutions."""
        if groups != 1 or base_width != 64:
            raise ArgumentError(
                f"BasicBlock: groups {groups} and base_width {base_width}; only 1 and 64 are done"
            )
        return [inplanes, planes, planes]


class BottleneckBlock(_Block):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1; the middle one is narrow, or cut into groups."""

    expansion = 4
    kernels = (1, 3, 1)

    def channels(self, inplanes: int, planes: int, groups: int, base_width: int) -> list[int]:
        """Channels before, between and after the convolutions."""
        width = int(planes * (base_width / 64.0)) * groups
        return [inplanes, width, width, planes * self.expansion]


class ResNet(Layer):
    """A residual network.

    Shapes: (N, 3, H, W) -> (N, num_classes); without classes (num_classes 0) features.

    Args:
        block: :class:`BasicBlock` or :class:`BottleneckBlock`.
        depth: 18, 34, 50, 101 or 152.
        width: channels of a group, times 64 / planes.
        with_pool: average over the last picture.

    Raises:
        ArgumentError: another depth.
    """

    def __init__(
        self,
        block: Any,
        depth: int = 50,
        width: int = 64,
        num_classes: int = 1000,
        with_pool: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__()
        if depth not in _STAGES:
            raise ArgumentError(f"ResNet: depth {depth}; choose {', '.join(map(str, _STAGES))}")
        self.groups, self.base_width = groups, width
        self.num_classes, self.with_pool = num_classes, with_pool
        self.inplanes, self.dilation = 64, 1
        self.conv1 = nn.Conv2D(3, 64, 7, stride=2, padding=3, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2D(kernel_size=3, stride=2, padding=1)
        for stage, blocks in enumerate(_STAGES[depth]):
            self.add_sublayer(f"layer{stage + 1}", self._stage(block, 64 << stage, blocks, min(stage, 1) + 1))
        if with_pool:
            self.avgpool = nn.AdaptiveAvgPool2D((1, 1))
        if num_classes > 0:
            self.fc = nn.Linear(512 * block.expansion, num_classes)

    def _stage(self, block: Any, planes: int, blocks: int, stride: int) -> Layer:
        wide = planes * block.expansion
        shortcut = None
        if stride != 1 or self.inplanes != wide:
            shortcut = nn.Sequential(
                nn.Conv2D(self.inplanes, wide, 1, stride=stride, bias_attr=False), nn.BatchNorm2D(wide)
            )
        parts = [block(self.inplanes, planes, stride, shortcut, self.groups, self.base_width)]
        self.inplanes = wide
        more = {"groups": self.groups, "base_width": self.base_width}
        parts += [block(wide, planes, **more) for _ in range(1, blocks)]
        made: Layer = nn.Sequential(*parts)
        return made

    def forward(self, x: Any) -> Any:
        """Pictures -> scores."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        if self.with_pool:
            x = self.avgpool(x)
        return self.fc(ops.flatten(x, 1)) if self.num_classes > 0 else x


def _maker(name: str, depth: int, groups: int, width: int) -> Any:
    def make(pretrained: Any = False, **kwargs: Any) -> ResNet:
        block = BasicBlock if depth < 50 else BottleneckBlock
        made = ResNet(block, depth, **{"width": width, "groups": groups, **kwargs})
        return trained(made, pretrained, f"{name}.pdparams")

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"{name}; ``kwargs`` are :class:`ResNet`'s, ``pretrained`` also a file of weights."
    return make


globals().update({name: _maker(name, *options) for name, options in _NETWORKS.items()})
