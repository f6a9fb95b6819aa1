"""Writing rows of a table in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.schema import FLOATS, Port
from freshpot.ops.optimizer._update import INDICES, Update, rounds, scalar


class ScatterWeightedSum(Update):
    """Rows X_0[indices] = weight_0 * X_0[indices] + weight_1 * X_1 + …; a row named twice is scaled twice.

    Shapes:   X_0: (rows, ...); weights: (1,); indices: (n,); X_1 …: (n, ...) -> X_0
    Source:   caffe2/operators/utility_ops.h (ScatterWeightedSumOp)
    """

    inputs = (
        Port("X_0", FLOATS),
        Port("weight_0", ("float32",)),
        INDICES,
        Port("X_k, weight_k", many=True, at_least=2),
    )
    outputs = (Port("X_0"),)
    must_inplace = ((0, 0),)

    def setup(self) -> None:
        if self.num_inputs % 2 == 0 or self.num_inputs > 23:
            self.refuse(
                f"takes X_0, weight_0, indices and then 1 to 10 pairs, got {self.num_inputs} inputs.",
                ArityError,
            )

    def check(self, *inputs: Tensor) -> None:
        X, indices = inputs[0], inputs[2]
        if X.dim() < 1:
            self.refuse("X_0 must have rows.")
        for k in range(3, len(inputs), 2):
            if inputs[k].numel() != indices.numel() * X.shape[1:].numel() or inputs[k].dtype != X.dtype:
                self.refuse(
                    f"input {k} must have one row like X_0's for each of the {indices.numel()} indices."
                )
        for k in (1, *range(4, len(inputs), 2)):
            if inputs[k].numel() != 1:
                self.refuse(f"input {k}, a weight, must be one number.")

    def kernel_inplace(self, *inputs: Tensor) -> Tensor:
        X, flat = inputs[0], inputs[2].reshape(-1).long()
        own = scalar(inputs[1])
        added: Any = sum(
            inputs[k].reshape(flat.numel(), *X.shape[1:]) * scalar(inputs[k + 1])
            for k in range(3, len(inputs), 2)
        )
        _check_rows(self, flat, X.shape[0])
        for at in rounds(flat):
            rows = flat if at is None else flat[at]
            X.index_copy_(0, rows, X.index_select(0, rows) * own)
        if flat.numel():
            X.index_add_(0, flat, added)
        return X


class ScatterAssign(Update):
    """Rows data[indices] = slices.

    Shapes:   data: (rows, ...); indices: (n,); slices: (n, ...) -> data
    Source:   caffe2/operators/utility_ops.h (ScatterAssignOp)
    """

    inputs = (Port("data"), INDICES, Port("slices"))
    outputs = (Port("data"),)
    must_inplace = ((0, 0),)

    def check(self, *inputs: Any) -> None:
        data, indices, slices = inputs
        if data.dim() < 1 or slices.numel() != indices.numel() * data.shape[1:].numel():
            self.refuse(f"slices must have one row like data's for each of the {indices.numel()} indices.")
        if data.dtype != slices.dtype:
            self.refuse(f"slices must be of data's type, {data.dtype}; got {slices.dtype}.")

    def kernel_inplace(self, data: Tensor, indices: Tensor, slices: Tensor) -> Tensor:
        flat = indices.reshape(-1).long()
        _check_rows(self, flat, data.shape[0])
        slices = slices.reshape(flat.numel(), *data.shape[1:])
        for at in rounds(flat):
            rows = flat if at is None else flat[at]
            data.index_copy_(0, rows, slices if at is None else slices[at])
        return data


def _check_rows(operator: Update, flat: Tensor, rows: int) -> None:
    if flat.numel():
        low, high = (int(x) for x in torch.aminmax(flat))
        if low < 0 or high >= rows:
            operator.refuse(f"indices must be from 0 to {rows - 1}; found {low} to {high}.")
