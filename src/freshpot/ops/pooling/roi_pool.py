"""Max pooling of regions of interest."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import same_name_rule
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator

_ARGS = (
    Arg("spatial_scale", float, 1.0, "pixels of X for a unit of the regions"),
    Arg("pooled_h", int, 1, "bins down"),
    Arg("pooled_w", int, 1, "bins across"),
    Arg("order", str, "NCHW", "layout of the images", choices=("NCHW",)),
)


class RoIPool(Operator):
    """Y[r, c, i, j] = largest pixel of X in bin (i, j) of region r, whose corners are rounded to pixels.

    Shapes:   X: (N, C, H, W), rois: (R, 5) of image number, x1, y1, x2, y2 -> Y: (R, C, pooled_h, pooled_w),
              argmaxes (int32): as Y, row * W + column of the maximum, -1 for an empty bin
    Raises:   ShapeError if they do not fit; ArgumentError for bins or a scale not greater than 0;
              ArityError unless there are 2 outputs (1 if is_test).
    Source:   caffe2/operators/roi_pool_op.cc; Girshick, 2015
    """

    inputs = (Port("X", FLOAT, "* * * *"), Port("rois", FLOAT, "* 5"))
    outputs = (Port("Y"), Port("argmaxes", optional=True))
    args = (*_ARGS, Arg("is_test", int, 0, "1: no argmaxes"))
    gradient_rule = staticmethod(
        same_name_rule("RoIPoolGradient", "X rois argmaxes dY", "dX", (["X", "rois"], ["Y", "argmaxes"]))
    )

    def setup(self) -> None:
        if self.pooled_h < 1 or self.pooled_w < 1 or self.spatial_scale <= 0:
            self.refuse(
                f"pooled_h, pooled_w and spatial_scale must be greater than 0;"
                f" got {self.pooled_h}, {self.pooled_w}, {self.spatial_scale}.",
                ArgumentError,
            )
        wanted = 1 if self.is_test else 2
        if self.num_outputs != wanted:
            self.refuse(
                f"with is_test={self.is_test} it makes {wanted} outputs, got {self.num_outputs}.", ArityError
            )

    def infer(self, X: Tensor, rois: Tensor) -> tuple[Tensor, ...]:
        Y = X.new_empty(rois.shape[0], X.shape[1], self.pooled_h, self.pooled_w)
        return Y, Y.to(torch.int32)

    def kernel(self, X: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
        W = X.shape[3]
        Y = X.new_zeros(rois.shape[0], X.shape[1], self.pooled_h, self.pooled_w)
        where = torch.full_like(Y, -1, dtype=torch.int32)
        for r, row in enumerate(rois.tolist()):
            image = int(row[0])
            if not 0 <= image < X.shape[0]:
                self.refuse(f"a region names image {image}, but X has {X.shape[0]}.")
            for i, top, bottom in self._bins(row[2], row[4], self.pooled_h, X.shape[2]):
                for j, left, right in self._bins(row[1], row[3], self.pooled_w, W):
                    largest, index = X[image, :, top:bottom, left:right].flatten(1).max(1)
                    Y[r, :, i, j] = largest
                    width = right - left
                    where[r, :, i, j] = (index // width + top) * W + index % width + left
        return Y, where

    def _bins(self, first: float, last: float, bins: int, size: int) -> Iterator[tuple[int, int, int]]:
        """Number, start and end of the bins along a direction that are not empty."""
        start, end = (_round(edge * self.spatial_scale) for edge in (first, last))
        step = max(end - start + 1, 1) / bins
        for k in range(bins):
            low = min(max(math.floor(k * step) + start, 0), size)
            high = min(max(math.ceil((k + 1) * step) + start, 0), size)
            if high > low:
                yield k, low, high


class RoIPoolGradient(Operator):
    """Gradient of RoIPool: dY goes where the maxima were.

    Differs:  it runs on every device; the original has it for GPUs only.
    """

    inputs = (
        Port("X", FLOAT, "* * * *"),
        Port("rois", FLOAT, "* 5"),
        Port("argmaxes", INT, "* * * *"),
        Port("dY", FLOAT, "* * * *"),
    )
    outputs = (Port("dX"),)
    args = _ARGS
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, rois: Tensor, argmaxes: Tensor, dY: Tensor) -> None:
        if argmaxes.shape != dY.shape or dY.shape[:2] != (rois.shape[0], X.shape[1]):
            self.refuse(
                f"argmaxes {tuple(argmaxes.shape)} and dY {tuple(dY.shape)} must be as pooled from X."
            )

    def kernel(self, X: Tensor, rois: Tensor, argmaxes: Tensor, dY: Tensor) -> Tensor:
        dX = X.new_zeros(X.shape)
        places = argmaxes.flatten(2).long()
        shares = torch.where(places >= 0, dY.flatten(2), 0.0)
        for r, image in enumerate(rois[:, 0].tolist()):
            dX[int(image)].flatten(1).scatter_add_(1, places[r].clamp(min=0), shares[r])
        return dX


def _round(value: float) -> int:
    """To the nearest whole number, halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)
