"""Places of the largest and smallest elements."""

from __future__ import annotations

from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import NUMERIC, Arg, Port
from freshpot.ops._operator import Operator


class _Arg(Operator, abstract=True):
    inputs = (Port("X", NUMERIC),)
    outputs = (Port("Indices"),)
    args = (
        Arg("axis", int, -1, "the dimension; may be negative"),
        Arg("keepdims", bool, True, "1: the dimension stays, as 1"),
    )

    def check(self, X: Tensor) -> None:
        if not -X.dim() <= self.axis < X.dim():
            self.refuse(f"argument 'axis' is {self.axis}, but X has {X.dim()} dimensions.", ArgumentError)
        if not X.shape[self.axis]:
            self.refuse(f"dimension {self.axis} of X {tuple(X.shape)} is empty.")


class ArgMax(_Arg):
    """Indices = where the largest element along ``axis`` is (of equal ones, the first).

    Shapes:   X: any -> Indices: int64, without ``axis``, or 1 there with ``keepdims``
    Raises:   ArgumentError if there is no such dimension; ShapeError if it is empty.
    Source:   caffe2/operators/arg_ops.h
    """

    def kernel(self, X: Tensor) -> Tensor:
        return X.argmax(self.axis, self.keepdims)


class ArgMin(_Arg):
    """Indices = where the smallest element along ``axis`` is (of equal ones, the first).

    Shapes:   X: any -> Indices: int64, without ``axis``, or 1 there with ``keepdims``
    Raises:   ArgumentError if there is no such dimension; ShapeError if it is empty.
    Source:   caffe2/operators/arg_ops.h
    """

    def kernel(self, X: Tensor) -> Tensor:
        return X.argmin(self.axis, self.keepdims)
