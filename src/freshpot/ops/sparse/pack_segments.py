"""Rows of segments one after another, and the same as one padded block for each segment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import INT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.sparse._rows import as_index, blank

_PACKED = ("int32", "int64", "float32", "string")
_MAX = Arg("max_length", int, -1, "rows that each segment gets; -1: as many as the longest has")


def _inside(lengths: Tensor, width: int) -> Tensor:
    """(segments, width): which places of the block hold rows."""
    return torch.arange(width, device=lengths.device) < lengths.reshape(-1, 1)


class PackSegments(Operator):
    """packed_tensor = one block a segment: its rows, cut at or padded to the same number.

    Shapes:   lengths: (n,); tensor: (sum of lengths, ...) -> packed_tensor: (n, longest, ...);
              presence_mask: (n, longest) bool, if ``return_presence_mask`` is set
    Raises:   ShapeError if lengths do not add up to the rows.
    Source:   caffe2/operators/pack_segments.h
    """

    inputs = (Port("lengths", INTS, "N"), Port("tensor", _PACKED))
    outputs = (Port("packed_tensor"), Port("presence_mask", optional=True))
    args = (
        _MAX,
        Arg("pad_minf", bool, False, "1: pad with -infinity instead of 0"),
        Arg("return_presence_mask", bool, False, "1: there is a second output"),
    )

    def check(self, lengths: Tensor, tensor: Any) -> None:
        if len(tensor.shape) < 1:
            self.refuse("the tensor must have at least one dimension.")

    def kernel(self, lengths: Tensor, tensor: Any) -> tuple[Any, ...]:
        total = int(lengths.sum())
        if total != tensor.shape[0]:
            self.refuse(f"lengths add up to {total}, but the tensor has {tensor.shape[0]} rows.")
        longest = int(lengths.max()) if lengths.numel() else 0
        width = self.max_length if self.max_length != -1 else longest
        whole = _inside(lengths, longest)
        kept = _inside(lengths, width)
        packed = blank(tensor, (lengths.numel(), width, *tensor.shape[1:]))
        if self.pad_minf and isinstance(tensor, Tensor) and tensor.is_floating_point():
            packed.fill_(-torch.inf)
        among = torch.arange(longest, device=lengths.device).expand(whole.shape)[whole] < width
        packed[as_index(kept, tensor)] = tensor[as_index(among, tensor)]
        return packed, kept

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("UnpackSegments", [g.I(0), g.GO(0)], [g.GI(1)])]


class UnpackSegments(Operator):
    """The rows of all segments one after another, from one padded block a segment.

    Shapes:   lengths: (n,); tensor: (n, longest, ...) -> (sum of lengths, each at most max_length, ...)
    Raises:   ShapeError if there is not one block a segment, or a block is too short.
    Source:   caffe2/operators/pack_segments.h
    """

    inputs = (Port("lengths", INTS, "N"), Port("tensor", _PACKED))
    outputs = (Port("packed_tensor"),)
    args = (_MAX,)

    def check(self, lengths: Tensor, tensor: Any) -> None:
        if len(tensor.shape) < 2 or tensor.shape[0] != lengths.numel():
            self.refuse(
                f"tensor {tuple(tensor.shape)} must have one block for each of {lengths.numel()} lengths."
            )
        if self.max_length not in (-1, tensor.shape[1]):
            self.refuse(
                f"argument 'max_length' is {self.max_length}, but blocks have {tensor.shape[1]} rows."
            )

    def kernel(self, lengths: Tensor, tensor: Any) -> Any:
        width = tensor.shape[1]
        if self.max_length == -1 and lengths.numel() and int(lengths.max()) > width:
            self.refuse(f"a segment has {int(lengths.max())} rows, but blocks have {width}.")
        return tensor[as_index(_inside(lengths, width), tensor)]

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("PackSegments", [g.I(0), g.GO(0)], [g.GI(1)])]


_SEQUENCE = ("int32", "int64", "float32", "float64")


class PackRNNSequence(Operator):
    """output[t, k] = row t of segment k; 0 where it has no such row.

    Shapes:   values: (sum of lengths, ...); lengths: (n,) -> output: (longest, n, ...)
    Raises:   ShapeError if lengths do not add up to the rows.
    Source:   caffe2/operators/pack_rnn_sequence_op.h
    """

    inputs = (Port("values", _SEQUENCE), Port("lengths", INT, "N"))
    outputs = (Port("output"),)

    def check(self, values: Tensor, lengths: Tensor) -> None:
        if values.dim() < 2:
            self.refuse(f"values must have two or more dimensions, got {tuple(values.shape)}.")

    def kernel(self, values: Tensor, lengths: Tensor) -> Tensor:
        total, longest = int(lengths.sum()), int(lengths.max()) if lengths.numel() else 0
        if total != values.shape[0]:
            self.refuse(f"lengths add up to {total}, but there are {values.shape[0]} rows.")
        packed = values.new_zeros(lengths.numel(), longest, *values.shape[1:])
        packed[_inside(lengths, longest)] = values
        return packed.transpose(0, 1).contiguous()

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("UnpackRNNSequence", [g.GO(0), g.I(1)], [g.GI(0)])]


class UnpackRNNSequence(Operator):
    """The rows of segment 0, then those of segment 1 ...: output[...] = values[t, k].

    Shapes:   values: (longest, n, ...); lengths: (n,) -> output: (sum of lengths, ...)
    Raises:   ShapeError if there is not one column a segment, or a segment is longer than the columns.
    Source:   caffe2/operators/pack_rnn_sequence_op.h
    """

    inputs = (Port("values", _SEQUENCE), Port("lengths", INT, "N"))
    outputs = (Port("output"),)

    def check(self, values: Tensor, lengths: Tensor) -> None:
        if values.dim() < 3 or values.shape[1] != lengths.numel():
            self.refuse(f"values {tuple(values.shape)} must be (steps, {lengths.numel()} segments, ...).")

    def kernel(self, values: Tensor, lengths: Tensor) -> Tensor:
        if lengths.numel() and int(lengths.max()) > values.shape[0]:
            self.refuse(f"a segment has {int(lengths.max())} steps, but values has {values.shape[0]}.")
        return values.transpose(0, 1)[_inside(lengths, values.shape[0])]

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("PackRNNSequence", [g.GO(0), g.I(1)], [g.GI(0)])]


class ReversePackedSegs(Operator):
    """Each segment's steps in reverse; the padding after them as it was.

    Shapes:   data: (steps, n, ...); lengths: (n,) -> as data
    Raises:   ShapeError if there is not one column a segment, or a segment is longer than the columns.
    Source:   caffe2/operators/reverse_packed_segs_op.h
    """

    inputs = (
        Port("data", ("float32", "float64", "int32", "int64", "bool"), "T N E"),
        Port("lengths", INT, "N"),
    )
    outputs = (Port("reversed_data"),)

    def kernel(self, data: Tensor, lengths: Tensor) -> Tensor:
        steps = data.shape[0]
        if lengths.numel() and int(lengths.max()) > steps:
            self.refuse(f"a segment has {int(lengths.max())} steps, but data has {steps}.")
        at = torch.arange(steps, device=data.device).reshape(-1, 1)
        back = lengths.long() - 1 - at
        from_step = torch.where(back >= 0, back, at)
        return data[from_step, torch.arange(data.shape[1], device=data.device)]

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("ReversePackedSegs", [g.GO(0), g.I(1)], [g.GI(0)])]
