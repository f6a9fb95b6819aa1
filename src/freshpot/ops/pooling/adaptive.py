"""Pooling to a given size, with windows that may differ in size and overlap."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._derived import derive
from freshpot.ops._operator import Operator, gradient


class _Adaptive(Operator, abstract=True):
    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (Arg("sizes", [int], doc="size of Y in each dimension of space, pixels"),)
    functions: ClassVar[tuple[Any, ...]]

    def setup(self) -> None:
        if not 1 <= len(self.sizes) <= 3 or min(self.sizes) < 1:
            self.refuse(f"sizes must be 1 to 3 numbers greater than 0, got {self.sizes}.", ArgumentError)

    def check(self, X: Tensor) -> None:
        if X.dim() != len(self.sizes) + 2:
            self.refuse(f"X must have {len(self.sizes) + 2} dimensions, got {tuple(X.shape)}.")

    def kernel(self, X: Tensor) -> Tensor:
        return self.forwards(X)

    def forwards(self, X: Tensor) -> Tensor:
        """What the kernel computes; a gradient operator's kernel is another."""
        return self.functions[len(self.sizes) - 1](X, self.sizes)

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return derive(self.forwards, [X], [dY])[0]


class AdaptiveAveragePool(_Adaptive):
    """Y = the mean of the window [floor(i * size / size'), ceil((i + 1) * size / size')) for each i.

    Shapes:   X: (N, C, space) -> Y: (N, C, sizes); 1 to 3 dimensions of space
    Raises:   ShapeError for another number of dimensions.
    Source:   freshpot's own, for nets made of modules
    """

    functions = (
        functional.adaptive_avg_pool1d,
        functional.adaptive_avg_pool2d,
        functional.adaptive_avg_pool3d,
    )


class AdaptiveMaxPool(_Adaptive):
    """Y = the maximum of the window [floor(i * size / size'), ceil((i + 1) * size / size')) for each i.

    The gradient goes to the first of equal maxima.

    Shapes:   X: (N, C, space) -> Y: (N, C, sizes); 1 to 3 dimensions of space
    Raises:   ShapeError for another number of dimensions.
    Source:   freshpot's own, for nets made of modules
    """

    functions = (
        functional.adaptive_max_pool1d,
        functional.adaptive_max_pool2d,
        functional.adaptive_max_pool3d,
    )


class WindowMaxPool(Operator):
    """Y = the maximum of each window, whose pixels may lie apart; windows may stick out where sizes are rounded up.

    The gradient goes to the first of equal maxima.

    Shapes:   X: (N, C, space) -> Y: (N, C, space'); 1 to 3 dimensions of space
    Raises:   ArgumentError unless every list has one number a dimension; ShapeError for other dimensions.
    Source:   freshpot's own, for nets made of modules; MaxPool neither rounds up nor dilates
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("kernels", [int], doc="window size, pixels"),
        Arg("strides", [int], doc="distance of windows, pixels"),
        Arg("pads", [int], doc="margin at both ends, pixels"),
        Arg("dilations", [int], doc="distance of a window's pixels"),
        Arg("round_up", int, 0, "1: sizes that do not divide are rounded up"),
    )

    def setup(self) -> None:
        given = (self.kernels, self.strides, self.pads, self.dilations)
        if not 1 <= len(self.kernels) <= 3 or len({len(numbers) for numbers in given}) != 1:
            self.refuse(
                "kernels, strides, pads and dilations must have one number a dimension, 1 to 3.",
                ArgumentError,
            )

    def check(self, X: Tensor) -> None:
        if X.dim() != len(self.kernels) + 2:
            self.refuse(f"X must have {len(self.kernels) + 2} dimensions, got {tuple(X.shape)}.")

    def kernel(self, X: Tensor) -> Tensor:
        return self.forwards(X)

    def forwards(self, X: Tensor) -> Tensor:
        """What the kernel computes; a gradient operator's kernel is another."""
        function: Any = (torch.max_pool1d, torch.max_pool2d, torch.max_pool3d)[len(self.kernels) - 1]
        return function(X, self.kernels, self.strides, self.pads, self.dilations, bool(self.round_up))

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return derive(self.forwards, [X], [dY])[0]
