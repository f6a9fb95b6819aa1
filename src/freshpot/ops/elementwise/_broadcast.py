"""How two inputs of an elementwise operator are brought to one shape.

Owned here: numpy's broadcasting, and the older kind (argument ``broadcast``) in which B's dimensions are
laid on A's from ``axis`` on. Who calls it: arithmetic, comparisons, logic, Pow.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import name_of


class Broadcasting(Operator, abstract=True):
    """Base of the operators with inputs A and B and an elementwise result."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("A"), Port("B"))
    outputs: ClassVar[tuple[Port, ...]] = (Port("C"),)
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("broadcast", bool, False, "1: lay B on A from `axis` on, instead of numpy's rule"),
        Arg("axis", int, -1, "with `broadcast`: first dimension of A that B is laid on; -1: the last ones"),
        Arg("axis_str", str, "", "with `broadcast`: that dimension as a letter of `order`"),
        Arg("order", str, "NCHW", "letters of the dimensions, for `axis_str`"),
    )

    def setup(self) -> None:
        self.start = self.axis
        if not self.axis_str:
            return
        self.start = self.order.find(self.axis_str)
        if self.has("axis") or len(self.axis_str) != 1 or self.start < 0:
            self.refuse(
                f"argument 'axis_str' must be one letter of '{self.order}', without 'axis'; got '{self.axis_str}'.",
                ArgumentError,
            )

    def check(self, A: Tensor, B: Tensor) -> None:
        if A.dtype != B.dtype:
            self.refuse(f"A and B must have one type, got {name_of(A)} and {name_of(B)}.", DTypeError)
        try:
            # numpy's: PyTorch's own loads sympy, half a second at the first Add
            fits = np.broadcast_shapes(tuple(A.shape), tuple(self.aligned_shape(A, B)))
        except (RuntimeError, ValueError):
            fits = None
        if fits is None or (self.broadcast and fits != A.shape):
            how = f"from dimension {self.start} on" if self.broadcast else "by numpy's rule"
            self.refuse(f"B {tuple(B.shape)} cannot be broadcast to A {tuple(A.shape)} {how}.")

    def aligned_shape(self, A: Tensor, B: Tensor) -> tuple[int, ...]:
        """B's shape with the dimensions that `broadcast` adds behind it."""
        if not self.broadcast or self.start == -1:
            return tuple(B.shape) if B.numel() != 1 or not self.broadcast else ()
        behind = A.dim() - self.start - B.dim()
        if behind < 0 or self.start < 0:
            self.refuse(
                f"B {tuple(B.shape)} does not fit on A {tuple(A.shape)} from dimension {self.start} on."
            )
        return (*B.shape, *(1,) * behind)

    def align(self, A: Tensor, B: Tensor) -> Tensor:
        """B in a shape that numpy's rule brings to A's."""
        return B.reshape(self.aligned_shape(A, B)) if self.broadcast else B

    def fold(self, dC: Tensor, shape: torch.Size, aligned: tuple[int, ...] | torch.Size) -> Tensor:
        """A gradient in the shape of the result, summed to that of an input."""
        return dC.sum_to_size(aligned).reshape(shape)
