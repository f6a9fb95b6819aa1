"""Arithmetic on two inputs, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import NUMERIC, Port
from freshpot.ops._operator import gradient
from freshpot.ops.elementwise._broadcast import Broadcasting


class _Arithmetic(Broadcasting, abstract=True):
    inputs = (Port("A", NUMERIC), Port("B", NUMERIC))
    inplace: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0), (1, 0))
    function: ClassVar[Callable[..., Tensor]]

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        return type(self).function(A, self.align(A, B) if self.broadcast else B)

    def folded(self, dA: Tensor, dB: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients in the shape of the result, summed to the shapes of A and B; always fresh tensors."""
        dA, dB = self.fold(dA, A.shape, A.shape), self.fold(dB, B.shape, self.aligned_shape(A, B))
        return dA, dB


class Add(_Arithmetic):
    """C = A + B.

    Shapes:   A, B: any that broadcast -> C: the broadcast shape (A's, with the argument ``broadcast``)
    Raises:   DTypeError if A and B differ in type; ShapeError if they do not broadcast.
    Source:   caffe2/operators/elementwise_add_op.h
    """

    function = staticmethod(torch.add)

    @gradient("dC A B -> dA dB", inplace=((0, 0), (0, 1)))
    def backward(self, dC: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        return self.folded(dC.clone(), dC.clone(), A, B)


class Sub(_Arithmetic):
    """C = A - B.

    Shapes:   A, B: any that broadcast -> C: the broadcast shape (A's, with the argument ``broadcast``)
    Raises:   DTypeError if A and B differ in type; ShapeError if they do not broadcast.
    Source:   caffe2/operators/elementwise_sub_op.h
    """

    function = staticmethod(torch.sub)

    @gradient("dC A B -> dA dB", inplace=((0, 0), (0, 1)))
    def backward(self, dC: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        return self.folded(dC.clone(), -dC, A, B)


class Mul(_Arithmetic):
    """C = A * B.

    Shapes:   A, B: any that broadcast -> C: the broadcast shape (A's, with the argument ``broadcast``)
    Raises:   DTypeError if A and B differ in type; ShapeError if they do not broadcast.
    Source:   caffe2/operators/elementwise_mul_op.h
    """

    function = staticmethod(torch.mul)

    def setup(self) -> None:
        super().setup()
        self.overwrites = self.op.inputs[0] == self.op.outputs[0]

    @gradient("dC A B -> dA dB", inplace=((0, 0), (0, 1)))
    def backward(self, dC: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        dA = dC * self.align(A, B)
        # Where dA overwrites dC the original goes on with dA; programs that depend on it exist.
        return self.folded(dA, (dA if self.overwrites else dC) * A, A, B)


def _divide(A: Tensor, B: Tensor) -> Tensor:
    return torch.div(A, B) if A.is_floating_point() else torch.div(A, B, rounding_mode="trunc")


class Div(_Arithmetic):
    """C = A / B; whole numbers are rounded to zero.

    Shapes:   A, B: any that broadcast -> C: the broadcast shape (A's, with the argument ``broadcast``)
    Raises:   DTypeError if A and B differ in type; ShapeError if they do not broadcast.
    Source:   caffe2/operators/elementwise_div_op.h
    """

    function = staticmethod(_divide)
    inplace = ((0, 0),)

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("DivGradient", [g.GO(0), g.I(0), g.I(1), g.O(0)], [g.GI(0), g.GI(1)])]


class DivGradient(Div):
    """Gradient of Div. Nets of 2017 have its older form: B, C, dC -> dA, dB, where A has the shape of C.

    Shapes:   dC, A, B, C: as in Div -> dA, dB: as A and B
    Source:   caffe2/operators/elementwise_div_gradient_op.cc
    """

    inputs = (Port("dC", NUMERIC), Port("A", NUMERIC), Port("B", NUMERIC), Port("C", NUMERIC, optional=True))
    outputs = (Port("dA"), Port("dB", optional=True))
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def check(self, *inputs: Tensor) -> None:
        """Nothing that the kernel does not see."""

    def kernel(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        if len(inputs) == 3:
            B, C, dC = inputs
            A = C
        else:
            dC, A, B, C = inputs
        aligned = self.align(A, B)
        dA = dC / aligned
        # A / A names one blob for both gradients; the original leaves dA in it.
        dB = dA.clone() if self.op.outputs[0] == self.op.outputs[-1] else -dA * C
        return self.folded(dA, dB, A, B)
