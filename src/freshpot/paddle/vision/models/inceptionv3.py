"""Inception V3 (Szegedy and others 2016)."""

from __future__ import annotations

import math
from typing import Any

from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.vision.models._parts import ConvNormActivation, nn, ops, trained

__all__ = ["InceptionV3", "inception_v3"]


class _Branches(Layer):
    """Convolutions by name, run in rows side by side, put behind each other.

    ``rows`` names the convolutions of each row; a tuple within a row: those, side by side.
    """

    rows: tuple[tuple[Any, ...], ...] = ()

    def _conv(self, name: str, into: int, out: int, kernel: Any, stride: int = 1, same: bool = True) -> None:
        padding: Any = 0
        if same and stride == 1 and kernel != 1:
            padding = tuple(k // 2 for k in kernel) if isinstance(kernel, tuple) else kernel // 2
        self.add_sublayer(name, ConvNormActivation(into, out, kernel, stride, padding))

    def _average(self, into: int, out: int) -> None:
        self.branch_pool = nn.AvgPool2D(kernel_size=3, stride=1, padding=1, exclusive=False)
        self._conv("branch_pool_conv", into, out, 1)

    def _halve(self) -> None:
        self.branch_pool = nn.MaxPool2D(kernel_size=3, stride=2)

    def _through(self, x: Any, row: tuple[Any, ...]) -> Any:
        for step in row:
            parts = step if isinstance(step, tuple) else (step,)
            made = [getattr(self, name)(x) for name in parts]
            x = made[0] if len(made) == 1 else ops.concat(made, axis=1)
        return x

    def forward(self, x: Any) -> Any:
        """(N, C, H, W) -> all rows' channels."""
        return ops.concat([self._through(x, row) for row in self.rows], axis=1)


class InceptionA(_Branches):
    """Windows of 1, 3 (twice) and 5."""

    rows = (
        ("branch1x1",),
        ("branch5x5_1", "branch5x5_2"),
        ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
        ("branch_pool", "branch_pool_conv"),
    )

    def __init__(self, into: int, pooled: int) -> None:
        super().__init__()
        self._conv("branch1x1", into, 64, 1)
        self._conv("branch5x5_1", into, 48, 1)
        self._conv("branch5x5_2", 48, 64, 5)
        self._conv("branch3x3dbl_1", into, 64, 1)
        self._conv("branch3x3dbl_2", 64, 96, 3)
        self._conv("branch3x3dbl_3", 96, 96, 3)
        self._average(into, pooled)


class InceptionB(_Branches):
    """To half the size, with windows of 3."""

    rows = (("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), ("branch_pool",))

    def __init__(self, into: int) -> None:
        super().__init__()
        self._conv("branch3x3", into, 384, 3, 2)
        self._conv("branch3x3dbl_1", into, 64, 1)
        self._conv("branch3x3dbl_2", 64, 96, 3)
        self._conv("branch3x3dbl_3", 96, 96, 3, 2)
        self._halve()


class InceptionC(_Branches):
    """Windows of 1 x 7 and 7 x 1."""

    rows = (
        ("branch1x1",),
        ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
        ("branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"),
        ("branch_pool", "branch_pool_conv"),
    )

    def __init__(self, into: int, within: int) -> None:
        super().__init__()
        self._conv("branch1x1", into, 192, 1)
        self._conv("branch7x7_1", into, within, 1)
        self._conv("branch7x7_2", within, within, (1, 7))
        self._conv("branch7x7_3", within, 192, (7, 1))
        self._conv("branch7x7dbl_1", into, within, 1)
        self._conv("branch7x7dbl_2", within, within, (7, 1))
        self._conv("branch7x7dbl_3", within, within, (1, 7))
        self._conv("branch7x7dbl_4", within, within, (7, 1))
        self._conv("branch7x7dbl_5", within, 192, (1, 7))
        self._average(into, 192)


class InceptionD(_Branches):
    """To half the size, with windows of 3 and 7."""

    rows = (
        ("branch3x3_1", "branch3x3_2"),
        ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"),
        ("branch_pool",),
    )

    def __init__(self, into: int) -> None:
        super().__init__()
        self._conv("branch3x3_1", into, 192, 1)
        self._conv("branch3x3_2", 192, 320, 3, 2)
        self._conv("branch7x7x3_1", into, 192, 1)
        self._conv("branch7x7x3_2", 192, 192, (1, 7))
        self._conv("branch7x7x3_3", 192, 192, (7, 1))
        self._conv("branch7x7x3_4", 192, 192, 3, 2)
        self._halve()


class InceptionE(_Branches):
    """Windows of 1 x 3 beside 3 x 1."""

    rows = (
        ("branch1x1",),
        ("branch3x3_1", ("branch3x3_2a", "branch3x3_2b")),
        ("branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")),
        ("branch_pool", "branch_pool_conv"),
    )

    def __init__(self, into: int) -> None:
        super().__init__()
        self._conv("branch1x1", into, 320, 1)
        self._conv("branch3x3_1", into, 384, 1)
        self._conv("branch3x3_2a", 384, 384, (1, 3))
        self._conv("branch3x3_2b", 384, 384, (3, 1))
        self._conv("branch3x3dbl_1", into, 448, 1)
        self._conv("branch3x3dbl_2", 448, 384, 3)
        self._conv("branch3x3dbl_3a", 384, 384, (1, 3))
        self._conv("branch3x3dbl_3b", 384, 384, (3, 1))
        self._average(into, 192)


class InceptionStem(_Branches):
    """The first convolutions and poolings: 299 x 299 becomes 35 x 35."""

    rows = (
        ("conv_1a_3x3", "conv_2a_3x3", "conv_2b_3x3", "max_pool", "conv_3b_1x1", "conv_4a_3x3", "max_pool"),
    )

    def __init__(self) -> None:
        super().__init__()
        self._conv("conv_1a_3x3", 3, 32, 3, 2)
        self._conv("conv_2a_3x3", 32, 32, 3, same=False)
        self._conv("conv_2b_3x3", 32, 64, 3)
        self.max_pool = nn.MaxPool2D(kernel_size=3, stride=2, padding=0)
        self._conv("conv_3b_1x1", 64, 80, 1)
        self._conv("conv_4a_3x3", 80, 192, 3, same=False)


class InceptionV3(Layer):
    """Eleven inceptions.

    Shapes: (N, 3, 299, 299) -> (N, num_classes); pictures of 75 x 75 and larger are taken.
    """

    def __init__(self, num_classes: int = 1000, with_pool: bool = True) -> None:
        super().__init__()
        self.num_classes, self.with_pool = num_classes, with_pool
        self.inception_stem = InceptionStem()
        self.inception_block_list = nn.LayerList(
            [
                *[InceptionA(into, pooled) for into, pooled in ((192, 32), (256, 64), (288, 64))],
                InceptionB(288),
                *[InceptionC(768, within) for within in (128, 160, 160, 192)],
                InceptionD(768),
                InceptionE(1280),
                InceptionE(2048),
            ]
        )
        if with_pool:
            self.avg_pool = nn.AdaptiveAvgPool2D(1)
        if num_classes > 0:
            bound = 1.0 / math.sqrt(2048)
            start = ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))
            self.dropout = nn.Dropout(0.2, mode="downscale_in_infer")
            self.fc = nn.Linear(2048, num_classes, weight_attr=start)

    def forward(self, x: Any) -> Any:
        """Pictures -> scores."""
        x = self.inception_stem(x)
        for block in self.inception_block_list:
            x = block(x)
        if self.with_pool:
            x = self.avg_pool(x)
        return self.fc(self.dropout(ops.reshape(x, [-1, 2048]))) if self.num_classes > 0 else x


def inception_v3(pretrained: Any = False, **kwargs: Any) -> InceptionV3:
    """Inception V3; ``pretrained`` may be a file of weights."""
    return trained(InceptionV3(**kwargs), pretrained, "inception_v3.pdparams")
