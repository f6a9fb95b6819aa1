"""Blocks of space to the batch, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


def _to_batch_gradient(g: GradientMaker) -> list[Op]:
    return [g.new("BatchToSpace", [g.GO(0)], [g.GI(0)])]


def _to_space_gradient(g: GradientMaker) -> list[Op]:
    return [g.new("SpaceToBatch", [g.GO(0)], [g.GI(0)])]


class _Blocks(Operator, abstract=True):
    inputs = (Port("X", FLOAT, "* * * *"),)
    outputs = (Port("Y"),)
    args = (
        Arg("pad", int, 0, "padding of the large image on every side, pixels"),
        Arg("pad_t", int, 0, "padding above, if it differs, pixels"),
        Arg("block_size", int, 2, "side of a block, pixels"),
        Arg("order", str, "NCHW", "layout of the images", choices=("NCHW",)),
    )

    def setup(self) -> None:
        if self.block_size < 1:
            self.refuse(f"block_size must be at least 1, got {self.block_size}.", ArgumentError)
        top = self.pad_t if self.has("pad_t") else self.pad
        self._margins = [self.pad, self.pad, top, self.pad]


class SpaceToBatch(_Blocks):
    """Y: one small image for each place in a block, made of the pixels of X at that place.

    Shapes:   X: (N, C, H, W) -> Y: (block^2 * N, C, (H + pads) / block, (W + pads) / block)
    Raises:   ShapeError unless blocks tile the padded image; ArgumentError for an order other than NCHW.
    Source:   caffe2/operators/space_batch_op.h
    """

    gradient_rule = staticmethod(_to_batch_gradient)

    def check(self, X: Tensor) -> None:
        left, right, top, bottom = self._margins
        H, W = X.shape[2] + top + bottom, X.shape[3] + left + right
        if H % self.block_size or W % self.block_size:
            self.refuse(f"blocks of {self.block_size} do not tile the padded image ({H}, {W}).")

    def kernel(self, X: Tensor) -> Tensor:
        block = self.block_size
        X = pad_tensor(X, self._margins)
        N, C, H, W = X.shape
        parts = X.reshape(N, C, H // block, block, W // block, block).permute(3, 5, 0, 1, 2, 4)
        return parts.clone(memory_format=torch.contiguous_format).view(-1, C, H // block, W // block)


class BatchToSpace(_Blocks):
    """Y: the images whose pixels SpaceToBatch dealt out to X, without the padding.

    Shapes:   X: (block^2 * N, C, H, W) -> Y: (N, C, block * H - pads, block * W - pads)
    Raises:   ShapeError unless block^2 divides the batch.
    Source:   caffe2/operators/space_batch_op.h
    """

    gradient_rule = staticmethod(_to_space_gradient)

    def check(self, X: Tensor) -> None:
        if X.shape[0] % self.block_size**2:
            self.refuse(f"the batch of X {tuple(X.shape)} must be a multiple of {self.block_size}^2.")

    def kernel(self, X: Tensor) -> Tensor:
        block = self.block_size
        N, C, H, W = X.shape
        parts = X.reshape(block, block, N // block**2, C, H, W).permute(2, 3, 4, 0, 5, 1)
        whole = parts.reshape(N // block**2, C, H * block, W * block)
        return pad_tensor(whole, [-m for m in self._margins]).contiguous()
