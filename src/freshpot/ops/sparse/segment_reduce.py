"""Sums, means, weighted sums and maxima over segments of rows, for every way to tell the segments.

One table makes them all: [Sparse]{Lengths, SortedSegment, UnsortedSegment}{Sum, Mean, WeightedSum, Max} and
their gradients. "Sparse" ones take rows of DATA by index first, and have sparse gradients.

Source: caffe2/operators/segment_reduction_op.h, reducer_functors.h
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, GradientError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.sparse import _segments
from freshpot.ops.sparse._segments import Segments, spread, take_rows

_GRAD_ON_WEIGHTS = Arg("grad_on_weights", bool, False, "also make the gradient of the weights")
_NUM_SEGMENTS = Arg("num_segments", int, -1, "number of segments; -1: the greatest id + 1")


class _Told(Operator, abstract=True):
    """An operator whose segments are told by its input ``at`` in the way ``told``."""

    told = ""
    kind = ""

    def segments(self, by: Tensor, rows: int) -> Segments:
        """The segment of each row."""
        if self.told == "Lengths":
            return _segments.from_lengths(self, by, rows)
        if self.told == "SortedSegment":
            return _segments.from_sorted_ids(self, by, rows)
        return _segments.from_ids(self, by, rows, self.num_segments)

    def sum_rows(self, rows: Tensor, parts: Segments) -> Tensor:
        """The reduction, of rows that are weighted already."""
        if self.kind == "Max":
            return _segments.maxima(rows, parts)
        made = _segments.sums(rows, parts)
        if self.kind == "Mean":
            made.div_(spread(parts.sizes().clamp(min=1), made))
        return made


class _Reduce(_Told, abstract=True):
    """Forward."""

    sparse = False

    def check(self, *inputs: Tensor) -> None:
        if inputs[0].dim() < 1:
            self.refuse("input DATA must have rows.")

    def kernel(self, data: Tensor, *rest: Tensor) -> Tensor:
        weights, rest = (rest[0], rest[1:]) if self.kind == "WeightedSum" else (None, rest)
        rows = take_rows(self, data, rest[0]) if self.sparse else data
        if rows.dtype == torch.float16:
            rows = rows.float()
        parts = self.segments(rest[-1], rows.shape[0])
        if weights is not None:
            if weights.numel() != rows.shape[0]:
                self.refuse(
                    f"there must be one weight for each of {rows.shape[0]} rows; got {weights.numel()}."
                )
            rows = rows * spread(weights, rows)
        return self.sum_rows(rows, parts)


class _Gradient(_Told, abstract=True):
    """Backward: each row gets its segment's gradient, weighted as it was."""

    no_gradient = "it is itself a gradient"

    def kernel(self, *inputs: Tensor) -> Tensor:
        weighted = self.kind == "WeightedSum"
        weights = inputs[0] if weighted else None
        dY, by = inputs[1:3] if weighted else inputs[:2]
        rows = int(by.sum()) if self.told == "Lengths" else by.numel()
        return self.rows_gradient(dY, self.segments(by, rows), weights)

    def rows_gradient(self, dY: Tensor, parts: Segments, weights: Tensor | None) -> Tensor:
        """Gradient of the rows."""
        if dY.shape[0] < parts.total:
            self.refuse(f"the output's gradient has {dY.shape[0]} rows for {parts.total} segments.")
        if self.kind == "Mean":
            sizes = torch.bincount(parts.ids, minlength=dY.shape[0]).clamp(min=1)
            dY = dY / spread(sizes, dY)
        made = dY.index_select(0, parts.ids)
        return made if weights is None else made.mul_(spread(weights, made))


class _WeightsToo(_Gradient, abstract=True):
    """Backward of a weighted sum, with the gradient of the weights: sum of the row times its segment's gradient."""

    sparse = False

    def kernel(self, weights: Tensor, dY: Tensor, by: Tensor, data: Tensor, *indices: Tensor) -> Any:
        rows = take_rows(self, data, indices[0]) if indices else data
        parts = self.segments(by, rows.shape[0])
        plain = dY.index_select(0, parts.ids)
        dw = (plain * rows).flatten(1).sum(1) if rows.dim() > 1 else plain * rows
        return plain * spread(weights, plain), dw


class _MaxGradient(_Gradient, abstract=True):
    """Backward of a maximum: to the elements that are the greatest."""

    def kernel(self, Y: Tensor, dY: Tensor, by: Tensor, data: Tensor) -> Tensor:
        parts = self.segments(by, data.shape[0])
        return torch.where(data == Y.index_select(0, parts.ids), dY.index_select(0, parts.ids), 0.0)


def _ports(told: str, kind: str, sparse: bool) -> tuple[Port, ...]:
    half = ("float32", "float16") if told == "Lengths" and sparse else FLOAT
    by = Port("LENGTHS", INT, "N") if told == "Lengths" else Port("SEGMENT_IDS", INTS, "N")
    weights = (Port("SCALARS", FLOAT),) if kind == "WeightedSum" else ()
    return (Port("DATA", half), *weights, *((Port("INDICES", INTS, "M"),) if sparse else ()), by)


