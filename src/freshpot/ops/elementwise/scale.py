"""Multiplication with a constant."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOATS, Arg, Port
from freshpot.ops._operator import Operator


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("Scale", [g.GO(0)], [g.GI(0)])]


class Scale(Operator):
    """Y = scale * X.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/scale_op.h
    """

    inputs = (Port("X", FLOATS),)
    outputs = (Port("Y"),)
    args = (Arg("scale", float, 1.0, "the factor"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_rule)

    def kernel(self, X: Tensor) -> Tensor:
        return X * self.scale

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return X.mul_(self.scale)
