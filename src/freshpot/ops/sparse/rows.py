"""Rows and elements picked, put and taken out by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError, DataError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe
from freshpot.ops.sparse._rows import as_index, take


class Scatter(Operator):
    """OUTPUT = DATA, but OUTPUT[.., INDICES[.., i, ..], ..] = UPDATES[.., i, ..] along ``axis``.

    Shapes:   DATA: any; INDICES, UPDATES: of one shape, DATA's but along ``axis`` -> as DATA
    Raises:   ShapeError if shapes do not fit, or an index lies outside.
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("DATA"), Port("INDICES", INTS), Port("UPDATES"))
    outputs = (Port("OUTPUT"),)
    args = (Arg("axis", int, 1, "the dimension"),)
    inplace = ((0, 0),)

    def check(self, data: Tensor, indices: Tensor, updates: Tensor) -> None:
        if not -data.dim() <= self.axis < data.dim():
            self.refuse(
                f"argument 'axis' is {self.axis}, but DATA has {data.dim()} dimensions.", ArgumentError
            )
        axis = self.axis % data.dim()
        fits = [a == b or i == axis for i, (a, b) in enumerate(zip(indices.shape, data.shape, strict=False))]
        if indices.dim() != data.dim() or not all(fits) or updates.shape != indices.shape:
            self.refuse(
                f"INDICES and UPDATES must be like DATA, {tuple(data.shape)}, but along dimension {axis}."
            )
        if data.dtype != updates.dtype:
            self.refuse(f"UPDATES must be of DATA's type, {data.dtype}; got {updates.dtype}.")

    def kernel(self, data: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        size = data.shape[self.axis]
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < size:
            self.refuse(f"indices must be from 0 to {size - 1}.")
        return data.scatter(self.axis, indices.long(), updates)

    def infer(self, data: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(data),)


class RemoveDataBlocks(Operator):
    """The rows of data that indices do not name.

    Shapes:   data: (N, ...); indices: (n,) -> (rows that remain, ...)
    Raises:   ShapeError if an index is not a row.
    Source:   caffe2/operators/remove_data_blocks_op.h
    """

    inputs = (Port("data"), Port("indices", INTS, "n"))
    outputs = (Port("shrunk_data"),)

    def check(self, data: Any, indices: Tensor) -> None:
        if len(data.shape) < 1:
            self.refuse("data must have rows.")

    def kernel(self, data: Any, indices: Tensor) -> Any:
        rows = data.shape[0]
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < rows:
            self.refuse(f"indices must be from 0 to {rows - 1}.")
        kept = torch.ones(rows, dtype=torch.bool, device=indices.device)
        kept[indices.long()] = False
        return data[as_index(kept, data)]


def _copy_rule(g: GradientMaker) -> list[Op]:
    return [g.new("CopyRowsToTensorGradient", [g.GO(0)], [g.GI(0)])]


_ROW = ("float16", "float32", "float64", "int32", "int64")


class CopyRowsToTensor(Operator):
    """The table, with one row put at several places.

    Shapes:   input_tensor: (N, D); indices: (n,) int64; row: (D,) -> input_tensor
    Raises:   ShapeError if the row does not fit, or an index lies outside.
    Source:   caffe2/operators/copy_rows_to_tensor_op.h
    """

    inputs = (Port("input_tensor", _ROW, "N D"), Port("indices", ("int64",), "n"), Port("row", _ROW, "D"))
    outputs = (Port("output_tensor"),)
    must_inplace = ((0, 0),)
    gradient_rule = staticmethod(_copy_rule)

    def check(self, table: Tensor, indices: Tensor, row: Tensor) -> None:
        if table.dtype != row.dtype:
            self.refuse(f"the row must be of the table's type, {table.dtype}; got {row.dtype}.")

    def kernel(self, table: Tensor, indices: Tensor, row: Tensor) -> Tensor:
        return self.kernel_inplace(table.clone(), indices, row)

    def kernel_inplace(self, table: Tensor, indices: Tensor, row: Tensor) -> Tensor:
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < len(table):
            self.refuse(f"indices must be from 0 to {len(table) - 1}.")
        table[indices] = row
        return table

    def infer(self, table: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(table),)


class CopyRowsToTensorGradient(Operator):
    """The gradient of the table: that of the output, of which the original keeps the rows that were written, too.

    Source:   caffe2/operators/copy_rows_to_tensor_op.h
    """

    inputs = (Port("dY"),)
    outputs = (Port("dX"),)
    inplace = ((0, 0),)
    no_gradient = "it is itself a gradient"

    def kernel(self, dY: Tensor) -> Tensor:
        return dY.clone()

    def kernel_inplace(self, dY: Tensor) -> Tensor:
        return dY


class GatherRanges(Operator):
    """OUTPUT = the elements of all ranges (start, length), one after another; LENGTHS = of each example.

    Shapes:   DATA: (M,); RANGES: (N, ranges of an example, 2) -> OUTPUT: (sum of lengths,); LENGTHS: (N,) int32
    Raises:   ShapeError if a range lies outside.
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("DATA", (), "M"), Port("RANGES", INTS, "N R 2"))
    outputs = (Port("OUTPUT"), Port("LENGTHS"))

    def kernel(self, data: Any, ranges: Tensor) -> tuple[Any, ...]:
        flat = ranges.reshape(-1, 2).long()
        if len(flat) and (int(flat.min()) < 0 or int(flat.sum(1).max()) > data.shape[0]):
            self.refuse(f"a range lies outside the {data.shape[0]} elements.")
        sizes = flat[:, 1]
        within = torch.arange(int(sizes.sum()), device=sizes.device)
        within = within - torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
        rows = within + torch.repeat_interleave(flat[:, 0], sizes)
        return take(data, rows), ranges[..., 1].sum(1).int()

    def infer(self, data: Any, ranges: Tensor) -> Sequence[Any]:
        """The lengths; how many elements there are only the data says."""
        return [None, ranges.new_empty(ranges.shape[0], dtype=torch.int32)]


class GatherRangesToDense(Operator):
    """For each range of an example, its elements in a row; zeros where it has another length than ``lengths`` says.

    With KEY, elements stand in the order of their keys. Too many wrong lengths are an error.

    Shapes:   DATA: (M,); RANGES: (N, F, 2) of start and length; KEY: (M,) -> (N, lengths[f]) for each f
    Raises:   ShapeError if a range lies outside; DataError if too many ranges are empty or of another length.
    Source:   caffe2/operators/gather_ranges_to_dense_op.h
    """

    remembers = True
    inputs = (
        Port("DATA", (), "M"),
        Port("RANGES", INTS, "N F 2"),
        Port("KEY", ("int64",), "M", optional=True),
    )
    outputs = (Port("OUTPUT", many=True),)
    args = (
        Arg("lengths", [int], doc="expected length of each range, > 0"),
        Arg("min_observation", int, 10000, "examples that count at least for the ratios"),
        Arg("max_mismatched_ratio", float, 0.01, "of ranges with another length; 1: never an error"),
        Arg("max_empty_ratio", float, 1.0, "of empty ranges; 1: never an error"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if not self.lengths or min(self.lengths) < 1 or self.min_observation < 1:
            self.refuse("arguments 'lengths' and 'min_observation' must be positive.", ArgumentError)
        if len(self.lengths) != self.num_outputs:
            self.refuse(f"there are {len(self.lengths)} lengths for {self.num_outputs} outputs.", ArityError)
        self.seen, self.empty, self.other = 0, [0] * self.num_outputs, [0] * self.num_outputs

    def check(self, data: Tensor, ranges: Tensor, *key: Tensor) -> None:
        if ranges.shape[1] != len(self.lengths) or not isinstance(data, Tensor):
            self.refuse(
                f"RANGES must be (N, {len(self.lengths)}, 2), and DATA numbers; got {describe(data)}."
            )

    def kernel(self, data: Tensor, ranges: Tensor, *key: Tensor) -> tuple[Tensor, ...]:
        made = []
        for f, length in enumerate(self.lengths):
            start, size = ranges[:, f].long().unbind(1)
            full = size == length
            if bool(((start < 0) | (start + size > len(data)))[full].any()):
                self.refuse(f"a range lies outside the {len(data)} elements.")
            places = start[full][:, None] + torch.arange(length, device=start.device)
            if key:
                places = places.gather(1, torch.argsort(key[0][places], dim=1, stable=True))
            out = data.new_zeros(len(ranges), length)
            out[full] = data[places]
            made.append(out)
            self.empty[f] += int((size == 0).sum())
            self.other[f] += int((~full & (size != 0)).sum())
        self._judge(len(ranges))
        return tuple(made)

    def _judge(self, examples: int) -> None:
        self.seen += examples
        for counts, ratio, what in (
            (self.other, self.max_mismatched_ratio, "have another length"),
            (self.empty, self.max_empty_ratio, "are empty"),
        ):
            most = max(self.seen, self.min_observation) * ratio
            if ratio < 1 and max(counts) > most:
                raise DataError(
                    f"{self.op}: {max(counts)} of {self.seen} ranges of a feature {what}; {most:g} may."
                )

    def infer(self, data: Tensor, ranges: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return tuple(data.new_empty(ranges.shape[0], n) for n in self.lengths)


class MergeIdLists(Operator):
    """For each example, the different ids of all lists, rising.

    Shapes:   lengths: (N,) and values for each list -> merged_lengths: (N,) int32; merged_values
    Raises:   ShapeError if lengths do not add up to the values.
    Source:   caffe2/operators/merge_id_lists_op.h
    """

    inputs = (Port("lengths_and_values", INTS, many=True, at_least=2),)
    outputs = (Port("merged_lengths"), Port("merged_values"))
    gradient_stops = True

    def setup(self) -> None:
        if self.num_inputs % 2:
            self.refuse(f"takes pairs of lengths and values, got {self.num_inputs} inputs.", ArityError)

    def check(self, *inputs: Tensor) -> None:
        lengths, values = inputs[::2], inputs[1::2]
        if any(t.dtype != torch.int32 or t.shape != lengths[0].shape or t.dim() != 1 for t in lengths):
            self.refuse("all lengths must be vectors of int32, equally long.")
        if any(t.dtype != values[0].dtype or t.dim() != 1 for t in values):
            self.refuse("all values must be vectors of one type.")

    def kernel(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        lengths, values = inputs[::2], inputs[1::2]
        for size, ids in zip(lengths, values, strict=True):
            if int(size.sum()) != len(ids):
                self.refuse(f"lengths add up to {int(size.sum())}, but there are {len(ids)} values.")
        numbers = torch.arange(len(lengths[0]), device=lengths[0].device)
        examples = torch.cat([torch.repeat_interleave(numbers, size.long()) for size in lengths])
        pairs = torch.unique(torch.stack((examples, torch.cat(values).long())), dim=1)
        counts = torch.bincount(pairs[0], minlength=len(numbers)).int()
        return counts, pairs[1].to(values[0].dtype)

    def infer(self, *_: Tensor) -> None:
        return None


class KeySplit(Operator):
    """Places of each key: output k has those of the elements that are k.

    Shapes:   keys: any -> (how many,) int32 for each k
    Raises:   ShapeError for a key outside 0 .. categorical_limit - 1.
    Source:   caffe2/operators/key_split_ops.h
    """

    inputs = (Port("keys", ("int64",)),)
    outputs = (Port("places", many=True),)
    args = (Arg("categorical_limit", int, 0, "number of keys, > 0"),)

    def setup(self) -> None:
        if self.categorical_limit < 1 or self.num_outputs != self.categorical_limit:
            self.refuse(
                f"argument 'categorical_limit' must be the number of outputs, {self.num_outputs}.",
                ArgumentError,
            )

    def kernel(self, keys: Tensor) -> tuple[Tensor, ...]:
        flat = keys.reshape(-1)
        if len(flat) and not 0 <= int(flat.min()) <= int(flat.max()) < self.categorical_limit:
            self.refuse(f"keys must be from 0 to {self.categorical_limit - 1}.")
        return tuple((flat == k).nonzero().reshape(-1).int() for k in range(self.categorical_limit))


def _top_rule(g: GradientMaker) -> list[Op]:
    return [g.new("FlexibleTopKGradient", [g.I(0), g.I(1), g.GO(0), g.O(1)], [g.GI(0)])]


class FlexibleTopK(Operator):
    """For each row, its K[row] largest elements, falling, and their places in it.

    Shapes:   X: (..., n); K: (rows,) int64, each from 1 to n -> Values, Indices: (sum of K,)
    Raises:   ShapeError if K does not fit.
    Source:   caffe2/operators/flexible_top_k.cc
    """

    inputs = (Port("X", FLOAT), Port("K", ("int64",)))
    outputs = (Port("Values"), Port("Indices"))
    gradient_rule = staticmethod(_top_rule)

    def check(self, X: Tensor, K: Tensor) -> None:
        if X.dim() < 1 or X.shape[:-1].numel() != K.numel():
            self.refuse(f"K must have one element for each of {X.shape[:-1].numel()} rows, got {K.numel()}.")

    def kernel(self, X: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
        if K.numel() and not 1 <= int(K.min()) <= int(K.max()) <= X.shape[-1]:
            self.refuse(f"each K must be from 1 to {X.shape[-1]}, the size of a row.")
        values, places = torch.sort(X.reshape(K.numel(), -1), descending=True, stable=True)
        kept = torch.arange(X.shape[-1], device=X.device) < K.reshape(-1, 1)
        return values[kept], places[kept]


class FlexibleTopKGradient(Operator):
    """Gradient of FlexibleTopK.

    Source:   caffe2/operators/flexible_top_k.cc
    """

    inputs = (Port("X", FLOAT), Port("K", ("int64",)), Port("dValues", FLOAT), Port("Indices", ("int64",)))
    outputs = (Port("dX"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, X: Tensor, K: Tensor, dValues: Tensor, Indices: Tensor) -> Tensor:
        rows = torch.repeat_interleave(torch.arange(K.numel(), device=X.device), K.reshape(-1))
        dX = X.new_zeros(K.numel(), X.shape[-1])
        dX[rows, Indices.reshape(-1)] = dValues.reshape(-1)
        return dX.reshape(X.shape)


def _split_rule(g: GradientMaker) -> list[Op]:
    grads = [g.GO(i) for i in range(len(g.op.outputs))]
    return [g.new("Concat", grads, [g.GI(0), f"_{g.GI(0)}_dims"])]


class SplitByLengths(Operator):
    """The input cut along a dimension; output i takes as much as its part of the lengths, equally many each, says.

    Shapes:   input: any; lengths: (multiple of the outputs,), adding up to the dimension -> parts
    Raises:   ArgumentError if the dimension is not there; ShapeError if lengths do not fit.
    Source:   caffe2/operators/concat_split_op.h
    """

    inputs = (Port("input"), Port("lengths", INT, "L"))
    outputs = (Port("parts", many=True),)
    args = (
        Arg("axis", int, -1, "the dimension; if not given, the channels' of ``order``"),
        Arg("order", str, "NCHW", "layout of images", choices=("NCHW", "NHWC")),
        Arg(
            "use_scaling_lengths",
            bool,
            False,
            "1: lengths may add up to a part of the dimension, and are scaled",
        ),
    )
    gradient_rule = staticmethod(_split_rule)

    def kernel(self, X: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        axis = self.axis if self.has("axis") else 1 if self.order == "NCHW" else 3
        if not -X.dim() <= axis < X.dim():
            self.refuse(f"the dimension is {axis}, but the input has {X.dim()}.", ArgumentError)
        if len(lengths) % self.num_outputs:
            self.refuse(f"{len(lengths)} lengths are not a multiple of {self.num_outputs} outputs.")
        total, size = int(lengths.sum()), X.shape[axis]
        scale = size // total if self.use_scaling_lengths and total else 1
        if total * scale != size or (len(lengths) and int(lengths.min()) < 0):
            self.refuse(f"lengths must be >= 0 and add up to {size}; they add up to {total}.")
        parts = (lengths.reshape(self.num_outputs, -1).sum(1) * scale).tolist()
        return tuple(p.contiguous().clone() for p in X.split(parts, axis))
