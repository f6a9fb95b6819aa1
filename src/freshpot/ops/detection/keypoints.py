"""Keypoints where heat maps are greatest."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator

#: how far, in pixels, the summit may lie from the greatest pixel
_FARTHEST = 1.5


class HeatmapMaxKeypoint(Operator):
    """For each box and kind of keypoint: x, y, score and, if asked for, softmax of the heat map's summit.

    The summit is that of a parabola through the greatest pixel and its neighbours (mirrored at the border).

    Shapes:   heatmaps: (N, K, S, S) with S >= 2; boxes: (N, 4 or more) of x1, y1, x2, y2 -> keypoints: (N, 4, K)
    Raises:   ShapeError if they do not fit.
    Source:   caffe2/operators/heatmap_max_keypoint_op.cc
    """

    inputs = (Port("heatmaps", FLOAT, "N K S S"), Port("bboxes", FLOAT, "N *"))
    outputs = (Port("keypoints"),)
    args = (Arg("should_output_softmax", bool, False, "1: the last row has the softmax, else 0"),)
    no_gradient = "the original has none"

    def check(self, maps: Tensor, boxes: Tensor) -> None:
        if maps.shape[2] < 2 or boxes.shape[1] < 4:
            self.refuse("heat maps must be 2 x 2 at least, and boxes have 4 columns at least.")

    def infer(self, maps: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        return (maps.new_empty(len(maps), 4, maps.shape[1]),)

    def kernel(self, maps: Tensor, boxes: Tensor) -> Tensor:
        N, K, S, _ = maps.shape
        flat = maps.reshape(N, K, S * S)
        best, at = flat.max(2) if N * K else (flat.new_zeros(N, K), flat.new_zeros(N, K, dtype=torch.long))
        at = (flat == best[..., None]).to(torch.uint8).argmax(2) if N * K else at
        y, x = at // S, at % S
        rows = [_mirrored(y + step, S) for step in (-1, 0, 1)]
        columns = [_mirrored(x + step, S) for step in (-1, 0, 1)]
        f = [[flat.gather(2, (r * S + c)[..., None])[..., 0] for c in columns] for r in rows]
        slope = -(f[1][2] - f[1][0]) / 2, -(f[2][1] - f[0][1]) / 2
        xx = f[1][0] - 2 * f[1][1] + f[1][2]
        yy = f[0][1] - 2 * f[1][1] + f[2][1]
        xy = (f[2][2] - f[2][0] - f[0][2] + f[0][0]) / 4
        volume = xx * yy - xy * xy
        curved = volume.abs() >= 1e-4
        safe = torch.where(curved, volume, 1.0)
        dx = torch.where(curved, (yy * slope[0] - xy * slope[1]) / safe, 0.0)
        dy = torch.where(curved, (xx * slope[1] - xy * slope[0]) / safe, 0.0)
        far = torch.maximum(dx.abs(), dy.abs())
        shrink = torch.where(far > _FARTHEST, _FARTHEST / far.clamp(min=_FARTHEST), 1.0)
        dx, dy = dx * shrink, dy * shrink
        rise = (xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy) / 2 - slope[0] * dx - slope[1] * dy
        score = torch.where(curved, f[1][1] + rise, best)
        low, size = boxes[:, :2, None], (boxes[:, 2:4] - boxes[:, :2]).clamp(min=1.0)[..., None]
        place = torch.stack([x + 0.5 + dx, y + 0.5 + dy], 1) * size / S + low
        chance = torch.zeros_like(best)
        if self.should_output_softmax:
            chance = flat.softmax(2).gather(2, at[..., None])[..., 0]
        return torch.cat([place, score[:, None], chance[:, None]], 1)


def _mirrored(places: Tensor, size: int) -> Tensor:
    """Places one beyond a border, mirrored about the pixel before it."""
    return torch.where(places < 0, places + 2, torch.where(places >= size, places - 2, places))
