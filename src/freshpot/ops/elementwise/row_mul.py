"""A factor for each row."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Port
from freshpot.ops._operator import Operator


def _by_rows(w: Tensor, X: Tensor) -> Tensor:
    return w.reshape(-1, *(1,) * (X.dim() - 1))


def _rule(g: GradientMaker) -> list[Op]:
    products = g.GI(1) + "before_aggregate"
    return [
        g.new("RowMul", [g.GO(0), g.I(1)], [g.GI(0)]),
        g.new("Mul", [g.GO(0), g.I(0)], [products]),
        g.new("ReduceTailSum", [products], [g.GI(1)]),
    ]


class RowMul(Operator):
    """output[i, …] = mat[i, …] * w[i].

    Shapes:   mat: (N, …); w: (N,) -> output: as mat
    Raises:   ShapeError if w has another length.
    Source:   caffe2/operators/rowmul_op.h
    """

    inputs = (Port("mat", FLOAT, "N ..."), Port("w", FLOAT))
    outputs = (Port("output"),)
    gradient_rule = staticmethod(_rule)

    def check(self, mat: Tensor, w: Tensor) -> None:
        if w.numel() != mat.shape[0]:
            self.refuse(f"w must have {mat.shape[0]} elements, one a row of mat, got {w.numel()}.")

    def kernel(self, mat: Tensor, w: Tensor) -> Tensor:
        return mat * _by_rows(w, mat)


class ReduceTailSum(Operator):
    """output[i] = sum of row i of mat.

    Shapes:   mat: (N, …) -> output: (N,)
    Source:   caffe2/operators/rowmul_op.h
    """

    inputs = (Port("mat", FLOAT, "N ..."),)
    outputs = (Port("output"),)

    def kernel(self, mat: Tensor) -> Tensor:
        return mat.reshape(mat.shape[0], mat.shape[1:].numel()).sum(1)


def _divide_rule(g: GradientMaker) -> list[Op]:
    return [g.new("SquareRootDivide", [g.GO(0), g.I(1)], [g.GI(0)])]


class SquareRootDivide(Operator):
    """Y[i, …] = X[i, …] / sqrt(scale[i]); rows whose scale is not positive stay as they are.

    Shapes:   X: (N, …); scale: (N,) -> Y: as X
    Raises:   ShapeError if scale has another length.
    Source:   caffe2/operators/square_root_divide_op.h
    """

    inputs = (Port("X", FLOAT, "N ..."), Port("scale", (*FLOAT, *INT), "N"))
    outputs = (Port("Y"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_divide_rule)

    def kernel(self, X: Tensor, scale: Tensor) -> Tensor:
        factor = torch.where(scale > 0, scale.float().rsqrt(), 1.0)
        return X * _by_rows(factor, X)
