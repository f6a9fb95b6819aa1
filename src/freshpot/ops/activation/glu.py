"""Gated linear unit."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class Glu(Operator):
    """Y = A * sigmoid(B), where A and B are the halves of X along a dimension.

    Shapes:   X: even along ``dim`` -> Y: half of that there
    Raises:   ArgumentError if there is no such dimension; ShapeError if it is odd.
    Source:   caffe2/operators/glu_op.h; Dauphin et al. 2016
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (Arg("dim", int, -1, "the dimension; may be negative"),)

    def check(self, X: Tensor) -> None:
        if not -X.dim() <= self.dim < X.dim():
            self.refuse(f"argument 'dim' is {self.dim}, but X has {X.dim()} dimensions.", ArgumentError)
        if X.shape[self.dim] % 2:
            self.refuse(f"dimension {self.dim} of X {tuple(X.shape)} must be even.")

    def kernel(self, X: Tensor) -> Tensor:
        return torch.nn.functional.glu(X, self.dim)
