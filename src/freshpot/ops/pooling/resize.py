"""Resizing images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops._window import ORDER

_SCALES = (
    Arg("height_scale", float, 1.0, "new height / old height"),
    Arg("width_scale", float, 1.0, "new width / old width"),
)


def _gradient(g: GradientMaker) -> list[Op]:
    return [g.new(f"{g.op.type}Gradient", [g.GO(0), *g.op.inputs], [g.GI(0)])]


class _Resize(Operator, abstract=True):
    """What resizing operators share: scales, one a dimension, as arguments or as a second input."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT, "* * * *"), Port("scales", FLOAT, optional=True))
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    args: ClassVar[tuple[Arg, ...]] = (*_SCALES, ORDER)
    gradient_rule: ClassVar[Any] = staticmethod(_gradient)
    names: tuple[str, ...] = ("height_scale", "width_scale")

    def setup(self) -> None:
        self._scales = [getattr(self, name) for name in self.names]
        if not all(s > 0 for s in self._scales):
            self.refuse(f"scales must be greater than 0, got {self._scales}.", ArgumentError)
        self._sources: dict[tuple[object, ...], Tensor] = {}

    def check(self, X: Tensor, scales: Tensor | None = None) -> None:
        if scales is not None and tuple(scales.shape) != (len(self.names),):
            self.refuse(f"scales must have shape ({len(self.names)},), got {tuple(scales.shape)}.")

    def infer(self, *inputs: Tensor) -> Sequence[Tensor] | None:
        if any(tensor.dim() == 1 for tensor in inputs):
            return None  # the sizes are data
        return super().infer(*inputs)

    def channels_second(self, X: Tensor) -> Tensor:
        """X as (N, C, …), a view."""
        return X.movedim(-1, 1) if self.order == "NHWC" else X

    def in_order(self, Y: Tensor) -> Tensor:
        """(N, C, …) in the order the net asked for."""
        return Y.movedim(1, -1).contiguous() if self.order == "NHWC" else Y

    def scales_of(self, scales: Tensor | None) -> list[np.float32]:
        """The scales of this run."""
        values = self._scales if scales is None else scales.tolist()
        if not all(s > 0 for s in values):
            self.refuse("scales must be greater than 0.", ArgumentError)
        return [np.float32(s) for s in values]

    def _places(self, size: int, scale: np.float32, device: torch.device) -> Tensor:
        """For each new pixel along a dimension, the old one it is taken from."""
        key = (size, float(scale), device)
        if key not in self._sources:
            places = np.arange(int(np.float32(size) * scale), dtype=np.float32) / scale
            index = np.minimum(places.astype(np.int64), size - 1)
            self._sources[key] = torch.from_numpy(index).to(device)
        return self._sources[key]


class ResizeNearest(_Resize):
    """Y = X made larger or smaller, each pixel a copy of the old one at its place.

    Shapes:   X: (N, C, H, W) or (N, H, W, C), scales: (2,) for height and width -> Y: with H' = int(H * scale)
    Raises:   ArgumentError unless scales are greater than 0.
    Source:   caffe2/operators/resize_op.cc
    """

    def kernel(self, X: Tensor, scales: Tensor | None = None) -> Tensor:
        Y = self.channels_second(X)
        for dim, scale in enumerate(self.scales_of(scales), start=2):
            Y = Y.index_select(dim, self._places(Y.shape[dim], scale, Y.device))
        return self.in_order(Y)


class ResizeNearest3D(ResizeNearest):
    """ResizeNearest of images in time: X: (N, C, T, H, W). Source: caffe2/operators/resize_3d_op.cc"""

    inputs = (Port("X", FLOAT, "* * * * *"),)
    args = (
        Arg("temporal_scale", float, 1.0, "new length / old length"),
        *_SCALES,
        Arg("order", str, "NCHW", "layout of the images", choices=("NCHW",)),
    )
    names = ("temporal_scale", "height_scale", "width_scale")


class ResizeNearestGradient(_Resize):
    """Gradient of ResizeNearest: each old pixel gets the sum of its copies' gradients."""

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("dY", FLOAT, "* * * *"),
        Port("X", FLOAT, "* * * *"),
        Port("scales", FLOAT, optional=True),
    )
    outputs: ClassVar[tuple[Port, ...]] = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def check(self, dY: Tensor, X: Tensor, scales: Tensor | None = None) -> None:
        super().check(X, scales)
        if self.channels_second(dY).shape[:2] != self.channels_second(X).shape[:2]:
            self.refuse(f"dY {tuple(dY.shape)} must have batch and channels of X {tuple(X.shape)}.")

    def kernel(self, dY: Tensor, X: Tensor, scales: Tensor | None = None) -> Tensor:
        dX, images = self.channels_second(dY), self.channels_second(X)
        for dim, scale in enumerate(self.scales_of(scales), start=2):
            shape = list(dX.shape)
            shape[dim] = images.shape[dim]
            index = self._places(shape[dim], scale, dX.device)
            dX = dX.new_zeros(shape).index_add_(dim, index, dX)
        return self.in_order(dX)


class ResizeNearest3DGradient(ResizeNearestGradient):
    """Gradient of ResizeNearest3D."""

    inputs = (Port("dY", FLOAT, "* * * * *"), Port("X", FLOAT, "* * * * *"))
    args = ResizeNearest3D.args
    names = ResizeNearest3D.names


class UpsampleBilinear(_Resize):
    """Y = X interpolated between its pixels; corners stay corners.

    Shapes:   X: (N, C, H, W), scales: (2,) for height and width -> Y: (N, C, int(H * scale), int(W * scale))
    Raises:   ArgumentError unless scales are greater than 0.
    Source:   caffe2/operators/upsample_op.cc
    """

    args = (*_SCALES, Arg("order", str, "NCHW", "layout of the images", choices=("NCHW",)))

    def _size(self, X: Tensor, scales: Tensor | None) -> list[int]:
        sizes = zip(X.shape[2:], self.scales_of(scales), strict=True)
        return [int(np.float32(size) * scale) for size, scale in sizes]

    def kernel(self, X: Tensor, scales: Tensor | None = None) -> Tensor:
        return torch.ops.aten.upsample_bilinear2d(X.contiguous(), self._size(X, scales), True)


class UpsampleBilinearGradient(UpsampleBilinear):
    """Gradient of UpsampleBilinear."""

    inputs = ResizeNearestGradient.inputs
    outputs = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def setup(self) -> None:
        super().setup()
        if self.num_inputs < 2:
            self.refuse("it takes the gradient of Y, and X.", ArityError)

    def check(self, dY: Tensor, X: Tensor, scales: Tensor | None = None) -> None:
        super().check(X, scales)
        if dY.shape[:2] != X.shape[:2]:
            self.refuse(f"dY {tuple(dY.shape)} must have batch and channels of X {tuple(X.shape)}.")

    def kernel(self, dY: Tensor, X: Tensor, scales: Tensor | None = None) -> Tensor:
        size = list(dY.shape[2:])
        return torch.ops.aten.upsample_bilinear2d_backward(dY.contiguous(), size, list(X.shape), True)
