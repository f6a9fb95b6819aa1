"""Pooling of rotated regions by interpolation."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("RoIAlignRotatedGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0)])]


class RoIAlignRotated(Operator):
    """Y[r, c, i, j] = mean of X interpolated at a grid of points in bin (i, j) of rotated region r.

    Shapes:   X: (N, C, H, W); RoIs: (R, 6) of image number, centre x, y, width, height, angle in degrees, or (R, 5)
              for one image -> Y: (R, C, pooled_h, pooled_w)
    Raises:   ArgumentError for no bins, or another order than NCHW; ShapeError if the inputs do not fit.
    Source:   caffe2/operators/roi_align_rotated_op.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT, "N C H W"), Port("RoIs", FLOAT, "R *"))
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    args = (
        Arg("order", str, "NCHW", "must be NCHW", choices=("NCHW",)),
        Arg("spatial_scale", float, 1.0, "pixels of X for a unit of the regions"),
        Arg("pooled_h", int, 1, "bins down"),
        Arg("pooled_w", int, 1, "bins across"),
        Arg("sampling_ratio", int, -1, "points in each direction of a bin; 0 or less: as many as pixels"),
        Arg("aligned", bool, False, "1: regions are shifted by half a pixel and may be smaller than one"),
    )
    gradient_rule: ClassVar[Any] = staticmethod(_rule)

    def setup(self) -> None:
        if self.pooled_h < 1 or self.pooled_w < 1:
            self.refuse(f"it needs at least one bin, got {self.pooled_h} x {self.pooled_w}.", ArgumentError)

    def check(self, X: Tensor, RoIs: Tensor, *_: Tensor) -> None:
        if RoIs.shape[1] not in (5, 6) or (RoIs.shape[1] == 5 and X.shape[0] != 1):
            self.refuse(f"RoIs must be (R, 6), or (R, 5) for one image; got {tuple(RoIs.shape)}.")

    def infer(self, X: Tensor, RoIs: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (X.new_empty(RoIs.shape[0], X.shape[1], self.pooled_h, self.pooled_w),)

    def regions(self, X: Tensor, RoIs: Tensor) -> list[tuple[int, Tensor]]:
        """For each region: number of its image, and (bins, H * W), how much each pixel counts in each bin."""
        found = []
        for row in RoIs.tolist():
            image = int(row[0]) if len(row) == 6 else 0
            if not 0 <= image < X.shape[0]:
                self.refuse(f"a region names image {image}, but X has {X.shape[0]}.")
            found.append((image, self._weights(row[-5:], X)))
        return found

    def _weights(self, region: list[float], X: Tensor) -> Tensor:
        shift = 0.5 if self.aligned else 0.0
        x0, y0 = (v * self.spatial_scale - shift for v in region[:2])
        width, height = (v * self.spatial_scale for v in region[2:4])
        if not self.aligned:
            width, height = max(width, 1.0), max(height, 1.0)
        angle = math.radians(region[4])
        v, down = self._places(height, self.pooled_h, X)
        u, across = self._places(width, self.pooled_w, X)
        v, u = torch.broadcast_tensors(v[:, None, :, None], u[None, :, None, :])
        x = u * math.cos(angle) + v * math.sin(angle) + x0
        y = v * math.cos(angle) - u * math.sin(angle) + y0
        return _interpolation(x.flatten(2).flatten(0, 1), y.flatten(2).flatten(0, 1), X) / max(
            down * across, 1
        )

    def _places(self, extent: float, bins: int, like: Tensor) -> tuple[Tensor, int]:
        """(bins, points) along a side, from the centre; and how many points a bin has."""
        step = extent / bins
        points = self.sampling_ratio if self.sampling_ratio > 0 else math.ceil(step)
        bin_of = torch.arange(bins, device=like.device, dtype=like.dtype)[:, None]
        point = torch.arange(points, device=like.device, dtype=like.dtype)
        return bin_of * step + (point + 0.5) * (step / max(points, 1)) - extent / 2, points

    def kernel(self, X: Tensor, RoIs: Tensor) -> Tensor:
        Y = self.infer(X, RoIs)[0]
        for r, (image, weights) in enumerate(self.regions(X, RoIs)):
            Y[r] = (X[image].flatten(1) @ weights.t()).view(Y.shape[1:])
        return Y


def _interpolation(x: Tensor, y: Tensor, X: Tensor) -> Tensor:
    """(bins, H * W): sums of the bilinear weights of each bin's points; none for points outside."""
    height, width = X.shape[2:]
    made = X.new_zeros(x.shape[0], height * width)
    share = ((x >= -1) & (x <= width) & (y >= -1) & (y <= height)).to(X.dtype)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.long(), y.long()
    right, below = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    fx, fy = x - left, y - top
    for row, column, weight in (
        (top, left, (1 - fy) * (1 - fx)),
        (top, right, (1 - fy) * fx),
        (below, left, fy * (1 - fx)),
        (below, right, fy * fx),
    ):
        made.scatter_add_(1, row * width + column, share * weight)
    return made


class RoIAlignRotatedGradient(RoIAlignRotated):
    """Gradient of RoIAlignRotated with respect to the images.

    Source:   caffe2/operators/roi_align_rotated_gradient_op.h
    """

    inputs = (*RoIAlignRotated.inputs, Port("dY", FLOAT, "R C * *"))
    outputs = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def infer(self, X: Tensor, RoIs: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)

    def kernel(self, X: Tensor, RoIs: Tensor, *rest: Tensor) -> Tensor:
        dX = torch.zeros_like(X)
        for r, (image, weights) in enumerate(self.regions(X, RoIs)):
            dX[image] += (rest[0][r].flatten(1) @ weights).view(X.shape[1:])
        return dX
