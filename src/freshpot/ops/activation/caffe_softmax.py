"""Softmax along one axis."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, as_first, gradient


class CaffeSoftmax(Operator):
    """Y = e^X / sum of e^X along one axis.

    Shapes:   X: any -> Y: as X
    Differs:  Softmax of Caffe2 normalises over all dimensions from an axis on.
    Source:   caffe/layers/softmax_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (Arg("axis", int, 1, "the axis of classes"),)
    inplace = ((0, 0),)
    infer = as_first

    def kernel(self, X: Tensor) -> Tensor:
        return torch.softmax(X, self.axis)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.ops.aten._softmax_backward_data(dY, Y, self.axis, Y.dtype)
