"""Elements chosen along one dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import BOOL, NUMERIC, Arg, Port
from freshpot.ops._operator import Operator, gradient


class GatherElements(Operator):
    """Y[i, j, …] = X with the index along ``axis`` taken from indices[i, j, …].

    Shapes:   X: any; indices: as many dimensions, int64 -> Y: as indices
    Raises:   ShapeError if they do not fit.
    Source:   freshpot's own, for nets made of modules
    """

    inputs = (Port("X", (*NUMERIC, *BOOL)), Port("indices", ("int64",)))
    outputs = (Port("Y"),)
    args = (Arg("axis", int, 0, "the dimension that indices count along"),)

    def check(self, X: Tensor, indices: Tensor) -> None:
        if X.dim() != indices.dim() or not -X.dim() <= self.axis < max(X.dim(), 1):
            self.refuse(
                f"X {tuple(X.shape)} and indices {tuple(indices.shape)} must have as many dimensions, axis "
                f"{self.axis} among them."
            )

    def kernel(self, X: Tensor, indices: Tensor) -> Tensor:
        return torch.gather(X, self.axis, indices)

    @gradient("X indices dY -> dX")
    def backward(self, X: Tensor, indices: Tensor, dY: Tensor) -> Tensor:
        return torch.zeros_like(X).scatter_add_(self.axis, indices, dY)
