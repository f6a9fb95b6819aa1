"""Pooling as Caffe has it: windows that hang over the edge are clipped, the number of windows is rounded up.

Owned here: Caffe's window rule, max and average pooling by it. The rule: ceil((size + 2 pad - kernel) /
stride) + 1 windows (floor on request), less the last one if it starts beyond image and padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Call, Operator, gradient
from freshpot.ops._window import Layout, channels_last, fitted, is_batch_last, unfitted
from freshpot.ops.pooling._pool import native_way

_ATEN = torch.ops.aten
#: what a maximum over nothing is
_LOWEST = torch.finfo(torch.float32).min


@dataclass(frozen=True, slots=True)
class Fit:
    """How windows lie on images of one size, and the window as ATen's pooling is given it.

    ``plain``: ATen has the same windows of itself. Where it has not (it knows no windows without pixels,
    and no padding of more than half a kernel), the image is padded first so that the windows fit exactly.
    """

    layout: Layout
    kernels: list[int]
    strides: list[int]
    pads: list[int]
    plain: bool

    @property
    def aten(self) -> tuple[list[int], list[int], list[int]]:
        """Kernel, stride and padding for ATen."""
        return self.kernels, self.strides, self.pads

    def image(self, X: Tensor, value: float) -> Tensor:
        """X as ATen's pooling wants it, padded with ``value`` if it must be."""
        return channels_last(X if self.plain else fitted(X, self.layout, self.kernels, self.strides, value))

    def native(self, X: Tensor) -> tuple[Any, Any] | None:
        """The module of machine code for X as it lies in memory, and the sizes; None: ATen does it."""
        if any(self.layout.heads):
            return None
        return native_way(X, self.kernels, self.strides, self.layout.outputs)

    def unimage(self, dX: Tensor) -> Tensor:
        """The gradient of ``image``."""
        return dX if self.plain else unfitted(dX, self.layout, self.kernels, self.strides)


