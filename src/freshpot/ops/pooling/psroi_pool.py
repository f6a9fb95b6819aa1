"""Average pooling of regions of interest, each bin from channels of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient

_LEAST = 0.1  # a region is at least so wide and high, in pixels of X


class PSRoIPool(Operator):
    """Y[r, k, i, j] = mean of X's channel (k * group + i) * group + j over bin (i, j) of region r; 0 if it is empty.

    Shapes:   X: (N, output_dim * group^2, H, W), rois: (R, 5) of image number, x1, y1, x2, y2
              -> Y: (R, output_dim, group, group)
    Raises:   ShapeError for another number of channels or a region of an image that is not there; ArgumentError
              unless all arguments are greater than 0.
    Source:   Dai et al., R-FCN, 2016: the layer PSROIPooling
    """

    inputs = (Port("X", FLOAT, "* * * *"), Port("rois", FLOAT, "* 5"))
    outputs = (Port("Y"),)
    args = (
        Arg("spatial_scale", float, doc="pixels of X for a unit of the regions"),
        Arg("output_dim", int, doc="channels of Y"),
        Arg("group", int, doc="bins down and across"),
    )

    def setup(self) -> None:
        if min(self.spatial_scale, self.output_dim, self.group) <= 0:
            self.refuse(
                f"spatial_scale, output_dim and group must be greater than 0; got {self.spatial_scale}, "
                f"{self.output_dim}, {self.group}.",
                ArgumentError,
            )

    def check(self, X: Tensor, rois: Tensor, *_: Tensor) -> None:
        if X.shape[1] != self.output_dim * self.group**2:
            self.refuse(
                f"X must have output_dim * group * group = {self.output_dim * self.group**2} channels, "
                f"got {tuple(X.shape)}."
            )

    def infer(self, X: Tensor, rois: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (X.new_empty(rois.shape[0], self.output_dim, self.group, self.group),)

    def _bins(self, first: Tensor, last: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Start and end of the bins along a direction, (R, group)."""
        start = _rounded(first) * self.spatial_scale
        end = (_rounded(last) + 1) * self.spatial_scale
        step = (end - start).clamp(min=_LEAST) / self.group
        k = torch.arange(self.group, device=first.device, dtype=first.dtype)
        low = (k * step[:, None] + start[:, None]).floor().long().clamp(0, size)
        high = ((k + 1) * step[:, None] + start[:, None]).ceil().long().clamp(0, size)
        return low, torch.maximum(high, low)

    def _corners(self, X: Tensor, rois: Tensor) -> tuple[list[tuple[int, Tensor]], Tensor]:
        """Places in an integral image (N, C, H + 1, W + 1) with their signs, and each bin's number of pixels."""
        N, C, H, W = X.shape
        images = rois[:, 0].long()
        if len(images) and not 0 <= int(images.min()) <= int(images.max()) < N:
            self.refuse(f"a region names image {int(images.max())}, but X has {N}.")
        top, bottom = self._bins(rois[:, 2], rois[:, 4], H)
        left, right = self._bins(rois[:, 1], rois[:, 3], W)
        channels = torch.arange(C, device=X.device).view(1, self.output_dim, self.group, self.group)
        base = (images.view(-1, 1, 1, 1) * C + channels) * ((H + 1) * (W + 1))
        rows = [r[:, None, :, None] * (W + 1) for r in (top, bottom)]
        columns = [c[:, None, None, :] for c in (left, right)]
        places = [(1 if a == b else -1, base + rows[a] + columns[b]) for a in (0, 1) for b in (0, 1)]
        area = (bottom - top)[:, None, :, None] * (right - left)[:, None, None, :]
        return places, area.expand(len(rois), self.output_dim, self.group, self.group)

    def kernel(self, X: Tensor, rois: Tensor) -> Tensor:
        places, area = self._corners(X, rois)
        sums = torch.nn.functional.pad(X.double().cumsum(2).cumsum(3), (1, 0, 1, 0)).flatten()
        total = torch.stack([sign * sums[place] for sign, place in places]).sum(0)
        return (total / area.clamp(min=1)).to(X.dtype)

    @gradient("X rois dY -> dX")
    def backward(self, X: Tensor, rois: Tensor, dY: Tensor) -> Tensor:
        N, C, H, W = X.shape
        places, area = self._corners(X, rois)
        shares = torch.where(area > 0, dY / area.clamp(min=1), 0.0).double().flatten()
        steps = X.new_zeros(N * C * (H + 1) * (W + 1), dtype=torch.float64)
        for sign, place in places:
            steps.index_add_(0, place.flatten(), shares, alpha=sign)
        steps = steps.view(N, C, H + 1, W + 1).flip((2, 3)).cumsum(2).cumsum(3).flip((2, 3))
        return steps[:, :, 1:, 1:].to(X.dtype).contiguous()


def _rounded(edges: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero."""
    return torch.sign(edges) * (edges.abs() + 0.5).floor()
