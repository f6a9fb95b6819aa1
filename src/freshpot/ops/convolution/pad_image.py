"""Padding of images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import gradient
from freshpot.ops._window import WINDOW_ARGS, Windowed

_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


class PadImage(Windowed):
    """Y = X with a border: constant, its mirror image, or its edge repeated. Negative padding crops.

    Shapes:   X: (N, C, H, W) or (N, H, W, C) -> Y: the same with H + top + bottom, W + left + right
    Raises:   ShapeError if X has not 4 dimensions or is too small to be mirrored.
    Source:   caffe2/operators/pad_op.cc
    """

    inputs = (Port("X", FLOAT, "* * * *"),)
    outputs = (Port("Y"),)
    args = (
        *WINDOW_ARGS,
        Arg("mode", str, "constant", "kind of border", choices=tuple(_MODES)),
        Arg("value", float, 0.0, "pixels of a constant border"),
    )
    needs_kernel = False

    def _check_window(self) -> None:
        explicit_only = self.legacy_pad == 0 and all(v == 1 for v in (*self.strides, *self.dilations))
        if not explicit_only or len(self.heads) != 2:
            self.refuse("it takes explicit padding of 2 dimensions, no stride, no dilation.", ArgumentError)
        (top, left), (bottom, right) = self.heads, self.tails
        self._margins = [left, right, top, bottom]

    def check(self, X: Tensor) -> None:
        H, W = self.channels_second(X).shape[2:]
        left, right, top, bottom = self._margins
        if min(H + top + bottom, W + left + right) < 0:
            self.refuse(f"padding {self._margins} takes more than there is of X {tuple(X.shape)}.")
        if self.mode == "reflect" and (max(left, right) >= W or max(top, bottom) >= H):
            self.refuse(f"a mirrored border must be smaller than X {tuple(X.shape)}, got {self._margins}.")

    def check_gradient(self, dY: Tensor) -> None:
        """Of the gradient operator."""
        H, W = self._input_size(dY)
        if min(H, W) < 0:
            self.refuse(f"dY {tuple(dY.shape)} is smaller than the padding {self._margins}.")

    def _input_size(self, dY: Tensor) -> tuple[int, int]:
        left, right, top, bottom = self._margins
        H, W = self.channels_second(dY).shape[2:]
        return H - top - bottom, W - left - right

    def kernel(self, X: Tensor) -> Tensor:
        X = self.channels_second(X)
        if self.mode == "constant":
            return self.in_order(pad_tensor(X, self._margins, value=self.value).contiguous())
        return self.in_order(pad_tensor(X, self._margins, _MODES[self.mode]))

    @gradient("dY -> dX", check=check_gradient)
    def backward(self, dY: Tensor) -> Tensor:
        H, W = self._input_size(dY)
        dY = self.channels_second(dY)
        if self.mode == "constant":
            return self.in_order(pad_tensor(dY, [-m for m in self._margins]).contiguous())
        spread = torch.ops.aten.reflection_pad2d_backward
        if self.mode == "edge":
            spread = torch.ops.aten.replication_pad2d_backward
        return self.in_order(spread(dY.contiguous(), dY.new_empty(*dY.shape[:2], H, W), self._margins))
