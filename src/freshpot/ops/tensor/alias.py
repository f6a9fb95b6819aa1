"""Other names for the same data, and gradients turned round."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.tensor._clone import clone


def _pass_through(g: GradientMaker) -> list[Op]:
    g.set_dense(0, g.GO(0))
    return []


class Alias(Operator):
    """output = input, in the same memory.

    Shapes:   input: any -> output: as input
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("input"),)
    outputs = (Port("output"),)
    gradient_rule = staticmethod(_pass_through)

    def kernel(self, X: Any) -> Any:
        return X


class AliasWithName(Operator):
    """output = input; the arguments name it for whoever reads the net.

    Shapes:   input: any -> output: as input
    Differs:  the output has memory of its own.
    Source:   caffe2/operators/alias_with_name.h
    """

    inputs = (Port("input"),)
    outputs = (Port("output"),)
    args = (
        Arg("name", str, "", "the name"),
        Arg("is_backward", bool, False, "1: it names a gradient"),
    )
    inplace = ((0, 0),)

    def kernel(self, X: Any) -> Any:
        return clone(X)


def _negative_rule(g: GradientMaker) -> list[Op]:
    return [g.new("Negative", [g.GO(0)], [g.GI(0)])]


class NegateGradient(Operator):
    """Y = X; the gradient that flows back is negated.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/negate_gradient_op.h
    """

    inputs = (Port("X"),)
    outputs = (Port("Y"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_negative_rule)

    def kernel(self, X: Tensor) -> Tensor:
        return clone(X)

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return X