def _args(told: str, kind: str) -> tuple[Arg, ...]:
    return (
        *((_GRAD_ON_WEIGHTS,) if kind == "WeightedSum" else ()),
        *((_NUM_SEGMENTS,) if told == "UnsortedSegment" else ()),
    )


def _rule(told: str, kind: str, sparse: bool) -> Any:
    """The gradient rule: which operator the original calls, with which blobs."""

    def rule(g: GradientMaker) -> list[Op]:
        weighted, by = kind == "WeightedSum", len(g.op.inputs) - 1
        on_weights = weighted and bool(g.op.args.get("grad_on_weights", False))
        if on_weights and told != "Lengths":
            raise GradientError(f"{told}{kind} has no gradient for its weights.", op=str(g.op))
        made = g.GI_values(0) if sparse else g.GI(0)
        if sparse:
            g.set_sparse(0, g.I(by - 1), made)
        inputs = [*([g.I(1)] if weighted else []), g.GO(0), g.I(by)]
        if kind == "Max":
            return [
                g.new(f"{told}MaxWithMainInputAndForwardOutputGradient", [g.O(0), *inputs, g.I(0)], [made])
            ]
        prefix = told
        if told == "Lengths" and sparse:
            prefix, extra = "SparseLengthsIndicesInGradient", [g.I(by - 1)]
        elif told == "Lengths" and not weighted:
            prefix, extra = "LengthsIndicesInGradient", [g.I(0)]
        else:
            extra = []
        if on_weights:
            extra = [g.I(0), g.I(by - 1)] if sparse else [g.I(0)]
            return [g.new(f"{prefix}{kind}WithMainInputGradient", [*inputs, *extra], [made, g.GI(1)])]
        return [g.new(f"{prefix}{kind}Gradient", [*inputs, *extra], [made])]

    return rule


def _define(name: str, base: type[Operator], **members: Any) -> None:
    type(name, (base,), {"__module__": __name__, **members})


def _define_forward(told: str, kind: str, sparse: bool) -> None:
    name = f"{'Sparse' if sparse else ''}{told}{kind}"
    what = {"Sum": "sum", "Mean": "mean", "WeightedSum": "weighted sum", "Max": "greatest elements"}[kind]
    shapes = ", ".join(p.name for p in _ports(told, kind, sparse))
    members: dict[str, Any] = {
        "__doc__": f"Y[k] = {what} of the{' indexed' if sparse else ''} rows of segment k; 0 where it has none.\n\n"
        f"Shapes:   {shapes}: rows (M, ...), one weight, index or id a row -> Y: (segments, ...)\n"
        "Raises:   ShapeError if lengths, ids or indices do not fit the rows.\n"
        "Source:   caffe2/operators/segment_reduction_op.h",
        "told": told,
        "kind": kind,
        "sparse": sparse,
        "inputs": _ports(told, kind, sparse),
        "outputs": (Port("OUTPUT"),),
        "args": _args(told, kind),
    }
    if name == "SparseLengthsMax":
        members["no_gradient"] = "the original has none for its dense input either"
    else:
        members["gradient_rule"] = staticmethod(_rule(told, kind, sparse))
    _define(name, _Reduce, **members)


def _define_gradient(name: str, told: str, kind: str, extra: int) -> None:
    weights = (Port("SCALARS", FLOAT),) if kind == "WeightedSum" else ()
    by = Port("LENGTHS", INT) if told == "Lengths" else Port("SEGMENT_IDS", INTS)
    _define(
        name,
        _Gradient,
        __doc__=f"Gradient of {told}{kind}.",
        told=told,
        kind=kind,
        inputs=(*weights, Port("dOUTPUT", FLOAT), by, *(Port(f"unused_{k}") for k in range(extra))),
        outputs=(Port("dDATA"),),
        args=_args(told, kind),
    )


for _told in ("Lengths", "SortedSegment", "UnsortedSegment"):
    for _kind in ("Sum", "Mean", "WeightedSum"):
        for _sparse in (False, True):
            _define_forward(_told, _kind, _sparse)
            _define_gradient(f"{'Sparse' if _sparse else ''}{_told}{_kind}Gradient", _told, _kind, 0)
for _kind in ("Sum", "Mean"):
    _define_gradient(f"LengthsIndicesInGradient{_kind}Gradient", "Lengths", _kind, 1)
for _kind in ("Sum", "Mean", "WeightedSum"):
    _define_gradient(f"SparseLengthsIndicesInGradient{_kind}Gradient", "Lengths", _kind, 1)
for _sparse in (False, True):
    _define_forward("Lengths", "Max", _sparse)
for _name, _extra in (
    ("LengthsWeightedSumWithMainInputGradient", ()),
    ("SparseLengthsWeightedSumWithMainInputGradient", (Port("INDICES", INTS),)),
    ("SparseLengthsIndicesInGradientWeightedSumWithMainInputGradient", (Port("INDICES", INTS),)),
):
    _define(
        _name,
        _WeightsToo,
        __doc__="Gradient of a weighted sum over lengths, for the rows and the weights.",
        told="Lengths",
        kind="WeightedSum",
        inputs=(
            Port("SCALARS", FLOAT),
            Port("dOUTPUT", FLOAT),
            Port("LENGTHS", INT),
            Port("DATA", FLOAT),
            *_extra,
        ),
        outputs=(Port("dDATA"), Port("dSCALARS", optional=True)),
        args=(_GRAD_ON_WEIGHTS,),
    )
