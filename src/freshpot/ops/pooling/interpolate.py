"""Resizing to any size, in all the ways that PyTorch has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._derived import derive
from freshpot.ops._operator import Operator, gradient

_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear")


class Interpolate(Operator):
    """Y = X made larger or smaller.

    Shapes:   X: (N, C, space) -> Y: (N, C, sizes); 1 to 3 dimensions of space
    Raises:   ArgumentError for another mode, or unless sizes are greater than 0; ShapeError for other dimensions.
    Source:   freshpot's own, for nets made of modules
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("sizes", [int], doc="size of Y in each dimension of space, pixels"),
        Arg("mode", str, "nearest", f"one of {', '.join(_MODES)}"),
        Arg("align_corners", int, 0, "1: the corners' pixels keep their places, not the outer edges"),
        Arg("scales", [float], [], "the factors, where places follow from them rather than from the sizes"),
    )

    def setup(self) -> None:
        if self.mode not in _MODES:
            self.refuse(
                f"argument 'mode' must be one of {', '.join(_MODES)}; got '{self.mode}'.", ArgumentError
            )
        if not 1 <= len(self.sizes) <= 3 or min(self.sizes) < 1:
            self.refuse(f"sizes must be 1 to 3 numbers greater than 0, got {self.sizes}.", ArgumentError)

    def check(self, X: Tensor) -> None:
        if X.dim() != len(self.sizes) + 2:
            self.refuse(f"X must have {len(self.sizes) + 2} dimensions, got {tuple(X.shape)}.")

    def infer(self, X: Tensor) -> tuple[Tensor, ...]:
        """From the sizes alone."""
        return (torch.empty((*X.shape[:2], *self.sizes), dtype=X.dtype, device="meta"),)

    def kernel(self, X: Tensor) -> Tensor:
        return self.forwards(X)

    def forwards(self, X: Tensor) -> Tensor:
        """What the kernel computes; a gradient operator's kernel is another."""
        given: dict[str, Any] = {"size": self.sizes}
        if self.scales:
            given = {"scale_factor": self.scales, "recompute_scale_factor": False}
        if not self.mode.startswith("nearest"):
            given["align_corners"] = bool(self.align_corners)
        return functional.interpolate(X, mode=self.mode, **given)

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return derive(self.forwards, [X], [dY])[0]
