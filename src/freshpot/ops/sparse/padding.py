"""Rows before and after each segment: added, removed, summed."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import INT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.sparse._rows import as_index, blank

_ROWS = ("float32", "float64", "int32", "int64", "bool")


class _Places(NamedTuple):
    """Which rows of a padded tensor are padding before, data, and padding after."""

    before: Tensor
    data: Tensor
    after: Tensor


def _places(padded: Tensor, before: int, after: int) -> _Places:
    """Kinds of rows, from the segments' lengths with their padding."""
    padded = padded.long()
    starts = padded.cumsum(0) - padded
    at = torch.arange(int(padded.sum()), device=padded.device) - torch.repeat_interleave(starts, padded)
    left = torch.repeat_interleave(padded, padded) - at
    head, tail = at < before, left <= after
    return _Places(head, ~head & ~tail, tail & ~head)


class _Padding(Operator, abstract=True):
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("padding_width", int, 1, "rows before each segment"),
        Arg("end_padding_width", int, -1, "rows after each segment; -1: as many as before"),
    )

    def setup(self) -> None:
        if self.padding_width < 0:
            self.refuse(f"argument 'padding_width' must be >= 0, got {self.padding_width}.", ArgumentError)
        self.before = self.padding_width
        self.after = self.before if self.end_padding_width < 0 else self.end_padding_width

    def check(self, data: Tensor, *_: Tensor) -> None:
        if data.dim() < 1:
            self.refuse("data_in must have at least one dimension.")

    def lengths(self, data: Tensor, given: tuple[Tensor, ...]) -> Tensor:
        """The segments' lengths: the second input, or one segment of all rows."""
        if not given:
            return torch.tensor([data.shape[0]], dtype=torch.int32, device=data.device)
        lengths = given[0].reshape(-1)
        if int(lengths.sum()) != data.shape[0] or (lengths.numel() and int(lengths.min()) < 0):
            self.refuse(
                f"lengths must be >= 0 and add up to the {data.shape[0]} rows; they add up to {int(lengths.sum())}."
            )
        return lengths

    def padded_places(self, data: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, _Places]:
        """Lengths of padded segments, and what their rows are."""
        lengths = self.lengths(data, given)
        wide = self.before + self.after
        if lengths.numel() and int(lengths.min()) < wide:
            self.refuse(
                f"each segment must have the {wide} rows of its padding; one has {int(lengths.min())}."
            )
        return lengths, _places(lengths, self.before, self.after)


def _add_rule(g: GradientMaker) -> list[Op]:
    given = [g.GO(0), *([g.O(1)] if len(g.op.inputs) > 1 else [])]
    ops = [g.new("RemovePadding", given, [g.GI(0)])]
    if len(g.op.inputs) > 2:
        ops.append(g.new("GatherPadding", given, [g.GI(i) for i in range(2, len(g.op.inputs))]))
    return ops


