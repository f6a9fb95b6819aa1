"""Rows chosen by a mask, put back, counted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.schema import BOOL, INTS, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.sparse._segments import from_lengths


class BooleanMask(Operator):
    """masked_data = the rows where the mask is true; masked_indices = their numbers.

    Shapes:   data: (N, ...); mask: (N,) bool -> (n, ...); (n,) int64, optional
    Differs:  the gradient is right for vectors only, as in the original: it is always of shape (N,).
    Source:   caffe2/operators/boolean_mask_ops.h
    """

    inputs = (Port("data"), Port("mask", BOOL, "N"))
    outputs = (Port("masked_data"), Port("masked_indices", optional=True))

    def check(self, data: Any, mask: Tensor) -> None:
        if len(data.shape) < 1 or data.shape[0] != mask.numel():
            self.refuse(
                f"mask must have one element for each row of data {tuple(data.shape)}; got {mask.numel()}."
            )

    def kernel(self, data: Any, mask: Tensor) -> tuple[Any, ...]:
        kept = mask.nonzero().reshape(-1)
        rows = data.index_select(0, kept) if isinstance(data, Tensor) else data[kept.cpu().numpy()]
        return rows, kept

    @gradient("mask dmasked_data -> ddata", check=lambda *inputs: None)
    def backward(self, mask: Tensor, dY: Tensor) -> Tensor:
        dX = dY.new_zeros(mask.numel())
        dX[mask] = dY.reshape(-1)[: int(mask.sum())]
        return dX


class BooleanUnmask(Operator):
    """unmasked = the rows of each data at the places where its mask, and none before, is true.

    Shapes:   pairs of mask: (N,) bool and data: as many elements as its mask has true places -> (N,)
    Raises:   ShapeError if a place is true in no mask, or sizes do not fit.
    Source:   caffe2/operators/boolean_unmask_ops.h
    """

    inputs = (Port("mask", BOOL), Port("data"), Port("mask_k, data_k", many=True, at_least=0))
    outputs = (Port("unmasked_data"),)
    gradient_stops = True

    def setup(self) -> None:
        if self.num_inputs % 2 or self.num_inputs > 24:
            self.refuse(f"takes 1 to 12 pairs of mask and data, got {self.num_inputs} inputs.", ArityError)

    def check(self, *inputs: Any) -> None:
        for k in range(0, len(inputs), 2):
            mask, data = inputs[k : k + 2]
            if mask.dtype != torch.bool or mask.dim() != 1 or mask.shape != inputs[0].shape:
                self.refuse(f"input {k} must be a mask of {inputs[0].numel()} bools.")
            if data.dim() != 1 or data.dtype != inputs[1].dtype:
                self.refuse(f"input {k + 1} must be a vector of {inputs[1].dtype}.")

    def kernel(self, *inputs: Tensor) -> Tensor:
        size = inputs[0].numel()
        Y = inputs[1].new_zeros(size)
        done = torch.zeros(size, dtype=torch.bool, device=Y.device)
        for mask, data in zip(inputs[::2], inputs[1::2], strict=True):
            if int(mask.sum()) != data.numel():
                self.refuse(f"a mask has {int(mask.sum())} true places for {data.numel()} elements.")
            new = mask & ~done
            Y[new] = data[new[mask]]
            done |= mask
        if not bool(done.all()):
            self.refuse(f"{int((~done).sum())} of {size} places are true in no mask.")
        return Y


class BooleanMaskLengths(Operator):
    """masked_lengths[k] = how many elements of the mask are true in segment k.

    Shapes:   lengths: (N,); mask: (sum of lengths,) bool -> as lengths
    Source:   caffe2/operators/boolean_mask_ops.h
    """

    inputs = (Port("lengths", INTS, "N"), Port("mask", BOOL, "M"))
    outputs = (Port("masked_lengths"),)
    gradient_stops = True

    def kernel(self, lengths: Tensor, mask: Tensor) -> Tensor:
        parts = from_lengths(self, lengths, mask.numel())
        return torch.zeros_like(lengths).index_add_(0, parts.ids, mask.to(lengths.dtype))
