"""Rows in another order."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator


def _permutation_rule(g: GradientMaker) -> list[Op]:
    return [g.new("BatchPermutationGradient", [g.I(1), g.GO(0)], [g.GI(0)])]


class BatchPermutation(Operator):
    """Y[i] = X[indices[i]].

    Shapes:   X: (N, ...); indices: (N,) -> Y: as X
    Raises:   ShapeError if an index is not a row.
    Source:   caffe2/operators/batch_permutation_op.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT, "N ..."), Port("indices", ("int32",), "N"))
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    gradient_rule: ClassVar[Any] = staticmethod(_permutation_rule)

    def kernel(self, X: Tensor, indices: Tensor) -> Tensor:
        return X[self._within(indices, len(X))]

    def infer(self, X: Tensor, indices: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)

    def _within(self, indices: Tensor, rows: int) -> Tensor:
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < rows:
            self.refuse(f"indices must be from 0 to {rows - 1}.")
        return indices.long()


class BatchPermutationGradient(BatchPermutation):
    """dX[indices[i]] = dY[i].

    Source:   caffe2/operators/batch_permutation_op.h
    """

    inputs = (Port("indices", ("int32",), "N"), Port("dY", FLOAT, "N ..."))
    outputs = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def kernel(self, indices: Tensor, dY: Tensor) -> Tensor:
        dX = torch.zeros_like(dY)
        dX[self._within(indices, len(dY))] = dY
        return dX