class CaffePooling(Operator, abstract=True):
    """Base: two-dimensional windows over (N, C, H, W)."""

    #: False: always pad the image first
    knows_plain = True

    inputs = (Port("X", FLOAT, "* * * *"),)
    args = (
        Arg("kernels", [int], [], "window height and width, pixels"),
        Arg("strides", [int], [1, 1], "vertical and horizontal step, pixels"),
        Arg("pads", [int], [0, 0], "padding above and below, left and right, pixels"),
        Arg("global_pooling", int, 0, "1: one window over all of the image, whatever its size"),
        Arg("round_up", int, 1, "1: a last window may hang over the edge; 0: windows that do are left out"),
    )

    def setup(self) -> None:
        self._fits: dict[tuple[int, ...], Fit] = {}
        self._up = bool(self.round_up)
        if self.global_pooling:
            return
        if len(self.kernels) != 2 or min(self.kernels) < 1 or min(self.strides) < 1:
            self.refuse(
                f"kernel and stride must be at least 1, got {self.kernels}, {self.strides}.", ArgumentError
            )
        if any(p and p >= k for p, k in zip(self.pads, self.kernels, strict=True)):
            self.refuse(f"padding {self.pads} must be less than the kernel {self.kernels}.", ArgumentError)

    def fit(self, X: Tensor) -> Fit:
        """How the windows lie on X; refuses an image that is too small for any."""
        sizes = tuple(X.shape[2:])
        if sizes not in self._fits:
            self._fits[sizes] = self._fit(sizes)
        return self._fits[sizes]

    def _fit(self, sizes: tuple[int, ...]) -> Fit:
        kernels = list(sizes) if self.global_pooling else self.kernels
        outputs = []
        for size, kernel, stride, pad in zip(sizes, kernels, self.strides, self.pads, strict=True):
            room = size + 2 * pad - kernel
            count = (-(-room // stride) if self.round_up else room // stride) + 1
            if any(self.pads) and (count - 1) * stride >= size + pad:
                count -= 1
            if count < 1:
                self.refuse(
                    f"a window of {kernels} with padding {self.pads} does not fit an image of {list(sizes)}."
                )
            outputs.append(count)
        layout = Layout(sizes, tuple(self.pads), tuple(self.pads), tuple(outputs))
        rows = zip(sizes, outputs, kernels, self.strides, self.pads, strict=True)
        plain = self.knows_plain and all(
            2 * p <= k and (count - 1) * s < size + p for size, count, k, s, p in rows
        )
        return Fit(layout, kernels, self.strides, self.pads if plain else [0, 0], plain)

    def check(self, X: Tensor, *_: Tensor) -> None:
        self.fit(X)

    def infer(self, X: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        """From the sizes alone, as a convolution does it and for the same reason."""
        shape = (*X.shape[:2], *self.fit(X).layout.outputs)
        types = (X.dtype, torch.int64, torch.float32)[: self.num_outputs]
        return tuple(torch.empty(shape, dtype=dtype, device="meta") for dtype in types)


def scattered(g: GradientMaker) -> list[Op]:
    """The rule of poolings that pick a pixel: ``<type>Gradient(X, index, dY) -> dX``."""
    return [g.new(f"{g.op.type}Gradient", [g.I(0), g.O(1), g.GO(0)], [g.GI(0)])]


_NARROW = Arg(
    "narrow", int, 0, "1: the index is for the gradient alone, and may be uint8: where in the window"
)


class CaffeMaxPool(CaffePooling):
    """Y[n, c, i] = the largest of X[n, c] in window i; of equal ones the first gets the gradient.

    Shapes:   X: (N, C, H, W) -> Y; index (int64: where in the padded image; see `narrow`), mask (float32: where in
              the image, row by row): as Y
    Raises:   ShapeError if no window fits; ArgumentError for windows that make no sense.
    Differs:  from MaxPool of Caffe2 in the rule for windows at the edge, and in ties. A window without
              pixels has mask 0 and no gradient; the original writes outside its memory there.
    Source:   caffe/layers/pooling_layer.cpp
    """

    args = (*CaffePooling.args, _NARROW)
    outputs = (Port("Y"), Port("index", optional=True), Port("mask", optional=True))
    gradient_rule = staticmethod(scattered)

    def kernel(self, X: Tensor) -> tuple[Tensor, ...]:
        fit = self.fit(X)
        if self.num_outputs < 3 and (way := fit.native(X)) is not None:
            return way[0].forward_with_index(way[1], X, bool(self.narrow))
        image = fit.image(X, _LOWEST)
        Y, index = _ATEN.max_pool2d_with_indices(image, *fit.aten, [1, 1], self._up)
        return (Y, index) if self.num_outputs < 3 else (Y, index, _mask(index, image.shape[3], fit))

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if len(outputs) != 2 or (way := self.fit(inputs[0]).native(inputs[0])) is None:
            return None
        return way[0].forward_with_index_calls(way[1], inputs[0], *outputs)


def _mask(index: Tensor, width: int, fit: Fit) -> Tensor:
    """Places in an image that was perhaps padded, as places in the original, in float32."""
    if not fit.plain:
        top, left = fit.layout.heads
        rows, columns = index.div(width, rounding_mode="floor") - top, index.remainder(width) - left
        index = (rows * fit.layout.sizes[1] + columns).clamp_(min=0)
    return index.to(torch.float32).contiguous()


class Scatter(CaffePooling, abstract=True):
    """Base of the gradients of poolings that pick a pixel."""

    inputs = (Port("X", FLOAT, "* * * *"), Port("index"), Port("dY", FLOAT, "* * * *"))
    outputs = (Port("dX"),)
    no_gradient = "it is itself a gradient"

    def infer(self, X: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty(X.shape, dtype=X.dtype, device="meta"),)

    def kernel(self, X: Tensor, index: Tensor, dY: Tensor) -> Tensor:
        fit = self.fit(X)
        image = fit.image(X, _LOWEST)
        if image.is_contiguous(memory_format=torch.channels_last):
            dY, index = (t.contiguous(memory_format=torch.channels_last) for t in (dY, index))
        dX = _ATEN.max_pool2d_with_indices_backward(dY, image, *fit.aten, [1, 1], self._up, index)
        return fit.unimage(dX)


class CaffeMaxPoolGradient(Scatter):
    """dX: every window's dY goes to the pixel that was its maximum. Source: caffe/layers/pooling_layer.cpp"""

    args = (*CaffePooling.args, _NARROW)

    def kernel(self, X: Tensor, index: Tensor, dY: Tensor) -> Tensor:
        fit = self.fit(X)
        way = fit.native(X)
        if index.dtype is torch.uint8 and not (way and is_batch_last(X)):  # X was laid out anew meanwhile
            index = _widened(index, X.shape[3], fit)
        if way is None:
            return super().kernel(X, index, dY)
        return way[0].backward_by_index(way[1], X, index, dY)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        X, index, dY = inputs
        way = self.fit(X).native(X)
        if way is None or (index.dtype is torch.uint8 and not is_batch_last(X)):
            return None
        return way[0].backward_by_index_calls(way[1], index, dY, outputs[0])


def _widened(index: Tensor, width: int, fit: Fit) -> Tensor:
    """Places in windows, as places in the image (they all lie on it), in the order of their indices."""
    index = index.to(torch.int64, memory_format=torch.contiguous_format)
    rows, columns = (
        torch.arange(count)[:, None] * stride
        for count, stride in zip(fit.layout.outputs, fit.strides, strict=True)
    )
    within = index.div(fit.kernels[1], rounding_mode="floor") * width + index.remainder(fit.kernels[1])
    return within + rows * width + columns.T


class CaffeAveragePool(CaffePooling):
    """Y[n, c, i] = the sum of X[n, c] in window i / the window's size, clipped to image and padding.

    Shapes:   X: (N, C, H, W) -> Y: (N, C, H', W')
    Raises:   ShapeError if no window fits; ArgumentError for windows that make no sense.
    Differs:  from AveragePool of Caffe2 in what a window counts. A window without pixels gives 0.
    Source:   caffe/layers/pooling_layer.cpp
    """

    outputs = (Port("Y"),)

    def _share(self, fit: Fit, like: Tensor) -> Tensor:
        """1 / window size, (1, 1, H', W')."""
        counts = []
        rows = zip(fit.layout.sizes, fit.layout.outputs, fit.kernels, fit.strides, self.pads, strict=True)
        for size, count, kernel, stride, pad in rows:
            first = torch.arange(count, device=like.device) * stride - pad
            counts.append((first + kernel).clamp(max=size + pad) - first)
        grid = counts[0].unsqueeze(-1) * counts[1]
        return 1.0 / grid.clamp(min=1).to(like.dtype)[None, None]

    def kernel(self, X: Tensor) -> Tensor:
        fit = self.fit(X)
        image = fit.image(X, 0.0)
        if fit.plain:
            return _ATEN.avg_pool2d(image, *fit.aten, self._up, True)
        return _ATEN.avg_pool2d(image, *fit.aten, False, True, 1).mul_(self._share(fit, X))

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        fit = self.fit(X)
        image = fit.image(X, 0.0)
        if fit.plain:
            return _ATEN.avg_pool2d_backward(channels_last(dY), image, *fit.aten, self._up, True, None)
        dY = channels_last(dY * self._share(fit, dY))
        return fit.unimage(_ATEN.avg_pool2d_backward(dY, image, *fit.aten, False, True, 1))
