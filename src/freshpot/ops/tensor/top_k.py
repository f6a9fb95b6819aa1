"""The largest elements."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class TopK(Operator):
    """Values = the k largest elements along a dimension, falling (of equal ones, the first first).

    Where k is larger than the dimension, what is missing is 0, with index -1.

    Shapes:   X: any; k: one number, instead of the argument -> Values, Indices: k along ``axis``;
              Flattened_indices: (elements,), the places in X's memory
    Raises:   ArgumentError if k is not positive or the dimension is not there.
    Source:   caffe2/operators/top_k.cc
    """

    inputs = (Port("X", FLOAT), Port("k", ("int64",), optional=True))
    outputs = (Port("Values"), Port("Indices"), Port("Flattened_indices", optional=True))
    args = (
        Arg("k", int, -1, "how many; needed if it is not an input"),
        Arg("axis", int, -1, "the dimension"),
    )

    def setup(self) -> None:
        if self.num_inputs == 1 and self.k < 1:
            self.refuse(f"argument 'k' must be positive, got {self.k}.", ArgumentError)

    def check(self, X: Tensor, *_: Tensor) -> None:
        if not -X.dim() <= self.axis < X.dim():
            self.refuse(f"argument 'axis' is {self.axis}, but X has {X.dim()} dimensions.", ArgumentError)

    def kernel(self, X: Tensor, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, axis = int(given[0].item()) if given else self.k, self.axis % X.dim()
        if k < 1:
            self.refuse(f"k must be positive, got {k}.", ArgumentError)
        size = X.shape[axis]
        values, indices = torch.sort(X, dim=axis, descending=True, stable=True)
        values, indices = (part.narrow(axis, 0, min(k, size)).contiguous() for part in (values, indices))
        places = torch.arange(X.numel(), device=X.device).view(X.shape).gather(axis, indices)
        missing = list(X.shape)
        missing[axis] = max(k - size, 0)
        if missing[axis]:
            values = torch.cat((values, values.new_zeros(missing)), axis)
            indices, places = (torch.cat((t, t.new_full(missing, -1)), axis) for t in (indices, places))
        return values, indices, places.reshape(-1).clone()

    @gradient("dValues Indices X -> dX", check=Operator.check)
    def backward(self, dValues: Tensor, Indices: Tensor, X: Tensor) -> Tensor:
        kept = torch.where(Indices < 0, 0.0, dValues)
        return torch.zeros_like(X).scatter_add_(self.axis % X.dim(), Indices.clamp(min=0), kept)
