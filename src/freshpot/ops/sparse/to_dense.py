"""Sparse numbers to dense tensors and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, INTS, NUMERIC, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.sparse._segments import from_lengths


class SparseToDense(Operator):
    """Y[indices[i]] += values[i].

    Shapes:   indices: (M,); values: (M, ...); data_to_infer_dim: (N, ...), optional -> Y: (N, ...); N is the
              greatest index + 1 without the third input
    Source:   caffe2/operators/sparse_to_dense_op.h
    """

    inputs = (Port("indices", INTS, "M"), Port("values", NUMERIC), Port("data_to_infer_dim", optional=True))
    outputs = (Port("Y"),)

    def check(self, indices: Tensor, values: Tensor, *rest: Any) -> None:
        if values.dim() < 1 or values.shape[0] != indices.numel():
            self.refuse(
                f"values {tuple(values.shape)} must have one row for each of {indices.numel()} indices."
            )

    def kernel(self, indices: Tensor, values: Tensor, *like: Any) -> Tensor:
        low, high = (int(x) for x in torch.aminmax(indices)) if indices.numel() else (0, -1)
        rows = like[0].shape[0] if like else high + 1
        if low < 0 or high >= rows:
            self.refuse(f"indices must be from 0 to {rows - 1}; found {low} to {high}.")
        return values.new_zeros(rows, *values.shape[1:]).index_add_(0, indices, values)

    def infer(self, indices: Tensor, values: Tensor, *like: Tensor) -> Sequence[Tensor] | None:
        """Without the third input the rows depend on the indices themselves."""
        return [values.new_empty(like[0].shape[0], *values.shape[1:])] if like else None

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("Gather", [g.GO(0), g.I(0)], [g.GI(1)])]


class SparseToDenseMask(Operator):
    """Y[k, j] = the value of example k whose index is mask[j], or the default value if there is none.

    Shapes:   indices: (M,); values: (M, ...); default_value: (...); lengths: (N,) int32 ->
              Y: (N, len(mask), ...), presence_mask: (N, len(mask)) bool; without lengths there is one example
              and no axis for it
    Source:   caffe2/operators/sparse_to_dense_mask_op.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("indices", INTS, "M"),
        Port("values"),
        Port("default_value"),
        Port("lengths", INT, optional=True),
    )
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"), Port("presence_mask", optional=True))
    args = (
        Arg("mask", [int], doc="indices to look for"),
        Arg("return_presence_mask", bool, False, "also say which values were there"),
        Arg(
            "max_skipped_indices", int, 50, "examples with indices out of bounds that are passed over in all"
        ),
    )

    def setup(self) -> None:
        if not self.mask or len(set(self.mask)) < len(self.mask):
            self.refuse("argument 'mask' must list different indices, one at least.", ArgumentError)
        if self.return_presence_mask and self.num_outputs < 2:
            self.refuse("return_presence_mask=1 goes with a second output.", ArgumentError)

    def check(self, indices: Tensor, values: Tensor, default: Tensor, *rest: Tensor) -> None:
        if values.dim() < 1 or values.shape[0] != indices.numel():
            self.refuse(
                f"values {tuple(values.shape)} must have one row for each of {indices.numel()} indices."
            )
        if values.dtype != default.dtype or values.shape[1:].numel() != default.numel():
            self.refuse(f"default_value must be like one row of values {tuple(values.shape)}.")

    def places(self, indices: Tensor, lengths: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, int]:
        """Which rows of values are wanted, the example and column of each, and how many examples there are."""
        known = torch.tensor(self.mask, dtype=torch.int64, device=indices.device)
        ordered, columns = torch.sort(known)
        at = torch.searchsorted(ordered, indices.long()).clamp(max=len(self.mask) - 1)
        wanted = (ordered[at] == indices).nonzero().reshape(-1)
        if lengths:
            parts = from_lengths(self, lengths[0], indices.numel())
            return wanted, parts.ids[wanted], columns[at[wanted]], parts.total
        return wanted, torch.zeros_like(wanted), columns[at[wanted]], 1

    def kernel(
        self, indices: Tensor, values: Tensor, default: Tensor, *lengths: Tensor
    ) -> tuple[Tensor, ...]:
        wanted, example, column, count = self.places(indices, lengths)
        rest = values.shape[1:]
        Y = default.reshape(1, 1, *rest).repeat(count, len(self.mask), *[1] * len(rest))
        present = torch.zeros(count, len(self.mask), dtype=torch.bool, device=values.device)
        Y[example, column] = values[wanted]
        present[example, column] = True
        return (Y, present) if lengths else (Y[0].clone(), present[0].clone())

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        lengths = [g.I(3)] if len(g.op.inputs) == 4 else []
        return [g.new("SparseToDenseMaskGradient", [g.I(0), g.GO(0), *lengths], [g.GI(1)])]


