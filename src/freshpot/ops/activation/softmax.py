"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, contiguous, make, plain_arrays, rows
from freshpot.ops._operator import Call, Operator, call, gradient

_backward_data = torch.ops.aten._softmax_backward_data.out


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
        if _small.unwatched() and _small.fits(X):
            Y = torch.empty_like(X)
            make(_small.softmax(rows(X, axis), rows(Y, axis)) or ())
            return Y
        if axis in (X.dim() - 1, -1):
            return torch.softmax(X, axis)
        return torch.softmax(X.flatten(axis), -1).view(X.shape)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if not contiguous(*inputs, *outputs):
            return None
        X, Y = (rows(t, self.axis) for t in (inputs[0], outputs[0]))
        return _small.softmax(X, Y) or [call(torch.softmax, X, 1, out=Y)]

    def _gradient_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if not contiguous(*inputs, *outputs):
            return None
        Y, dY, dX = (rows(X, self.axis) for X in (*inputs, *outputs))
        if made := _small.softmax_gradient(Y, dY, dX):
            return made
        if small := arrays(Y, dY, dX):
            y, dy, dx = small
            shares, ones, totals = np.empty_like(y), np.ones(y.shape[1], y.dtype), np.empty(len(y), y.dtype)
            return [
                call(np.multiply, y, dy, shares),
                call(np.dot, shares, ones, totals),
                call(np.subtract, dy, totals[:, None], dx),
                call(np.multiply, dx, y, dx),
            ]
        return [call(_backward_data, dY, Y, 1, Y.dtype, grad_input=dX)]

    @gradient("Y dY -> dX", check=check, calls=_gradient_calls)
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        if plain_arrays(Y, dY):
            dX = torch.empty_like(Y)
            make(self._gradient_calls([Y, dY], [dX]) or ())
            return dX
        axis = self.axis
        if axis in (Y.dim() - 1, -1):
            return torch.ops.aten._softmax_backward_data(dY, Y, axis, Y.dtype)
        flat = Y.flatten(axis)
        return torch.ops.aten._softmax_backward_data(dY.flatten(axis), flat, -1, Y.dtype).view(Y.shape)
