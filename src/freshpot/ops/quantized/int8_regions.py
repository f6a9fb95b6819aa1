"""Layers on 8 bit tensors that grow images or cut regions out of them. Images are (N, H, W, C).

Sums are exact; the result is rounded once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose2d
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops.convolution.conv_transpose import _Transposed
from freshpot.ops.quantized.int8 import SCALE, ZERO, Quantized, centred
from freshpot.ops.quantized.int8_layers import _check_filter
from freshpot.ops.quantized_tensor import QuantizedTensor


class Int8ConvTranspose(Quantized, _Transposed):
    """Y = transposed convolution of X with the filter, plus bias.

    Shapes:   X: (N, H, W, C), filter: (C, kernel, M), bias: (M,) int32 -> Y: (N, H', W', M)
    Raises:   ShapeError, ArgumentError if the inputs do not fit each other.
    Source:   caffe2/operators/quantized/int8_conv_transpose_op.h
    """

    inputs = (Port("X"), Port("filter"), Port("bias", optional=True))
    outputs = (Port("Y"),)
    args = (*_Transposed.args, SCALE, ZERO)
    quantized_inputs = 2

    def setup(self) -> None:
        Quantized.setup(self)
        _Transposed.setup(self)
        if not self.nhwc or self.group != 1:
            self.refuse("argument 'order' must be NHWC, and 'group' 1.", ArgumentError)

    def check(self, X: Any, W: Any, *bias: Any) -> None:
        Quantized.check(self, X, W)
        self.check_filter(X.values, W.values)
        _check_filter(self, X, W, bias)
        if bias and bias[0].values.numel() != W.shape[3]:
            self.refuse(f"bias must have {W.shape[3]} elements, got {bias[0].values.numel()}.")

    def kernel(self, X: QuantizedTensor, W: QuantizedTensor, *bias: QuantizedTensor) -> Any:
        images, filters = centred(X).movedim(-1, 1), centred(W).movedim(-1, 1)
        total = conv_transpose2d(images, filters, None, self.strides)
        (left, right, top, bottom), (rows, columns) = self.margins(), self.adjs
        total = pad_tensor(total, [-left, columns - right, -top, rows - bottom])
        total = total.movedim(1, -1) + (bias[0].values.double() if bias else 0.0)
        # the original multiplies in single precision, which decides what lies halfway between two bytes
        scale = torch.tensor(X.scale) * torch.tensor(W.scale) / torch.tensor(self.Y_scale)
        return self.store(total.contiguous().float() * scale)


class Int8RoIAlign(Quantized):
    """Y[r, i, j, c] = mean of X interpolated at a grid of points in bin (i, j) of region r.

    Interpolation has weights of 1 / 255. A point outside the image counts as the byte 0, as in the original, which
    is not the number 0 unless X's zero point is.

    Shapes:   X: (N, H, W, C), RoIs: (R, 5) of image number, x1, y1, x2, y2, or (R, 4) for one image
              -> Y: (R, pooled_h, pooled_w, C)
    Raises:   ShapeError if they do not fit; ArgumentError for no bins.
    Source:   caffe2/operators/quantized/int8_roi_align_op.h
    """

    inputs = (Port("X"), Port("RoIs", FLOAT, "* *"))
    outputs = (Port("Y"),)
    args = (
        SCALE,
        ZERO,
        Arg("order", str, "NHWC", "must be NHWC", choices=("NHWC",)),
        Arg("spatial_scale", float, 1.0, "pixels of X for a unit of the regions"),
        Arg("pooled_h", int, 1, "bins down"),
        Arg("pooled_w", int, 1, "bins across"),
        Arg("sampling_ratio", int, -1, "points in each direction of a bin; 0 or less: as many as pixels"),
    )

    def setup(self) -> None:
        super().setup()
        if self.pooled_h < 1 or self.pooled_w < 1:
            self.refuse(f"it needs at least one bin, got {self.pooled_h} x {self.pooled_w}.", ArgumentError)

    def check(self, X: Any, RoIs: Tensor) -> None:
        super().check(X)
        if X.values.dim() != 4 or X.values.numel() == 0:
            self.refuse(f"X must be (N, H, W, C) and not empty, got {tuple(X.shape)}.")
        if RoIs.shape[1] not in (4, 5):
            self.refuse(f"RoIs must have 4 or 5 columns, got {tuple(RoIs.shape)}.")
        images = RoIs[:, 0] if RoIs.shape[1] == 5 else RoIs.new_zeros(1)
        if len(RoIs) and not 0 <= int(images.min()) <= int(images.max()) < X.shape[0]:
            self.refuse(f"regions name images {images.tolist()}, but X has {X.shape[0]}.")

    def _along(self, first: Tensor, last: Tensor, bins: int, size: int) -> tuple[Tensor, ...]:
        """Of each point in a direction: pixel before, pixel behind, its part of the way, whether it is inside."""
        start = first * self.spatial_scale
        step = (last * self.spatial_scale - start).clamp(min=1.0) / bins
        points = self.sampling_ratio if self.sampling_ratio > 0 else int(step.ceil())
        bin_of = torch.arange(bins, device=first.device)[:, None]
        point = torch.arange(points, device=first.device)[None]
        places = (start + bin_of * step + (point + 0.5) * step / points).flatten()
        inside = (places >= -1.0) & (places <= size)
        places = places.clamp(min=0.0)
        low = places.long().clamp(max=size - 1)
        part = torch.where(low < size - 1, places - low, 0.0)
        return low, (low + 1).clamp(max=size - 1), part, inside

    def kernel(self, X: QuantizedTensor, RoIs: Tensor) -> Any:
        N, H, W, C = X.shape
        pixels = X.values.reshape(N, H * W, C).double()
        bins = (self.pooled_h, self.pooled_w)
        made = pixels.new_empty(len(RoIs), *bins, C)
        for region, row in zip(made, RoIs, strict=True):
            image = pixels[int(row[0]) if len(row) == 5 else 0]
            x1, y1, x2, y2 = row[-4:]
            top, bottom, down, rows_in = self._along(y1, y2, bins[0], H)
            left, right, across, columns_in = self._along(x1, x2, bins[1], W)
            inside = rows_in[:, None] & columns_in[None]
            total = pixels.new_zeros(*inside.shape, C)
            for i, u in ((top, 1.0 - down), (bottom, down)):
                for j, v in ((left, 1.0 - across), (right, across)):
                    weight = torch.floor(u[:, None] * v[None] * 255.0 + 0.5) * inside
                    total += image[i[:, None] * W + j[None]] * weight[..., None]
            parts = total.reshape(bins[0], -1, bins[1], len(left) // bins[1], C)
            count = parts.shape[1] * parts.shape[3]
            steps = parts.sum((1, 3)) - X.zero_point * 255.0 * count
            steps *= X.scale / (self.Y_scale * 255.0 * count)
            region.copy_(
                steps.sign() * torch.floor(steps.abs() + 0.5)
            )  # halves away from 0, as the original's
        return self.store(made)
