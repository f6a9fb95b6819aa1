"""Reordering of dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import NUMERIC, Arg, Port
from freshpot.ops._operator import Operator


def _rule(g: GradientMaker) -> list[Op]:
    axes = g.op.args.get("axes")
    if not isinstance(axes, list) or not axes:
        return [g.new("Transpose", [g.GO(0)], [g.GI(0)])]
    g.copy_arguments = False
    back = sorted(range(len(axes)), key=axes.__getitem__)
    return [g.new("Transpose", [g.GO(0)], [g.GI(0)], {**g.op.args, "axes": back})]


class Transpose(Operator):
    """Y = X with dimension i taken from dimension axes[i]; reversed if there are no axes.

    Shapes:   X: (D0, D1, …) -> Y: (D[axes[0]], D[axes[1]], …)
    Raises:   ShapeError if axes is not an order of X's dimensions.
    Source:   caffe2/operators/transpose_op.h
    """

    inputs = (Port("X", NUMERIC),)
    outputs = (Port("Y"),)
    args = (Arg("axes", [int], [], "the new order of the dimensions"),)
    gradient_rule = staticmethod(_rule)

    def check(self, X: Tensor) -> None:
        if self.axes and sorted(self.axes) != list(range(X.dim())):
            self.refuse(
                f"argument 'axes' {self.axes} is not an order of the dimensions of X {tuple(X.shape)}."
            )

    def kernel(self, X: Tensor) -> Tensor:
        axes = self.axes or range(X.dim() - 1, -1, -1)
        return X.permute(*axes).clone(memory_format=torch.contiguous_format)
