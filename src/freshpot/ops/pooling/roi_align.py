"""Pooling of regions of interest by interpolation."""

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
from freshpot.ops._window import ORDER


def _gradient(g: GradientMaker) -> list[Op]:
    return [g.new("RoIAlignGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0)])]


class RoIAlign(Operator):
    """Y[r, c, i, j] = mean of X interpolated at a grid of points in bin (i, j) of region r.

    Interpolation is bilinear, so the bins of a region are ``rows @ image @ columns^T`` with one matrix
    of weights for each direction.

    Shapes:   X: (N, C, H, W) or (N, H, W, C); RoIs: (R, 5) of image number, x1, y1, x2, y2, or (R, 4)
              for one image -> Y: (R, C, pooled_h, pooled_w) or (R, pooled_h, pooled_w, C)
    Raises:   ShapeError if they do not fit; ArgumentError if pooled_h or pooled_w is less than 1.
    Source:   caffe2/operators/roi_align_op.cc; He et al., 2017
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT, "* * * *"), Port("RoIs", FLOAT, "* *"))
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    args: ClassVar[tuple[Arg, ...]] = (
        ORDER,
        Arg("spatial_scale", float, 1.0, "pixels of X for a unit of the regions"),
        Arg("pooled_h", int, 1, "bins down"),
        Arg("pooled_w", int, 1, "bins across"),
        Arg("sampling_ratio", int, -1, "points in each direction of a bin; 0 or less: as many as pixels"),
        Arg("aligned", bool, False, "True: regions are shifted by half a pixel and may be smaller than one"),
    )
    gradient_rule: ClassVar[Any] = staticmethod(_gradient)

    def setup(self) -> None:
        if self.pooled_h < 1 or self.pooled_w < 1:
            self.refuse(f"it needs at least one bin, got {self.pooled_h} x {self.pooled_w}.", ArgumentError)
        self.nhwc = self.order == "NHWC"

    def check(self, X: Tensor, RoIs: Tensor, *others: Tensor) -> None:
        if RoIs.shape[1] not in (4, 5):
            self.refuse(f"RoIs must have 4 or 5 columns, got {tuple(RoIs.shape)}.")
        if RoIs.shape[1] == 4 and X.shape[0] != 1:
            self.refuse(f"RoIs of 4 columns go with one image, got X {tuple(X.shape)}.")

    def infer(self, X: Tensor, RoIs: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        C = X.shape[3 if self.nhwc else 1]
        bins = (self.pooled_h, self.pooled_w)
        return (X.new_empty((RoIs.shape[0], *bins, C) if self.nhwc else (RoIs.shape[0], C, *bins)),)

    def regions(self, X: Tensor, RoIs: Tensor) -> list[tuple[int, Tensor, Tensor]]:
        """For each region: number of its image (N, C, H, W), weights of rows and of columns."""
        found = []
        for row in RoIs.tolist():
            image = int(row[0]) if len(row) == 5 else 0
            if not 0 <= image < X.shape[0]:
                self.refuse(f"a region names image {image}, but X has {X.shape[0]}.")
            x1, y1, x2, y2 = row[-4:]
            rows = self._weights(y1, y2, self.pooled_h, X.shape[2], X)
            columns = self._weights(x1, x2, self.pooled_w, X.shape[3], X)
            found.append((image, rows, columns))
        return found

    def _weights(self, first: float, last: float, bins: int, size: int, like: Tensor) -> Tensor:
        """(bins, size): how much each pixel along a direction counts in each bin."""
        offset = 0.5 if self.aligned else 0.0
        start = first * self.spatial_scale - offset
        extent = last * self.spatial_scale - offset - start
        step = (extent if self.aligned else max(extent, 1.0)) / bins
        points = self.sampling_ratio if self.sampling_ratio > 0 else math.ceil(step)
        weights = like.new_zeros(bins, size)
        if points < 1 or size < 1:
            return weights
        bin_of = torch.arange(bins, device=like.device, dtype=like.dtype)[:, None]
        point = torch.arange(points, device=like.device, dtype=like.dtype)[None]
        places = start + bin_of * step + (point + 0.5) * (step / points)
        share = ((places >= -1.0) & (places <= size)).to(like.dtype).div_(points)
        places = places.clamp(0.0, size - 1.0)
        low = places.long()
        part = places - low
        weights.scatter_add_(1, low, share * (1.0 - part))
        weights.scatter_add_(1, (low + 1).clamp_(max=size - 1), share * part)
        return weights

    def kernel(self, X: Tensor, RoIs: Tensor) -> Tensor:
        images = X.movedim(-1, 1) if self.nhwc else X
        Y = images.new_empty(RoIs.shape[0], images.shape[1], self.pooled_h, self.pooled_w)
        for r, (image, rows, columns) in enumerate(self.regions(images, RoIs)):
            Y[r] = rows @ images[image] @ columns.t()
        return Y.movedim(1, -1).contiguous() if self.nhwc else Y


class RoIAlignGradient(RoIAlign):
    """Gradient of RoIAlign with respect to the images.

    Under order NHWC this is the original's answer, not the mathematical one: its gradient operator knows
    no order and takes all memory for NCHW.

    Differs:  where the original then reads past the end of dY, there are zeros.
    Source:   caffe2/operators/roi_align_gradient_op.cc
    """

    inputs = (*RoIAlign.inputs, Port("dY", FLOAT, "* * * *"))
    outputs = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, RoIs: Tensor, *others: Tensor) -> None:
        super().check(X, RoIs)
        wanted = RoIAlign.infer(self, X, RoIs)[0].shape
        if others[0].shape != wanted:
            self.refuse(f"dY must be {tuple(wanted)}, got {tuple(others[0].shape)}.")

    def infer(self, X: Tensor, RoIs: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)

    def kernel(self, X: Tensor, RoIs: Tensor, dY: Tensor) -> Tensor:
        dX = X.new_zeros(X.shape)
        dY = self._as_read(X, RoIs, dY)
        for r, (image, rows, columns) in enumerate(self.regions(X, RoIs)):
            dX[image] += rows.t() @ dY[r] @ columns
        return dX

    def _as_read(self, X: Tensor, RoIs: Tensor, dY: Tensor) -> Tensor:
        """dY as (R, C, pooled_h, pooled_w), C the second dimension of X whatever the order."""
        shape = (RoIs.shape[0], X.shape[1], self.pooled_h, self.pooled_w)
        if tuple(dY.shape) == shape:
            return dY
        read = dY.new_zeros(shape)
        count = min(read.numel(), dY.numel())
        read.view(-1)[:count] = dY.reshape(-1)[:count]
        return read
