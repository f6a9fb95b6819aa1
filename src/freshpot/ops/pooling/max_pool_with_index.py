"""Max pooling that also says where the maxima were."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import same_name_rule
from freshpot.net.schema import FLOAT, INT, Port
from freshpot.ops._window import fitted
from freshpot.ops.pooling._pool import Pool


class MaxPoolWithIndex(Pool):
    """Y as MaxPool's; Index: where in its image (row * W + column) each maximum lies.

    Shapes:   X: (N, C, H, W) -> Y, Index (int32): (N, C, H', W')
    Raises:   ShapeError if X does not fit the window; ArgumentError for a window that makes no sense.
    Differs:  it runs on every device; the original has it for GPUs only.
    Source:   caffe2/operators/max_pool_with_index.cu
    """

    outputs = (Port("Y"), Port("Index"))
    gradient_rule = staticmethod(
        same_name_rule("MaxPoolWithIndexGradient", "X dY Index", "dX", (["X"], ["Y", "Index"]))
    )

    def setup(self) -> None:
        super().setup()
        if self.nhwc or len(self.kernels) != 2:
            self.refuse("it takes images of 2 dimensions in order NCHW.", ArgumentError)

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        W = X.shape[3]
        if self.global_pooling:
            Y, index = X.flatten(2).max(2)
            return Y[..., None, None], index.int()[..., None, None]
        layout = self.layout(tuple(X.shape[2:]))
        images = fitted(X, layout, self.kernels, self.strides, -math.inf)
        Y, index = torch.ops.aten.max_pool2d_with_indices(images, self.kernels, self.strides)
        row, column = index // images.shape[3] - layout.heads[0], index % images.shape[3] - layout.heads[1]
        return Y, (row * W + column).int()


class MaxPoolWithIndexGradient(Pool):
    """Gradient of MaxPoolWithIndex: dY goes where the maxima were."""

    inputs = (Port("X", FLOAT), Port("dY", FLOAT), Port("Index", INT))
    outputs = (Port("dX"),)
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, dY: Tensor, Index: Tensor) -> None:
        super().check(X)
        if dY.shape != Index.shape or dY.shape[:2] != X.shape[:2]:
            self.refuse(f"dY {tuple(dY.shape)} and Index {tuple(Index.shape)} must be as pooled from X.")

    def kernel(self, X: Tensor, dY: Tensor, Index: Tensor) -> Tensor:
        dX = X.new_zeros(X.shape)
        dX.flatten(2).scatter_add_(2, Index.long().flatten(2), dY.flatten(2))
        return dX
