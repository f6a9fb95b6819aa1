"""Largest elements of the rows and columns of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class RowwiseMax(Operator):
    """Y[b, i] = max_j X[b, i, j].

    Shapes:   X: (B, M, N) -> Y: (B, M)
    Source:   caffe2/operators/reduction_ops.h
    """

    inputs = (Port("X", FLOAT, "B M N"),)
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.amax(2)

    @gradient("X Y dY -> dX")
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where(X == Y.unsqueeze(2), dY.unsqueeze(2), 0.0)


class ColwiseMax(Operator):
    """Y[b, j] = max_i X[b, i, j].

    Shapes:   X: (B, M, N) -> Y: (B, N)
    Source:   caffe2/operators/reduction_ops.h
    """

    inputs = (Port("X", FLOAT, "B M N"),)
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.amax(1)

    @gradient("X Y dY -> dX")
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where(X == Y.unsqueeze(1), dY.unsqueeze(1), 0.0)
