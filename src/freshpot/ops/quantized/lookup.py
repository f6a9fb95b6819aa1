"""Sums of rows that are stored in few bits. One table makes the sums.

Source: caffe2/operators/lengths_reducer_fused_8bit_rowwise_ops.h, lengths_reducer_fused_nbit_rowwise_ops.h,
lengths_reducer_rowwise_8bit_ops.h
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, INTS, Port
from freshpot.ops._operator import Operator
from freshpot.ops.quantized._rows import EIGHT, Layout, decode, few
from freshpot.ops.sparse._segments import from_lengths, spread, sums, take_rows

_DATA = Port("DATA", ("uint8",))
_WEIGHTS = Port("WEIGHTS", FLOAT, "I")
_WHERE = (Port("INDICES", INTS, "I"), Port("LENGTHS", INT, "S"))
_MAPPING = Port(
    "COMPRESSED_INDICES_MAPPING", INT, "M", doc="row of each index; -1: it was pruned and counts as zeros"
)
_SCALE_BIAS = Port("scale_bias", FLOAT, "N 2")


class _Sum(Operator, abstract=True):
    """What the table's operators share."""

    outputs: ClassVar[tuple[Port, ...]] = (Port("output"),)
    gradient_stops = True
    layout: ClassVar[Layout | None] = None  # None: scale and bias are an input
    weighted: ClassVar[bool] = False
    mean: ClassVar[bool] = False
    mapped: ClassVar[bool] = False

    def check(self, data: Tensor, *rest: Tensor) -> None:
        if self.layout and (data.dim() != 2 or data.shape[1] <= self.layout.tail):
            self.refuse(
                f"DATA must be a table of rows longer than the {self.layout.tail} bytes of scale and bias; "
                f"got {tuple(data.shape)}."
            )
        if not self.layout and (data.dim() < 1 or data.shape[0] != rest[-1].shape[0]):
            self.refuse("scale_bias must have one row for each row of DATA.")

    def kernel(self, data: Tensor, *rest: Tensor) -> Tensor:
        weights, rest = (rest[0], rest[1:]) if self.weighted else (None, rest)
        indices, lengths = rest[:2]
        segments = from_lengths(self, lengths, indices.numel())
        rows = self._rows(data, indices, rest[2:])
        if weights is not None:
            rows = rows * spread(weights, rows)
        made = sums(rows, segments)
        return made / spread(lengths.clamp(min=1), made) if self.mean else made

    def _rows(self, data: Tensor, indices: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        """The rows that are asked for, as floats."""
        if not self.layout:
            count, row = indices.numel(), data.shape[1:]
            flat = take_rows(self, data, indices).reshape(count, row.numel())
            ends = rest[0][indices.long()]
            return (flat.float() * ends[:, :1] + ends[:, 1:]).reshape(count, *row)
        if not self.mapped or rest[0].tolist() == [0]:
            return decode(take_rows(self, data, indices), self.layout)
        there = take_rows(self, rest[0], indices).long()
        rows = decode(take_rows(self, data, there.clamp(min=0)), self.layout)
        return torch.where(there.reshape(-1, 1) < 0, 0.0, rows)

    def infer(self, data: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        lengths = rest[2 if self.weighted else 1]
        row = (self.layout.columns(data.shape[1]),) if self.layout else data.shape[1:]
        return (data.new_empty(lengths.numel(), *row, dtype=torch.float32),)


def _define(name: str, what: str, layout: Layout | None, mapped: bool = False) -> None:
    weighted = what.startswith("Weighted")
    last = (_MAPPING,) if mapped else () if layout else (_SCALE_BIAS,)
    bits = layout.bits if layout else 8
    members: dict[str, Any] = {
        "__doc__": f"output[s] = {what.lower().replace('weighted', 'weighted ')} of the rows of segment s, each a row "
        f"of a table in {bits} bits that an index names{' through a mapping' * mapped}.\n\n"
        f"Shapes:   DATA: (N, bytes) uint8; {'WEIGHTS, ' * weighted}INDICES: (I,); LENGTHS: (S,)"
        f"{''.join('; ' + p.name for p in last)} -> (S, columns) float32\n"
        "Raises:   ShapeError if lengths do not add up to the indices, or an index is not a row.\n"
        "Source:   caffe2/operators/lengths_reducer_fused_8bit_rowwise_ops.h",
        "__module__": __name__,
        "inputs": (_DATA, *([_WEIGHTS] if weighted else []), *_WHERE, *last),
        "layout": layout,
        "weighted": weighted,
        "mean": what.endswith("Mean"),
        "mapped": mapped,
    }
    type(name, (_Sum,), members)


for _what in ("Sum", "Mean", "WeightedSum"):
    for _bits, _layout in ((2, few(2)), (4, few(4)), (8, EIGHT)):
        _define(f"SparseLengths{_what}Fused{_bits}BitRowwise", _what, _layout)
        _define(f"SparseLengths{_what}{_bits}BitRowwiseSparse", _what, _layout, mapped=True)
for _what in ("Sum", "Mean", "WeightedSum", "WeightedMean"):
    _define(f"SparseLengths{_what}8BitsRowwise", _what, None)


class GatherFused8BitRowwise(Operator):
    """OUTPUT = the rows that INDICES name, of a table in 8 bits, as floats.

    Shapes:   DATA: (N, bytes) uint8; INDICES: (I,) -> (I, columns) float32
    Raises:   ShapeError if an index is not a row.
    Source:   caffe2/operators/gather_fused_8bit_rowwise_op.h
    """

    inputs = (_DATA, Port("INDICES", INTS, "I"))
    outputs = (Port("OUTPUT"),)

    def check(self, data: Tensor, indices: Tensor) -> None:
        if data.dim() != 2 or data.shape[1] <= EIGHT.tail:
            self.refuse(
                f"DATA must be a table of rows longer than {EIGHT.tail} bytes, got {tuple(data.shape)}."
            )

    def kernel(self, data: Tensor, indices: Tensor) -> Tensor:
        return decode(take_rows(self, data, indices), EIGHT)


class SparseLengthsSumSparseLookup(Operator):
    """Indices through a mapping; those that were pruned (-1) fall out, with their weights.

    Shapes:   INDICES, WEIGHTS: (I,); LENGTHS: (S,); COMPRESSED_INDICES_MAPPING: (M,) -> output_indices: (kept,);
              output_lengths: (S,); output_weights: (kept,)
    Raises:   ShapeError if lengths do not add up to the indices, or an index is not in the mapping.
    Source:   caffe2/operators/lengths_reducer_fused_nbit_rowwise_ops.h
    """

    inputs = (*_WHERE, _MAPPING, Port("WEIGHTS", FLOAT, "I", optional=True))
    outputs = (Port("output_indices"), Port("output_lengths"), Port("output_weights", optional=True))
    gradient_stops = True

    def kernel(
        self, indices: Tensor, lengths: Tensor, mapping: Tensor, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        segments = from_lengths(self, lengths, indices.numel())
        there = take_rows(self, mapping, indices)
        kept = there != -1
        counts = torch.bincount(segments.ids[kept], minlength=lengths.numel()).int()
        return there[kept].to(indices.dtype), counts, *(w[kept] for w in weights)
