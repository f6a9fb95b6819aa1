"""Broadcasting and one-hot rows."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import INTS, NUMERIC, Port
from freshpot.ops._operator import Operator, gradient


class Expand(Operator):
    """Y = X, broadcast by numpy's rule with ``shape``, in which a number < 1 counts as 1.

    Shapes:   X: any; shape: (dimensions,) -> Y: the broadcast shape
    Raises:   ShapeError if they do not broadcast.
    Source:   caffe2/operators/expand_op.h
    """

    inputs = (Port("X", NUMERIC), Port("shape", INTS))
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor, shape: Tensor) -> Tensor:
        wanted = [max(size, 1) for size in shape.tolist()]  # what is not positive leaves X as it is
        try:
            full = torch.broadcast_shapes(X.shape, wanted)
        except RuntimeError:
            self.refuse(f"X {tuple(X.shape)} cannot be broadcast with {wanted}.")
        return X.expand(full).clone(memory_format=torch.contiguous_format)

    @gradient("dY X -> dX")
    def backward(self, dY: Tensor, X: Tensor) -> Tensor:
        return dY.clone().sum_to_size(X.shape)


class OneHot(Operator):
    """one_hots[i] = 0 everywhere but at indices[i], where it is 1.

    Shapes:   indices: (N,); index_size_tensor: one number D -> one_hots: (N, D) float32
    Raises:   ShapeError if D is not one number, or an index is outside 0..D-1.
    Source:   caffe2/operators/one_hot_ops.h
    """

    inputs = (Port("indices", ("int64",), "N"), Port("index_size_tensor", ("int64",)))
    outputs = (Port("one_hots"),)
    gradient_stops = True

    def check(self, indices: Tensor, index_size_tensor: Tensor) -> None:
        if index_size_tensor.numel() != 1:
            self.refuse(f"index_size_tensor must be one number, got {tuple(index_size_tensor.shape)}.")

    def kernel(self, indices: Tensor, index_size_tensor: Tensor) -> Tensor:
        D = int(index_size_tensor.item())
        if indices.numel() and not (0 <= int(indices.min()) and int(indices.max()) < D):
            self.refuse(f"all indices must be from 0 to {D - 1}.")
        made = torch.zeros((indices.numel(), D), device=indices.device)
        return made.scatter_(1, indices.reshape(-1, 1), 1.0)
