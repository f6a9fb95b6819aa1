"""Merging the first two dimensions, and splitting the first."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.tensor._clone import clone


class MergeDim(Operator):
    """reshaped = data with its first two dimensions made one.

    Shapes:   data: (A, B, …) -> reshaped: (A * B, …)
    Source:   caffe2/operators/prepend_dim_op.h
    """

    inputs = (Port("data", (), "A B ..."),)
    outputs = (Port("reshaped"),)
    inplace = ((0, 0),)

    def kernel(self, X: Any) -> Any:
        return clone(X).reshape(X.shape[0] * X.shape[1], *X.shape[2:])

    def kernel_inplace(self, X: Any) -> Any:
        return X.reshape(X.shape[0] * X.shape[1], *X.shape[2:])


def _rule(g: GradientMaker) -> list[Op]:
    g.copy_arguments = False
    return [g.new("MergeDim", [g.GO(0)], [g.GI(0)])]


class PrependDim(Operator):
    """reshaped = data with its first dimension split in two, the first of them ``dim_size``.

    Shapes:   data: (A, …) -> reshaped: (dim_size, A / dim_size, …)
    Raises:   ArgumentError if dim_size is not positive; ShapeError if A is no multiple of it.
    Source:   caffe2/operators/prepend_dim_op.h
    """

    inputs = (Port("data", (), "A ..."),)
    outputs = (Port("reshaped"),)
    args = (Arg("dim_size", int, 0, "the new first dimension"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        if self.dim_size < 1:
            self.refuse(f"argument 'dim_size' must be positive, got {self.dim_size}.", ArgumentError)

    def check(self, X: Any) -> None:
        if X.shape[0] % self.dim_size:
            self.refuse(f"the first dimension of data {tuple(X.shape)} is no multiple of {self.dim_size}.")

    def kernel(self, X: Any) -> Any:
        return clone(X).reshape(self.dim_size, X.shape[0] // self.dim_size, *X.shape[1:])

    def kernel_inplace(self, X: Any) -> Any:
        return X.reshape(self.dim_size, X.shape[0] // self.dim_size, *X.shape[1:])
