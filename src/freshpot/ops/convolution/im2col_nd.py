"""Images of any number of dimensions to the columns of a convolution's matrix."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class CaffeIm2col(Operator):
    """Y[n, :, i] = the pixels of X that window i sees, channel by channel.

    Shapes:   X: (N, C, space) -> Y: (N, C * kernel, space'), any number of spatial dimensions
    Raises:   ShapeError if X does not fit the window.
    Differs:  Im2Col of Caffe2 is for two dimensions.
    Source:   caffe/layers/im2col_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("kernels", [int], doc="window size in each dimension, pixels"),
        Arg("strides", [int], doc="step in each dimension, pixels"),
        Arg("pads", [int], doc="zeros around the image in each dimension: all heads, then all tails, pixels"),
        Arg("dilations", [int], doc="distance of neighbours in the window in each dimension, pixels"),
    )

    def setup(self) -> None:
        n = len(self.kernels)
        sides = zip(reversed(self.pads[:n]), reversed(self.pads[n:]), strict=True)
        self._margins = [side for pair in sides for side in pair]

    def check(self, X: Tensor, *_: Tensor) -> None:
        if X.dim() != len(self.kernels) + 2 or min(self._space(X)) < 1:
            self.refuse(f"windows of {self.kernels} do not fit X {tuple(X.shape)} with padding {self.pads}.")

    def _space(self, X: Tensor) -> tuple[int, ...]:
        n = len(self.kernels)
        rows = zip(
            X.shape[2:],
            self.kernels,
            self.strides,
            self.pads[:n],
            self.pads[n:],
            self.dilations,
            strict=False,
        )
        return tuple((size + head + tail - d * (k - 1) - 1) // s + 1 for size, k, s, head, tail, d in rows)

    def _places(self, space: tuple[int, ...]) -> list[Any]:
        """For each pixel of the window, where all windows have it in the padded image."""
        offsets = product(*(range(0, k * d, d) for k, d in zip(self.kernels, self.dilations, strict=True)))
        return [
            (
                ...,
                *(slice(o, o + (n - 1) * s + 1, s) for o, n, s in zip(at, space, self.strides, strict=True)),
            )
            for at in offsets
        ]

    def kernel(self, X: Tensor) -> Tensor:
        windows = pad_tensor(X, self._margins)
        n = len(self.kernels)
        for i, (k, s, d) in enumerate(zip(self.kernels, self.strides, self.dilations, strict=True)):
            windows = windows.unfold(2 + i, (k - 1) * d + 1, s)[..., ::d]
        order = [0, 1, *range(2 + n, 2 + 2 * n), *range(2, 2 + n)]
        columns = windows.permute(order).contiguous()
        return columns.view(X.shape[0], -1, *windows.shape[2 : 2 + n])

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        space = self._space(X)
        padded = pad_tensor(torch.zeros_like(X), self._margins)
        columns = dY.reshape(*X.shape[:2], -1, *space)
        for i, place in enumerate(self._places(space)):
            padded[place] += columns[:, :, i]
        return pad_tensor(padded, [-side for side in self._margins]).contiguous()
