"""Between single and half precision."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator


def _other(type: str) -> staticmethod:
    """The rule of a gradient that is converted back by ``type``."""

    def rule(g: GradientMaker) -> list[Op]:
        return [g.new(type, [g.GO(0)], [g.GI(0)])]

    return staticmethod(rule)


class FloatToHalf(Operator):
    """Y = X in float16.

    Shapes:   X: any float32 -> Y: as X
    Source:   caffe2/operators/half_float_ops.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    gradient_rule = _other("HalfToFloat")

    def kernel(self, X: Tensor) -> Tensor:
        return X.half()


class HalfToFloat(Operator):
    """Y = X in float32.

    Shapes:   X: any float16 -> Y: as X
    Source:   caffe2/operators/half_float_ops.h
    """

    inputs = (Port("X", ("float16",)),)
    outputs = (Port("Y"),)
    gradient_rule = _other("FloatToHalf")

    def kernel(self, X: Tensor) -> Tensor:
        return X.float()
