"""Logic on truth values and on the bits of whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from freshpot.net.schema import BOOL, INTS, Port
from freshpot.ops._operator import Operator
from freshpot.ops.elementwise._broadcast import Broadcasting


class _Logic(Broadcasting, abstract=True):
    function: ClassVar[Callable[..., Tensor]]
    inplace = ((0, 0),)

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        return type(self).function(A, self.align(A, B) if self.broadcast else B)


def _define(name: str, what: str, function: Callable[..., Tensor], **members: object) -> None:
    members["__doc__"] = f"""C = A {what} B.

        Shapes:   A, B: any that broadcast -> C: the broadcast shape (A's, with the argument ``broadcast``)
        Raises:   DTypeError if A and B differ in type; ShapeError if they do not broadcast.
        Source:   caffe2/operators/elementwise_logical_ops.h, elementwise_ops.h
        """
    members |= {"__module__": __name__, "function": staticmethod(function)}
    type(name, (_Logic,), members)


_BITS = (Port("A", (*INTS, *BOOL)), Port("B", (*INTS, *BOOL)))
_TRUTH = (Port("A", BOOL), Port("B", BOOL))
for _name, _what, _function, _ports in (
    ("And", "and", torch.logical_and, _TRUTH),
    ("Or", "or", torch.logical_or, _TRUTH),
    ("Xor", "exclusive or", torch.logical_xor, _TRUTH),
    ("BitwiseAnd", "and (bit by bit)", torch.bitwise_and, _BITS),
    ("BitwiseOr", "or (bit by bit)", torch.bitwise_or, _BITS),
    ("BitwiseXor", "exclusive or (bit by bit)", torch.bitwise_xor, _BITS),
):
    _define(_name, _what, _function, inputs=_ports)


class Not(Operator):
    """Y = not X, elementwise.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/elementwise_logical_ops.h
    """

    inputs = (Port("X", BOOL),)
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.logical_not(X)