class SparseToDenseMaskGradient(SparseToDenseMask):
    """Gradient of SparseToDenseMask, for the values: of several in one place, for the last, which is there."""

    inputs = (Port("indices", INTS, "M"), Port("dY"), Port("lengths", INT, optional=True))
    outputs = (Port("dvalues"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def setup(self) -> None:
        """The forward operator has checked the arguments."""

    def check(self, *inputs: Tensor) -> None:
        """Nothing that the kernel does not see."""

    def kernel(self, indices: Tensor, dY: Tensor, *lengths: Tensor) -> Tensor:
        wanted, example, column, count = self.places(indices, lengths)
        rest = dY.shape[2:] if lengths else dY.shape[1:]
        dX = dY.new_zeros(indices.numel(), *rest)
        dX[wanted] = dY.reshape(count, len(self.mask), *rest)[example, column]
        place = example * len(self.mask) + column
        order = torch.arange(len(place), device=place.device)
        last = order.new_zeros(count * len(self.mask)).scatter_reduce_(0, place, order, "amax")
        dX[wanted[order != last[place]]] = 0
        return dX


class DenseVectorToIdList(Operator):
    """values = the columns that are not 0, row after row; lengths = how many each row has.

    Shapes:   X: (N, D) float -> lengths: (N,) int32; values: (their sum,) int32
    Source:   caffe2/operators/dense_vector_to_id_list_op.h
    """

    inputs = (Port("X", FLOAT, "N D"),)
    outputs = (Port("lengths"), Port("values"))
    gradient_stops = True

    def kernel(self, X: Tensor) -> tuple[Tensor, ...]:
        found = X != 0
        return found.sum(1).int(), found.nonzero()[:, 1].int()


class BatchSparseToDense(Operator):
    """Y[k, indices] = values, for the indices and values of row k; default_value elsewhere.

    Shapes:   lengths: (N,) int64; indices, values: (sum of lengths,); output_shape_inference: (N, D), optional
              -> Y: (N, D), D = dense_last_dim without the fourth input
    Source:   caffe2/operators/batch_sparse_to_dense_op.h
    """

    inputs = (
        Port("lengths", ("int64",), "N"),
        Port("indices", ("int64",), "M"),
        Port("values", FLOAT, "M"),
        Port("output_shape_inference", optional=True),
    )
    outputs = (Port("Y"),)
    args = (
        Arg("dense_last_dim", int, -1, "columns of the output"),
        Arg("default_value", float, 0.0, "what stands where there is no value"),
    )

    def kernel(self, lengths: Tensor, indices: Tensor, values: Tensor, *like: Any) -> Tensor:
        columns = like[0].shape[-1] if like else self.dense_last_dim
        if columns < 0 or (like and like[0].shape[0] != lengths.numel()):
            self.refuse(
                "the output's shape must come from 'dense_last_dim' or a matrix with one row a length."
            )
        Y = torch.full((lengths.numel(), columns), self.default_value, device=values.device)
        Y[_places(self, lengths, indices, columns)] = values
        return Y

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("BatchDenseToSparse", [g.I(0), g.I(1), g.GO(0)], [g.GI(2)])]


class BatchDenseToSparse(Operator):
    """values = dense[k, indices], for the indices of each row k.

    Shapes:   lengths: (N,) int64; indices: (sum of lengths,) int64; dense: (N, D) -> values: (sum of lengths,)
    Source:   caffe2/operators/batch_sparse_to_dense_op.h
    """

    inputs = (Port("lengths", ("int64",), "N"), Port("indices", ("int64",), "M"), Port("dense", FLOAT, "N D"))
    outputs = (Port("values"),)

    def kernel(self, lengths: Tensor, indices: Tensor, dense: Tensor) -> Tensor:
        return dense[_places(self, lengths, indices, dense.shape[1])]

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("BatchSparseToDense", [g.I(0), g.I(1), g.GO(0), g.I(2)], [g.GI(2)])]


def _places(operator: Operator, lengths: Tensor, indices: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    parts = from_lengths(operator, lengths, indices.numel())
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= columns):
        operator.refuse(f"indices must be from 0 to {columns - 1}.")
    return parts.ids, indices
