"""Layers that join, cut, reorder, reshape and reduce blobs."""

from __future__ import annotations

import math
from itertools import pairwise

from caffe._net.layer import Lowering, layer
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError, ArityError


def one_of(low: Lowering, message: object, new: str, old: str) -> int:
    """An axis from the new field or the old one (which may not be negative), not both."""
    if message.HasField(new) and message.HasField(old):  # type: ignore[attr-defined]
        low.refuse(f"give {new} or {old}, not both.", ArgumentError)
    return low.axis(getattr(message, old if message.HasField(old) else new))  # type: ignore[attr-defined]


@layer("Concat", bottoms=(1, None))
def concat(low: Lowering) -> None:
    axis = one_of(low, low.param.concat_param, "axis", "concat_dim")
    first = low.shapes[0]
    if any(
        s[:axis] + s[axis + 1 :] != first[:axis] + first[axis + 1 :] or len(s) != len(first)
        for s in low.shapes
    ):
        low.refuse(f"all bottoms must agree in every axis but {axis}, got {low.shapes}.")
    low.op("Concat", low.bottom, [low.top[0], low.temp("sizes")], axis=axis)


@layer("Slice", tops=(1, None))
def slice_(low: Lowering) -> None:
    p = low.param.slice_param
    axis = one_of(low, p, "axis", "slice_dim")
    size, count = low.shapes[0][axis], len(low.top)
    points = list(p.slice_point)
    if not points:
        if size % count:
            low.refuse(f"{size} along axis {axis} cannot be cut into {count} equal parts.")
        points = [size // count * k for k in range(1, count)]
    bounds = [0, *points, size]
    parts = [b - a for a, b in pairwise(bounds)]
    if len(parts) != count or min(parts) < 1:
        low.refuse(
            f"{count} tops need {count - 1} rising points between 0 and {size}, got {points}.", ArgumentError
        )
    low.op("Split", low.bottom, low.top, axis=axis, split=parts)


@layer("Eltwise", bottoms=(2, None))
def eltwise(low: Lowering) -> None:
    p = low.param.eltwise_param
    low.op(
        "Eltwise",
        low.bottom,
        low.top,
        operation=caffe_pb2.EltwiseParameter.EltwiseOp.Name(p.operation),
        coeff=list(p.coeff) or None,
        stable_prod_grad=int(p.stable_prod_grad),
    )


def reshape_to(low: Lowering, shape: list[int]) -> None:
    """Reshape the bottom to a known shape."""
    low.op("Reshape", low.bottom, [low.top[0], low.temp("shape")], shape=shape)


@layer("Flatten")
def flatten(low: Lowering) -> None:
    p = low.param.flatten_param
    shape = low.shapes[0]
    start, end = low.axis(p.axis), low.axis(p.end_axis)
    middle = [math.prod(shape[start : end + 1])] if end >= start else [1]
    reshape_to(low, [*shape[:start], *middle, *shape[max(end, start - 1) + 1 :]])


@layer("Reshape")
def reshape(low: Lowering) -> None:
    p = low.param.reshape_param
    shape = list(low.shapes[0])
    if not -len(shape) - 1 <= p.axis <= len(shape) or p.num_axes < -1:
        low.refuse(f"axis {p.axis} or num_axes {p.num_axes} is out of range for bottom {tuple(shape)}.")
    start = p.axis if p.axis >= 0 else len(shape) + p.axis + 1
    end = len(shape) if p.num_axes == -1 else start + p.num_axes
    if end > len(shape):
        low.refuse(f"axes {start} to {end - 1} are out of range for bottom {tuple(shape)}.")
    reshape_to(low, _filled_in(low, shape, start, end, list(p.shape.dim)))


def _filled_in(low: Lowering, shape: list[int], start: int, end: int, dims: list[int]) -> list[int]:
    """The new shape, with 0 (copy) and -1 (infer) replaced by numbers."""
    if dims.count(-1) > 1:
        low.refuse(f"at most one dimension may be -1, got {dims}.", ArgumentError)
    for i, n in enumerate(dims):
        if n == 0:
            if start + i >= len(shape):
                low.refuse(f"dimension {i} is 0 (copy), and bottom {tuple(shape)} has no axis {start + i}.")
            dims[i] = shape[start + i]
    made = [*shape[:start], *dims, *shape[end:]]
    count, known = math.prod(shape), math.prod(n for n in made if n != -1)
    if -1 in made:
        if known == 0 or count % known:
            low.refuse(f"{count} elements do not fit {made}: no number can stand for -1.")
        made[made.index(-1)] = count // known
    elif known != count:
        low.refuse(f"bottom {tuple(shape)} has {count} elements, the new shape {made} has {known}.")
    return made


@layer("Reduction")
def reduction(low: Lowering) -> None:
    p = low.param.reduction_param
    operation = caffe_pb2.ReductionParameter.ReductionOp.Name(p.operation)
    low.op("Reduction", low.bottom, low.top, axis=low.axis(p.axis), operation=operation, coeff=p.coeff)


@layer("ArgMax")
def arg_max(low: Lowering) -> None:
    p = low.param.argmax_param
    axis = low.axis(p.axis) if p.HasField("axis") else None
    low.op("CaffeArgMax", low.bottom, low.top, axis=axis, top_k=p.top_k, out_max_val=int(p.out_max_val))


@layer("Tile")
def tile(low: Lowering) -> None:
    p = low.param.tile_param
    if p.tiles < 1:
        low.refuse(f"tiles must be at least 1, got {p.tiles}.", ArgumentError)
    low.op("Tile", low.bottom, low.top, axis=low.axis(p.axis), tiles=p.tiles)


@layer("Filter", bottoms=(2, None), tops=(1, None))
def filter_(low: Lowering) -> None:
    if len(low.top) != len(low.bottom) - 1:
        low.refuse(
            f"{len(low.bottom)} bottoms (the last is the selector) make {len(low.bottom) - 1} tops.",
            ArityError,
        )
    low.no_gradient_for(len(low.bottom) - 1)
    for bottom, top in zip(low.bottom, low.top, strict=False):
        low.op("Filter", [bottom, low.bottom[-1]], [top])


@layer("BatchReindex", bottoms=2)
def batch_reindex(low: Lowering) -> None:
    low.no_gradient_for(1)
    low.op("BatchReindex", low.bottom, low.top)
