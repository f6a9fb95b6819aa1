"""Lengths of segments, and what can be made of them: ids, ranges, offsets, weights, padded rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.sparse._segments import from_lengths, take_rows

_LENGTHS = Port("lengths", INT, "N")


class _OfLengths(Operator, abstract=True):
    """An operator on lengths."""

    inputs: ClassVar[tuple[Port, ...]] = (_LENGTHS,)
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)

    def starts(self, lengths: Tensor) -> Tensor:
        """First row of each segment."""
        if lengths.numel() and int(lengths.min()) < 0:
            self.refuse("lengths must not be negative.")
        return (torch.cumsum(lengths, 0) - lengths).to(lengths.dtype)


class LengthsToSegmentIds(_OfLengths):
    """Y = 0 as often as lengths[0] says, then 1 as often as lengths[1] says, and so on.

    Shapes:   lengths: (N,) int32 -> Y: (sum of lengths,) int32
    Source:   caffe2/operators/utility_ops.h
    """

    def kernel(self, lengths: Tensor) -> Tensor:
        self.starts(lengths)
        numbers = torch.arange(lengths.numel(), dtype=torch.int32, device=lengths.device)
        return torch.repeat_interleave(numbers, lengths.long())


class LengthsToRanges(_OfLengths):
    """Y[k] = first row and length of segment k.

    Shapes:   lengths: (N,) int32 -> Y: (N, 2) int32
    Source:   caffe2/operators/utility_ops.h
    """

    def kernel(self, lengths: Tensor) -> Tensor:
        return torch.stack([self.starts(lengths), lengths], 1)

    def infer(self, lengths: Tensor) -> Sequence[Tensor]:
        """A pair a segment."""
        return [lengths.new_empty(lengths.numel(), 2)]


class LengthsToOffsets(_OfLengths):
    """Y[k] = first row of segment k; with ``include_last_offset`` the total follows.

    Shapes:   lengths: (N,) int32 -> Y: (N,) or (N + 1,) int32
    Source:   caffe2/operators/utility_ops.h
    """

    args = (Arg("include_last_offset", bool, False, "also give the sum of all lengths"),)

    def kernel(self, lengths: Tensor) -> Tensor:
        starts = self.starts(lengths)
        if not self.include_last_offset:
            return starts
        return torch.cat([starts, lengths.sum().to(lengths.dtype).view(1)])


class LengthsToShape(_OfLengths):
    """Y = (N, the length that all have).

    Shapes:   lengths: (N,) int32, all equal -> Y: (2,) int32
    Source:   caffe2/operators/utility_ops.h
    """

    def kernel(self, lengths: Tensor) -> Tensor:
        if lengths.numel() and bool((lengths != lengths[0]).any()):
            self.refuse("all lengths must be equal.")
        return torch.tensor([lengths.numel(), int(lengths[0]) if lengths.numel() else 0], dtype=torch.int32)


class LengthsToWeights(_OfLengths):
    """Y = 1 / lengths[k]^power for each row of segment k.

    Shapes:   lengths: (N,) int -> Y: (sum of lengths,) float
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("lengths", INTS, "N"),)
    args = (Arg("power", float, 0.5, "exponent"),)

    def kernel(self, lengths: Tensor) -> Tensor:
        self.starts(lengths)
        weights = lengths.float().clamp(min=1).pow(-self.power)
        return torch.repeat_interleave(weights, lengths.long())


