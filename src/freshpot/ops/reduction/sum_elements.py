"""Sums of all elements."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator, gradient

_AVERAGE = Arg("average", bool, False, "1: divide by the number of elements")


class SumElements(Operator):
    """sum = sum of all elements of X, or their mean.

    Shapes:   X: any -> sum: ()
    Source:   caffe2/operators/reduction_ops.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("sum"),)
    args = (_AVERAGE,)

    def _share(self, X: Tensor) -> float:
        return 1 / X.numel() if self.average and X.numel() else 1.0

    def kernel(self, X: Tensor) -> Tensor:
        return X.sum().mul_(self._share(X))

    @gradient("X dsum -> dX")
    def backward(self, X: Tensor, dsum: Tensor) -> Tensor:
        return (dsum.reshape(()) * self._share(X)).expand(X.shape).contiguous()


class SumElementsInt(Operator):
    """sum = sum of all elements of X.

    Shapes:   X: any -> sum: () int32
    Source:   caffe2/operators/reduction_ops.h
    """

    inputs = (Port("X", INT),)
    outputs = (Port("sum"),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.sum(dtype=torch.int32)


class SumSqrElements(Operator):
    """sum = sum of the squares of all elements of X, or their mean.

    Shapes:   X: any -> sum: ()
    Source:   caffe2/operators/reduction_ops.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("sum"),)
    args = (_AVERAGE,)

    def kernel(self, X: Tensor) -> Tensor:
        squares = X.square().sum()
        return squares / X.numel() if self.average and X.numel() else squares
