"""Comparisons of two inputs, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from freshpot.net.schema import BOOL, NUMERIC, Port
from freshpot.ops.elementwise._broadcast import Broadcasting


class _Comparison(Broadcasting, abstract=True):
    function: ClassVar[Callable[..., Tensor]]

    def kernel(self, A: Tensor, B: Tensor) -> Tensor:
        return type(self).function(A, self.align(A, B) if self.broadcast else B)


def _define(name: str, sign: str, function: Callable[..., Tensor], dtypes: tuple[str, ...]) -> None:
    members = {
        "__doc__": f"""C = A {sign} B, elementwise, as bool.

        Shapes:   A, B: any that broadcast -> C: the broadcast shape (A's, with the argument ``broadcast``)
        Raises:   DTypeError if A and B differ in type; ShapeError if they do not broadcast.
        Source:   caffe2/operators/elementwise_ops.h
        """,
        "__module__": __name__,
        "inputs": (Port("A", dtypes), Port("B", dtypes)),
        "function": staticmethod(function),
    }
    type(name, (_Comparison,), members)


for _name, _sign, _function, _dtypes in (
    ("LT", "<", torch.lt, (*NUMERIC, *BOOL)),
    ("LE", "<=", torch.le, (*NUMERIC, *BOOL)),
    ("GT", ">", torch.gt, (*NUMERIC, *BOOL)),
    ("GE", ">=", torch.ge, (*NUMERIC, *BOOL)),
    ("EQ", "==", torch.eq, (*NUMERIC, *BOOL)),
    ("NE", "!=", torch.ne, (*NUMERIC, *BOOL)),
):
    _define(_name, _sign, _function, _dtypes)