class LengthsGather(_OfLengths):
    """Y = the rows of segments indices[0], indices[1] …, one after another.

    Shapes:   items: (sum of lengths, ...); lengths: (N,) int32; indices: (M,) -> Y: (their lengths' sum, ...)
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("items"), _LENGTHS, Port("indices", INTS, "M"))

    def kernel(self, items: Tensor, lengths: Tensor, indices: Tensor) -> Tensor:
        counts = take_rows(self, lengths, indices).long()
        starts = take_rows(self, self.starts(lengths), indices).long()
        run = torch.arange(int(counts.sum()), device=items.device)
        first = torch.repeat_interleave(starts - (torch.cumsum(counts, 0) - counts), counts)
        return take_rows(self, items, run + first)


class LengthsTile(_OfLengths):
    """Y = row k of DATA, lengths[k] times over.

    Shapes:   DATA: (N, ...); lengths: (N,) int32 -> Y: (sum of lengths, ...)
    Source:   caffe2/operators/lengths_tile_op.h
    """

    inputs = (Port("DATA", ("float32", "float64", "int32", "int64")), _LENGTHS)

    def check(self, data: Tensor, lengths: Tensor) -> None:
        if data.dim() < 1 or data.shape[0] != lengths.numel():
            self.refuse(
                f"there must be one length for each row of DATA {tuple(data.shape)}; got {lengths.numel()}."
            )

    def kernel(self, data: Tensor, lengths: Tensor) -> Tensor:
        self.starts(lengths)
        return torch.repeat_interleave(data, lengths.long(), dim=0)

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("LengthsSum", [g.GO(0), g.I(1)], [g.GI(0)])]


class LengthsPad(_OfLengths):
    """Y = each segment, padded at its end to one length.

    Shapes:   DATA: (sum of lengths, ...); lengths: (N,) int32 -> Y: (N * target_length, ...)
    Raises:   ShapeError if a segment is longer than that.
    Source:   caffe2/operators/lengths_pad_op.h
    """

    inputs = (Port("DATA", ("float32", "float64", "int32", "int64")), _LENGTHS)
    args = (
        Arg("padding_value", float, 0.0, "what to pad with"),
        Arg("target_length", int, -1, "rows of each segment after padding, >= 1"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.target_length < 1:
            self.refuse(f"argument 'target_length' must be >= 1, got {self.target_length}.", ArgumentError)

    def kernel(self, data: Tensor, lengths: Tensor) -> Tensor:
        parts = from_lengths(self, lengths, data.shape[0])
        longest = int(lengths.max()) if lengths.numel() else 0
        if longest > self.target_length:
            self.refuse(f"a segment has {longest} rows, more than target_length {self.target_length}.")
        Y = data.new_full((lengths.numel() * self.target_length, *data.shape[1:]), self.padding_value)
        position = torch.arange(data.shape[0], device=data.device) - self.starts(lengths)[parts.ids]
        Y[parts.ids * self.target_length + position] = data
        return Y


class LengthsSplit(_OfLengths):
    """Y = each length as n_split numbers that add up to it, as equal as can be, the greater ones first.

    Shapes:   lengths: (N,) int32; n_split (instead of the argument): (1,) int32 -> Y: (N * n_split,) int32
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (_LENGTHS, Port("n_split", INT, optional=True))
    args = (Arg("n_split", int, -1, "number of parts, > 0"),)

    def setup(self) -> None:
        if self.num_inputs == 1 and self.n_split == -1:
            self.refuse("n_split must be given, as an argument or as an input.", ArgumentError)

    def kernel(self, lengths: Tensor, *given: Tensor) -> Tensor:
        count = int(given[0].reshape(-1)[0]) if given else self.n_split
        if count <= 0:
            self.refuse(f"n_split must be > 0, got {count}.")
        self.starts(lengths)
        part = torch.arange(count, dtype=torch.int32, device=lengths.device)
        whole = torch.div(lengths, count, rounding_mode="floor")
        return (whole[:, None] + (part[None] < (lengths - whole * count)[:, None])).int().reshape(-1)


class LengthsTopK(_OfLengths):
    """The k greatest elements of each segment, greatest first, and where in it they stand.

    Shapes:   DATA: (sum of lengths,) float; lengths: (N,) int32 -> values, indices: (N, k); 0 and -1 where a
              segment is shorter
    Source:   caffe2/operators/lengths_top_k_op.h
    """

    inputs = (Port("DATA", FLOAT, "M"), _LENGTHS)
    outputs = (Port("values"), Port("indices"))
    args = (Arg("k", int, -1, "elements to take, >= 1"),)

    def setup(self) -> None:
        if self.k < 1:
            self.refuse(f"argument 'k' must be >= 1, got {self.k}.", ArgumentError)

    def kernel(self, data: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        parts = from_lengths(self, lengths, data.shape[0])
        values = data.new_zeros(lengths.numel(), self.k)
        indices = torch.full((lengths.numel(), self.k), -1, dtype=torch.int32, device=data.device)
        falling = torch.argsort(data, descending=True, stable=True)
        order = falling[torch.argsort(parts.ids[falling], stable=True)]
        ids = parts.ids[order]
        starts = self.starts(lengths)[ids]
        rank = torch.arange(data.numel(), device=data.device) - starts
        kept = rank < self.k
        values[ids[kept], rank[kept]] = data[order[kept]]
        indices[ids[kept], rank[kept]] = (order[kept] - starts[kept]).int()
        return values, indices

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("LengthsTopKGradient", [g.I(1), g.O(1), g.GO(0)], [g.GI(0)])]