class AddPadding(_Padding):
    """data_out = each segment of rows, with padding rows before and after it.

    Shapes:   data_in: (rows, ...); lengths: (n,), one segment if left out; start_padding, end_padding: one row,
              zeros if left out (end_padding: as start_padding) -> data_out; lengths_out: (n,) int32
    Raises:   ShapeError if lengths do not add up to the rows, or a padding row is of another size.
    Source:   caffe2/operators/sequence_ops.h
    """

    inputs = (
        Port("data_in", _ROWS),
        Port("lengths", INT, optional=True),
        Port("start_padding", optional=True),
        Port("end_padding", optional=True),
    )
    outputs = (Port("data_out"), Port("lengths_out", optional=True))
    gradient_rule = staticmethod(_add_rule)

    def check(self, data: Tensor, *rest: Tensor) -> None:
        super().check(data)
        for pad in rest[1:]:
            if pad.numel() != data.shape[1:].numel() or pad.dtype != data.dtype:
                self.refuse(f"a padding row must be {data.dtype} of {data.shape[1:].numel()} elements.")

    def kernel(self, data: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        lengths = self.lengths(data, rest[:1]) + (self.before + self.after)
        where = _places(lengths, self.before, self.after)
        made = data.new_zeros(len(where.data), *data.shape[1:])
        made[where.data] = data
        if len(rest) > 1:
            made[where.before] = rest[1].reshape(data.shape[1:])
            made[where.after] = rest[-1].reshape(data.shape[1:])
        return made, lengths.int()

    def infer(self, data: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        count = rest[0].numel() if rest else 1
        rows = data.shape[0] + count * (self.before + self.after)
        return data.new_empty(rows, *data.shape[1:]), data.new_empty(count, dtype=torch.int32)


def _remove_rule(g: GradientMaker) -> list[Op]:
    given = [g.GO(0), *([g.O(1)] if len(g.op.inputs) > 1 else [])]
    return [g.new("AddPadding", given, [g.GI(0)])]


class RemovePadding(_Padding):
    """data_out = each segment of rows without its first and last ones.

    Shapes:   data_in: (rows, ...); lengths: (n,), one segment if left out -> data_out; lengths_out: (n,) int32
    Raises:   ShapeError if lengths do not add up to the rows, or a segment is shorter than its padding.
    Source:   caffe2/operators/sequence_ops.h
    """

    inputs = (Port("data_in", _ROWS), Port("lengths", INT, optional=True))
    outputs = (Port("data_out"), Port("lengths_out", optional=True))
    gradient_rule = staticmethod(_remove_rule)

    def kernel(self, data: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        lengths, where = self.padded_places(data, given)
        return data[where.data], (lengths - (self.before + self.after)).int()


class GatherPadding(_Padding):
    """padding_sum = the sum of all rows that pad segments; with a second output, of those before and after alone.

    Shapes:   data_in: (rows, ...); lengths: (n,) -> padding_sum, end_padding_sum: (...)
    Raises:   ShapeError if lengths do not add up to the rows, or a segment is shorter than its padding.
    Source:   caffe2/operators/sequence_ops.h
    """

    inputs = (Port("data_in", _ROWS[:-1]), Port("lengths", INT))
    outputs = (Port("padding_sum"), Port("end_padding_sum", optional=True))

    def kernel(self, data: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        if not self.before and not self.after:
            return data.new_zeros(0, dtype=torch.int64), data.new_zeros(0, dtype=torch.int64)
        _, where = self.padded_places(data, given)
        before = where.before if self.num_outputs == 2 else where.before | where.after
        return data[before].sum(0).to(data.dtype), data[where.after].sum(0).to(data.dtype)


class PadEmptySamples(Operator):
    """Each segment without rows gets one row of zeros, in all features.

    Shapes:   lengths: (n,); features: (sum of lengths, ...) -> out_lengths: (n,); out_features
    Raises:   ShapeError if the features have another number of rows than lengths say.
    Source:   caffe2/operators/sequence_ops.h
    """

    inputs = (Port("lengths", INT, "N"), Port("features", many=True, at_least=0))
    outputs = (Port("out_lengths"), Port("out_features", many=True, at_least=0))

    def setup(self) -> None:
        if self.num_inputs != self.num_outputs:
            self.refuse(f"there are {self.num_inputs} inputs for {self.num_outputs} outputs.", ArityError)

    def kernel(self, lengths: Tensor, *features: Any) -> tuple[Tensor, ...]:
        grown = lengths.clamp(min=1)
        kept = torch.repeat_interleave(lengths > 0, grown.long())
        made = []
        for feature in features:
            if len(feature.shape) < 1 or feature.shape[0] != int(lengths.sum()):
                self.refuse(
                    f"a feature {tuple(feature.shape)} must have {int(lengths.sum())} rows, as lengths say."
                )
            rows = blank(feature, (len(kept), *feature.shape[1:]))
            rows[as_index(kept, feature)] = feature
            made.append(rows)
        return grown, *made
