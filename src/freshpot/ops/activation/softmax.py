"""Softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class Softmax(Operator):
    """Y[i] = exp(X[i]) / sum_j exp(X[i, j]) over all dimensions from ``axis`` on.

    Shapes:   X: at least one dimension, flattened to a matrix at ``axis`` -> Y: as X
    Raises:   ArgumentError if X has no dimension ``axis``.
    Source:   caffe2/operators/softmax_op.cc
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (Arg("axis", int, 1, "first dimension to normalise over; may be negative"),)

    def check(self, X: Tensor, *_: Tensor) -> None:
        if not -X.dim() <= self.axis < X.dim():
            self.refuse(f"argument 'axis' is {self.axis}, but X has {X.dim()} dimensions.", ArgumentError)

    def kernel(self, X: Tensor) -> Tensor:
        axis = self.axis
        if axis in (X.dim() - 1, -1):
            return torch.softmax(X, axis)
        return torch.softmax(X.flatten(axis), -1).view(X.shape)

    @gradient("Y dY -> dX", check=check)
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        axis = self.axis
        if axis in (Y.dim() - 1, -1):
            return torch.ops.aten._softmax_backward_data(dY, Y, axis, Y.dtype)
        flat = Y.flatten(axis)
        return torch.ops.aten._softmax_backward_data(dY.flatten(axis), flat, -1, Y.dtype).view(Y.shape)
