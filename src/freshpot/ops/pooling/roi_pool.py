"""Max pooling of regions of interest."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import same_name_rule
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator

#: a number that is not greater than this, or no number, is no maximum
_LEAST = torch.finfo(torch.float32).min

#: so many bins are read at a time, that what is between stays near the processor
_AT_ONCE = 256

_ARGS = (
    Arg("spatial_scale", float, 1.0, "pixels of X for a unit of the regions"),
    Arg("pooled_h", int, 1, "bins down"),
    Arg("pooled_w", int, 1, "bins across"),
    Arg("order", str, "NCHW", "layout of the images", choices=("NCHW",)),
)


class RoIPool(Operator):
    """Y[r, c, i, j] = largest pixel of X in bin (i, j) of region r, whose corners are rounded to pixels.

    Shapes:   X: (N, C, H, W), rois: (R, 5) of image number, x1, y1, x2, y2 -> Y: (R, C, pooled_h, pooled_w),
              argmaxes (int32): as Y, row * W + column of the maximum, -1 for a bin that is empty
              or holds no number (there Y is 0, and the lowest float32)
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
        N, C, H, W = X.shape
        images = rois[:, 0].long()
        if len(images) and not 0 <= int(images.min()) <= int(images.max()) < N:
            strange = images[(images < 0) | (images >= N)]
            self.refuse(f"a region names image {int(strange[0])}, but X has {N}.")
        top, bottom = self._bins(rois[:, 2], rois[:, 4], self.pooled_h, H)
        left, right = self._bins(rois[:, 1], rois[:, 3], self.pooled_w, W)
        shape = (len(rois), self.pooled_h, self.pooled_w)
        image, top, bottom, left, right = (
            edge.expand(shape).flatten()
            for edge in (
                images[:, None, None],
                top[:, :, None],
                bottom[:, :, None],
                left[:, None],
                right[:, None],
            )
        )
        Y = X.new_zeros(len(image), C)
        where = torch.full((len(image), C), -1, dtype=torch.int32, device=X.device)
        tall, wide = _power(bottom - top), _power(right - left)
        filled = ((bottom > top) & (right > left)).nonzero()[:, 0]
        for a, b, windows in _windows(_keys(X), tall[filled], wide[filled]):
            for bins in filled[(tall[filled] == a) & (wide[filled] == b)].split(_AT_ONCE):
                first, row = image[bins] * H * W, (top[bins], bottom[bins] - (1 << a))
                column = (left[bins], right[bins] - (1 << b))
                corners = (first + row[i] * W + column[j] for i in (0, 1) for j in (0, 1))
                keys = functools.reduce(torch.maximum, (windows[corner] for corner in corners))
                Y[bins] = values = _ordered((keys >> 32).int()).view(torch.float32)
                where[bins] = (H * W - (keys & 0xFFFFFFFF)).int().masked_fill_(values == _LEAST, -1)
        Y, where = (t.view(*shape, C).permute(0, 3, 1, 2).contiguous() for t in (Y, where))
        return Y, where

    def _bins(self, first: Tensor, last: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
        """Start and end of the bins along a direction, (R, bins), in the precision of the regions."""
        start, end = (_rounded(edge * self.spatial_scale) for edge in (first, last))
        step = (end - start + 1).clamp(min=1)[:, None] / bins
        k = torch.arange(bins, device=first.device, dtype=first.dtype)
        low = ((k * step).floor() + start[:, None]).long().clamp(0, size)
        high = (((k + 1) * step).ceil() + start[:, None]).long().clamp(0, size)
        return low, high


def _keys(X: Tensor) -> Tensor:
    """(N, H, W, C) whole numbers in the order of X's: those of equal pixels fall from place to place in the image."""
    H, W = X.shape[2:]
    numbers = X.nan_to_num(_LEAST, math.inf, _LEAST).permute(0, 2, 3, 1).contiguous() + 0.0  # no -0
    backwards = torch.arange(H * W, 0, -1, device=X.device).view(1, H, W, 1)
    return (_ordered(numbers.view(torch.int32)).long() << 32) | backwards


def _windows(keys: Tensor, tall: Tensor, wide: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """For each pair (a, b) of powers of 2 that is asked for: the maxima of all windows of 2^a x 2^b pixels.

    A bin is covered by four such windows that begin and end where it does. Maxima are (N * H * W, C), by the window's
    first pixel; those of windows that leave the image mean nothing.
    """
    pairs = set(zip(tall.tolist(), wide.tolist(), strict=True))
    for a in range(max((a for a, _ in pairs), default=-1) + 1):
        keys = _widened(keys, 1, 1 << (a - 1)) if a else keys
        row = keys
        for b in range(max((b for high, b in pairs if high == a), default=-1) + 1):
            row = _widened(row, 2, 1 << (b - 1)) if b else row
            if (a, b) in pairs:
                yield a, b, row.reshape(-1, keys.shape[3])


def _widened(windows: Tensor, axis: int, by: int) -> Tensor:
    """Windows twice as long along an axis: the larger of each and its neighbour."""
    made = windows.clone()
    size = windows.shape[axis] - by
    torch.maximum(
        windows.narrow(axis, 0, size), windows.narrow(axis, by, size), out=made.narrow(axis, 0, size)
    )
    return made


def _ordered(bits: Tensor) -> Tensor:
    """Bits of float32 as int32 in the order of the numbers, and back."""
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def _power(length: Tensor) -> Tensor:
    """The greatest a with 2^a <= length (for length > 0)."""
    return torch.frexp(length.double())[1].long() - 1


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


def _rounded(edges: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero."""
    return torch.sign(edges) * (edges.abs() + 0.5).floor()
