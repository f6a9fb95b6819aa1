"""Elementwise largest, smallest and mean of several blobs."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, FLOATS, Port
from freshpot.ops._operator import Operator


class _OfSeveral(Operator, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT, many=True),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)
    inplace = ((0, 0),)

    def check(self, X: Tensor, *rest: Tensor) -> None:
        for i, other in enumerate(rest, 1):
            if other.shape != X.shape or other.dtype != X.dtype:
                self.refuse(
                    f"all inputs must be as input 0, {tuple(X.shape)}; input {i} is {tuple(other.shape)}."
                )


def _extreme_rule(type: str) -> staticmethod:
    def rule(g: GradientMaker) -> list[Op]:
        grads = [g.GI(i) for i in range(len(g.op.inputs))]
        return [g.new(type, [g.O(0), g.GO(0), *g.op.inputs], grads)]

    return staticmethod(rule)


class Max(_OfSeveral):
    """Y = largest of the inputs, element by element.

    Shapes:   all X: any, alike -> Y: as X0
    Raises:   ShapeError if the inputs differ in shape.
    Source:   caffe2/operators/minmax_ops.h
    """

    gradient_rule = _extreme_rule("MaxGradient")

    def kernel(self, X: Tensor, *rest: Tensor) -> Tensor:
        Y = X.contiguous() if rest else X.clone(memory_format=torch.contiguous_format)
        for other in rest:
            Y = torch.maximum(Y, other)
        return Y


class Min(_OfSeveral):
    """Y = smallest of the inputs, element by element.

    Shapes:   all X: any, alike -> Y: as X0
    Raises:   ShapeError if the inputs differ in shape.
    Source:   caffe2/operators/minmax_ops.h
    """

    gradient_rule = _extreme_rule("MinGradient")

    def kernel(self, X: Tensor, *rest: Tensor) -> Tensor:
        Y = X.contiguous() if rest else X.clone(memory_format=torch.contiguous_format)
        for other in rest:
            Y = torch.minimum(Y, other)
        return Y


class _ExtremeGradient(Operator, abstract=True):
    inputs = (Port("Y", FLOAT), Port("dY", FLOAT), Port("X", FLOAT, many=True))
    outputs = (Port("dX", many=True),)
    no_gradient = "it is itself a gradient"

    def kernel(self, Y: Tensor, dY: Tensor, *inputs: Tensor) -> list[Tensor]:
        return [torch.where(X == Y, dY, 0.0) for X in inputs]


class MaxGradient(_ExtremeGradient):
    """dX_i = dY where X_i is the largest, else 0.

    Shapes:   Y, dY, all X: alike -> all dX: as X
    Source:   caffe2/operators/minmax_ops.h
    """


class MinGradient(_ExtremeGradient):
    """dX_i = dY where X_i is the smallest, else 0.

    Shapes:   Y, dY, all X: alike -> all dX: as X
    Source:   caffe2/operators/minmax_ops.h
    """


def _mean_rule(g: GradientMaker) -> list[Op]:
    return [g.new("MeanGradient", [g.GO(0)], [g.GI(i) for i in range(len(g.op.inputs))])]


class Mean(_OfSeveral):
    """Y = mean of the inputs, element by element.

    Shapes:   all X: any, alike -> Y: as X0
    Raises:   ShapeError if the inputs differ in shape.
    Source:   caffe2/operators/mean_op.h
    """

    inputs = (Port("X", FLOATS, many=True),)
    gradient_rule = staticmethod(_mean_rule)

    def kernel(self, X: Tensor, *rest: Tensor) -> Tensor:
        Y = X.clone(memory_format=torch.contiguous_format)
        for other in rest:
            Y += other
        return Y.mul_(1 / self.num_inputs)


class MeanGradient(Operator):
    """dX_i = dY / number of inputs.

    Shapes:   dY: any -> all dX: as dY
    Source:   caffe2/operators/mean_op.h
    """

    inputs = (Port("dY", FLOATS),)
    outputs = (Port("dX", many=True),)
    inplace = ((0, 0),)
    no_gradient = "it is itself a gradient"

    def kernel(self, dY: Tensor) -> list[Tensor]:
        return [dY * (1 / self.num_outputs) for _ in range(self.num_outputs)]


class SumRelu(_OfSeveral):
    """Y = max(X0 + X1 + …, 0).

    Shapes:   all X: any, alike -> Y: as X0
    Raises:   ShapeError if the inputs differ in shape.
    Source:   caffe2/operators/relu_op.cc, elementwise_sum_op.cc
    """

    def kernel(self, X: Tensor, *rest: Tensor) -> Tensor:
        Y = X.clone(memory_format=torch.contiguous_format)
        for other in rest:
            Y += other
        return Y.clamp_(min=0)
