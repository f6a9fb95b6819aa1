"""Tensors whose sizes follow another tensor's first one, the batch's."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import BOOL, NUMERIC, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.dtypes import torch_dtype

_SHAPE = Arg(
    "shape", [int], doc="sizes of Y; -k stands for k times the first size of `like`, which then must be given"
)


class _Sized(Operator, abstract=True):
    def setup(self) -> None:
        if min(self.shape, default=0) < 0 and not self.reference:
            self.refuse(f"shape {self.shape} has open sizes, and no tensor is given for them.", ArgumentError)

    @property
    def reference(self) -> bool:
        """True if a tensor is given that the open sizes follow."""
        return True

    def sizes(self, like: Tensor | None) -> list[int]:
        """The sizes of Y."""
        if like is None:
            return list(self.shape)
        if not like.dim() and min(self.shape, default=0) < 0:
            self.refuse("`like` has no dimension for the open sizes to follow.")
        return [size if size >= 0 else -size * like.shape[0] for size in self.shape]


class FillSized(_Sized):
    """Y = value everywhere.

    Shapes:   like: any with a first size, or left out -> Y: ``shape``
    Raises:   ArgumentError if sizes are open and ``like`` is left out.
    Source:   freshpot's own, for nets made of modules
    """

    inputs = (Port("like", (*NUMERIC, *BOOL), optional=True),)
    outputs = (Port("Y"),)
    args = (
        _SHAPE,
        Arg("value", float, 0.0, "the value"),
        Arg("dtype", int, 1, "TensorProto.DataType number of Y"),
    )
    gradient_stops = True

    @property
    def reference(self) -> bool:
        return self.num_inputs == 1

    def kernel(self, like: Tensor | None = None) -> Tensor:
        device = self.device if like is None else like.device
        return torch.full(self.sizes(like), self.value, dtype=torch_dtype(self.dtype), device=device)


class BroadcastTo(_Sized):
    """Y = X, broadcast by numpy's rule to ``shape``.

    Shapes:   X: any; like: any with a first size, or left out -> Y: ``shape``
    Raises:   ShapeError if they do not broadcast; ArgumentError if sizes are open and ``like`` is left out.
    Source:   freshpot's own, for nets made of modules; Expand takes the shape as a tensor
    """

    inputs = (Port("X", (*NUMERIC, *BOOL)), Port("like", (*NUMERIC, *BOOL), optional=True))
    outputs = (Port("Y"),)
    args = (_SHAPE,)

    @property
    def reference(self) -> bool:
        return self.num_inputs == 2

    def kernel(self, X: Tensor, like: Tensor | None = None) -> Tensor:
        sizes = self.sizes(like)
        try:
            return X.expand(sizes).clone(memory_format=torch.contiguous_format)
        except RuntimeError:
            self.refuse(f"X {tuple(X.shape)} cannot be broadcast to {sizes}.")

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return dY.clone().sum_to_size(X.shape)
