"""A choice for each element, with broadcasting and a gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import DTypeError
from freshpot.net.schema import BOOL, NUMERIC, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.dtypes import name_of


class Choose(Operator):
    """Z = X where C, else Y.

    Shapes:   C, X, Y: any that broadcast by numpy's rule -> Z: the broadcast shape
    Raises:   DTypeError if X and Y differ in type; ShapeError if they do not broadcast.
    Source:   freshpot's own, for nets made of modules; Where neither broadcasts nor has a gradient
    """

    inputs = (Port("C", BOOL), Port("X", (*NUMERIC, *BOOL)), Port("Y", (*NUMERIC, *BOOL)))
    outputs = (Port("Z"),)

    def check(self, C: Tensor, X: Tensor, Y: Tensor) -> None:
        if X.dtype != Y.dtype:
            self.refuse(f"X and Y must have one type, got {name_of(X)} and {name_of(Y)}.", DTypeError)
        try:
            torch.broadcast_shapes(C.shape, X.shape, Y.shape)
        except RuntimeError:
            self.refuse(
                f"C {tuple(C.shape)}, X {tuple(X.shape)} and Y {tuple(Y.shape)} do not broadcast together."
            )

    def kernel(self, C: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        return torch.where(C, X, Y)

    @gradient("C X Y dZ -> dX dY")
    def backward(self, C: Tensor, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor]:
        none = torch.zeros((), dtype=dZ.dtype, device=dZ.device)
        dX, dY = torch.where(C, dZ, none), torch.where(C, none, dZ)
        return dX.sum_to_size(X.shape), dY.sum_to_size(Y.shape)
