"""Regions of several sizes that cover an image."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

#: how many regions along the longer side are tried at the coarsest scale
_STEPS = range(2, 8)


class RMACRegions(Operator):
    """Squares of sides 2 * min(H, W) / (l + 1), l = 1 … scales, evenly laid over an image.

    The coarsest lie on the longer side so that neighbours overlap by about ``overlap``; each scale has one
    row and one column more.

    Shapes:   X: (N, C, H, W) -> RMAC_REGIONS: (R, 5) of image number, x1, y1, x2, y2
    Raises:   ShapeError if X has not 4 dimensions.
    Source:   caffe2/operators/rmac_regions_op.cc; Tolias et al., 2016
    """

    inputs = (Port("X", FLOAT, "* * * *"),)
    outputs = (Port("RMAC_REGIONS"),)
    args = (
        Arg("scales", int, 3, "number of scales"),
        Arg("overlap", float, 0.4, "wanted overlap of neighbours, part of their area"),
    )

    def kernel(self, X: Tensor) -> Tensor:
        N, _, H, W = X.shape
        regions = [[n, *box] for n in range(N) for box in self._boxes(H, W)]
        return torch.tensor(regions, dtype=X.dtype, device=X.device).reshape(-1, 5)

    def _boxes(self, H: int, W: int) -> list[list[int]]:
        short, extra = min(H, W), self._extra(H, W)
        boxes = []
        for scale in range(1, self.scales + 1):
            side = 2 * short // (scale + 1)
            across = _starts(W, side, scale + (extra if W > H else 0))
            down = _starts(H, side, scale + (extra if H > W else 0))
            boxes += [[x, y, x + side - 1, y + side - 1] for x, y in product(across, down)]
        return boxes

    def _extra(self, H: int, W: int) -> int:
        """Regions that the longer side has more than the shorter one."""
        short, gap = min(H, W), abs(H - W)
        if gap == 0 or short == 0:
            return 0
        misses = [abs((short - gap / (steps - 1)) / short - self.overlap) for steps in _STEPS]
        return misses.index(min(misses)) + 1


def _starts(size: int, side: int, count: int) -> list[int]:
    """Where ``count`` regions along a direction start."""
    step = (size - side) / (count - 1) if count > 1 else 0.0
    return [math.floor(k * step) for k in range(count)]
