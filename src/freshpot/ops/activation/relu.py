"""Rectifier."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class Relu(Operator):
    """Y = max(X, 0), elementwise.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/relu_op.cc; caffe/layers/relu_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    inplace = ((0, 0),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.relu(X)

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return torch.relu_(X)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.ops.aten.threshold_backward(dY, Y, 0)