_define(
    "LengthsMaxWithMainInputAndForwardOutputGradient",
    _MaxGradient,
    __doc__="Gradient of LengthsMax.",
    told="Lengths",
    kind="Max",
    inputs=(Port("OUTPUT", FLOAT), Port("dOUTPUT", FLOAT), Port("LENGTHS", INT), Port("DATA", FLOAT)),
    outputs=(Port("dDATA"),),
)


class SparseLengthsPositionalWeightedSum(_Reduce):
    """Y[k] = sum over j of WEIGHT[j] * DATA[the j-th index of segment k].

    Shapes:   DATA: (R, ...); WEIGHT: (at least the longest segment,); INDICES: (M,); LENGTHS: (S,) -> Y: (S, ...)
    Source:   caffe2/operators/lengths_reducer_ops.h
    """

    told = "Lengths"
    kind = "Sum"
    inputs = (
        Port("DATA", ("float32", "float16")),
        Port("WEIGHT", FLOAT),
        Port("INDICES", INTS, "M"),
        Port("LENGTHS", INT, "S"),
    )
    outputs = (Port("OUTPUT"),)

    def kernel(self, data: Tensor, weight: Tensor, indices: Tensor, lengths: Tensor) -> Tensor:
        rows = take_rows(self, data, indices).float()
        parts = self.segments(lengths, rows.shape[0])
        longest = int(lengths.max()) if lengths.numel() else 0
        if longest > weight.numel():
            self.refuse(
                f"the longest segment has {longest} rows, there are {weight.numel()} weights.", ArgumentError
            )
        starts = (torch.cumsum(lengths, 0) - lengths).index_select(0, parts.ids)
        position = torch.arange(rows.shape[0], device=rows.device) - starts
        return self.sum_rows(rows * spread(weight.reshape(-1)[position], rows), parts)


class _Range(Operator, abstract=True):
    """Reductions over runs of rows with the same id.

    Shapes:   DATA: (M, ...); SEGMENT_IDS: (M,), going up from 0 without gaps -> Y: (segments, ...)
    Source:   caffe2/operators/segment_reduction_op.h (AbstractSortedSegmentRangeOp)
    """

    inputs = (Port("DATA", FLOAT), Port("SEGMENT_IDS", INTS, "M"))
    outputs = (Port("OUTPUT"),)
    kind = ""

    def kernel(self, data: Tensor, ids: Tensor) -> Tensor:
        parts = _segments.from_sorted_ids(self, ids, data.shape[0])
        if self.kind == "Max":
            return _segments.maxima(data, parts)
        if not self.kind.startswith("Log"):
            made = _segments.sums(data, parts)
        else:
            top = _segments.maxima(data, parts)
            made = _segments.sums(torch.exp(data - top.index_select(0, parts.ids)), parts)
        if "Mean" in self.kind:
            made = made / spread(parts.sizes(), made)
        return made.log() + top if self.kind.startswith("Log") else made


class _RangeGradient(Operator, abstract=True):
    """Gradient of a reduction over runs of rows."""

    inputs = (
        Port("DATA", FLOAT),
        Port("OUTPUT", FLOAT),
        Port("dOUTPUT", FLOAT),
        Port("SEGMENT_IDS", INTS, "M"),
    )
    outputs = (Port("dDATA"),)
    no_gradient = "it is itself a gradient"
    kind = ""

    def kernel(self, data: Tensor, Y: Tensor, dY: Tensor, ids: Tensor) -> Tensor:
        parts = _segments.from_sorted_ids(self, ids, data.shape[0])
        # a step net may hand them on with a dimension for the time step
        Y, dY = (each.reshape(-1, *data.shape[1:]) for each in (Y, dY))
        if "Mean" in self.kind:
            dY = dY / spread(parts.sizes(), dY)
        made, top = dY.index_select(0, parts.ids), Y.index_select(0, parts.ids)
        if self.kind == "Max":
            return torch.where(data == top, made, 0.0)
        return made * torch.exp(data - top) if self.kind.startswith("Log") else made


def _range_rule(kind: str) -> Any:
    def rule(g: GradientMaker) -> list[Op]:
        return [g.new(f"SortedSegmentRange{kind}Gradient", [g.I(0), g.O(0), g.GO(0), g.I(1)], [g.GI(0)])]

    return rule


for _kind in ("Sum", "Mean", "Max", "LogSumExp", "LogMeanExp"):
    _define(
        f"SortedSegmentRange{_kind}",
        _Range,
        __doc__=_Range.__doc__,
        kind=_kind,
        gradient_rule=staticmethod(_range_rule(_kind)),
    )
    _define(f"SortedSegmentRange{_kind}Gradient", _RangeGradient, __doc__=_RangeGradient.__doc__, kind=_kind)