class LengthsTopKGradient(_OfLengths):
    """Gradient of LengthsTopK: to the elements that were taken."""

    inputs = (_LENGTHS, Port("indices", INT), Port("dvalues", FLOAT))
    outputs = (Port("dDATA"),)
    args = LengthsTopK.args
    no_gradient = "it is itself a gradient"

    def kernel(self, lengths: Tensor, indices: Tensor, dvalues: Tensor) -> Tensor:
        dX = dvalues.new_zeros(int(lengths.sum()))
        taken = indices >= 0
        dX[(indices + self.starts(lengths)[:, None])[taken].long()] = dvalues[taken]
        return dX


class _OfIds(Operator, abstract=True):
    """An operator on segment ids that rise; a second input gives the number of segments."""

    inputs = (
        Port("segment_ids", INTS, "M"),
        Port("data", optional=True, doc="its first size: number of segments"),
    )
    outputs = (Port("Y"),)

    def counts(self, ids: Tensor, given: tuple[Any, ...]) -> Tensor:
        """Rows in each segment, int32."""
        least = int(ids[-1]) + 1 if ids.numel() else 0
        total = given[0].shape[0] if given else least
        if bool((ids.diff() < 0).any()) or (ids.numel() and int(ids[0]) < 0) or total < least:
            self.refuse(f"segment ids must be >= 0, rise, and fit the {total} segments.")
        return torch.bincount(ids.long(), minlength=total).int()


class SegmentIdsToLengths(_OfIds):
    """Y[k] = number of rows of segment k.

    Shapes:   segment_ids: (M,), rising; data: (N, ...), optional -> Y: (N,) int32, N = last id + 1 without data
    Source:   caffe2/operators/utility_ops.h
    """

    def kernel(self, ids: Tensor, *given: Any) -> Tensor:
        return self.counts(ids, given)


class SegmentIdsToRanges(_OfIds):
    """Y[k] = first row and number of rows of segment k; 0, 0 behind the last segment that has a row.

    Shapes:   segment_ids: (M,), rising; data: (N, ...), optional -> Y: (N, 2) int32
    Source:   caffe2/operators/utility_ops.h
    """

    def kernel(self, ids: Tensor, *given: Any) -> Tensor:
        counts = self.counts(ids, given)
        starts = (torch.cumsum(counts, 0) - counts).int()
        beyond = int(ids[-1]) + 1 if ids.numel() else 0
        starts[beyond:] = 0
        return torch.stack([starts, counts], 1)


class SegmentOneHot(_OfLengths):
    """Y[k, i] = 1 where i is one of the indices of segment k, else 0.

    Shapes:   lengths: (N,) int32; indices: (sum of lengths,) int64; index_size: (1,) int64 -> Y: (N, index_size)
    Source:   caffe2/operators/one_hot_ops.h
    """

    inputs = (_LENGTHS, Port("indices", ("int64",), "M"), Port("index_size", ("int64",)))
    gradient_stops = True

    def kernel(self, lengths: Tensor, indices: Tensor, size: Tensor) -> Tensor:
        parts = from_lengths(self, lengths, indices.numel())
        Y = torch.zeros(lengths.numel(), int(size.reshape(-1)[0]), device=lengths.device)
        if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= Y.shape[1]):
            self.refuse(f"indices must be from 0 to {Y.shape[1] - 1}.")
        Y[parts.ids, indices] = 1
        return Y
