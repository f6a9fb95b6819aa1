"""Shapes, parts, reductions."""

from __future__ import annotations

from collections.abc import Sequence

from freshpot.convert.to_caffe._layers import PB, Call, Layers, caffe
from freshpot.convert.to_caffe.elementwise import power


@caffe("Concat")
def concat(layers: Layers, call: Call) -> None:
    own = call.operator
    if own.add_axis:
        call.refuse("add_axis is in no layer.")
    axis = own.axis if call.op.args.get("axis") is not None else 1 if own.order == "NCHW" else 3
    layers.add("Concat", call.bottoms, call.tops[0]).concat_param.axis = axis


@caffe("Flatten")
def flatten(layers: Layers, call: Call) -> None:
    if call.operator.axis == 1:
        layers.add("Flatten", call.bottoms, call.tops[0])
    else:
        reshaped(layers, call, call.made_shape())


@caffe("Reshape")
def reshape(layers: Layers, call: Call) -> None:
    if len(call.op.inputs) > 1:
        call.refuse("a shape that is computed is in no layer.")
    p = layers.add("Reshape", call.bottoms, call.tops[0]).reshape_param
    p.shape.dim.extend(call.operator.shape)


@caffe("Squeeze", "ExpandDims", "FlattenToVec", "ResizeLike")
def other_shape(layers: Layers, call: Call) -> None:
    reshaped(layers, call, call.made_shape())


def reshaped(layers: Layers, call: Call, shape: Sequence[int], source: str = "") -> None:
    """A Reshape that keeps the batch where it stays in front."""
    old = call.shape()
    sizes = [0 if i == 0 and old and n == old[0] else n for i, n in enumerate(shape)]
    reshaped_to(layers, source or call.bottoms[0], call.tops[0], sizes)


def reshaped_to(layers: Layers, bottom: str, top: str, sizes: Sequence[int]) -> str:
    """A Reshape to sizes (0: as the bottom's); its top."""
    layers.add("Reshape", [bottom], top).reshape_param.shape.dim.extend(sizes)
    return top


@caffe("Split")
def split(layers: Layers, call: Call) -> None:
    own = call.operator
    if len(call.op.inputs) > 1 or own.add_axis:
        call.refuse("sizes that are computed, and add_axis, are in no layer.")
    ndim = len(call.shape())
    axis = own.axis if call.op.args.get("axis") is not None else 1 if own.order == "NCHW" else ndim - 1
    sizes = [call.made_shape(i)[axis] for i in range(len(call.tops))]
    _sliced(layers, call, axis % ndim, sizes, call.tops)


@caffe("Slice")
def slice_(layers: Layers, call: Call) -> None:
    """A Slice whose other parts nobody reads."""
    if len(call.op.inputs) > 1:
        call.refuse("bounds that are computed are in no layer.")
    own, shape = call.operator, call.shape()
    for axis, (start, end) in enumerate(zip(own.starts, own.ends, strict=True)):
        first, last = (n + shape[axis] + 1 if n < 0 else min(n, shape[axis]) for n in (start, end))
        sizes = [first, last - first, shape[axis] - last]
        if sizes[1] != shape[axis]:
            parts = [call.tops[0] if i == 1 else layers.fresh(f"{call.tops[0]}_rest") for i in range(3)]
            there = [(part, size) for part, size in zip(parts, sizes, strict=True) if size]
            _sliced(layers, call, axis, [size for _, size in there], [part for part, _ in there])
            return
    layers.add("Power", call.bottoms, call.tops[0])


def _sliced(layers: Layers, call: Call, axis: int, sizes: Sequence[int], tops: Sequence[str]) -> None:
    if len(tops) == 1:
        power(layers, call.bottoms[0], tops[0])
        return
    p = layers.add("Slice", call.bottoms[:1], tops).slice_param
    p.axis = axis
    p.slice_point.extend(sum(sizes[: i + 1]) for i in range(len(sizes) - 1))


@caffe("Tile")
def tile(layers: Layers, call: Call) -> None:
    if len(call.op.inputs) > 1:
        call.refuse("a number that is computed is in no layer.")
    p = layers.add("Tile", call.bottoms, call.tops[0]).tile_param
    p.axis, p.tiles = call.operator.axis, call.operator.tiles


@caffe("Reduction")
def reduction(layers: Layers, call: Call) -> None:
    own = call.operator
    p = layers.add("Reduction", call.bottoms, call.tops[0]).reduction_param
    p.operation = PB.ReductionParameter.ReductionOp.Value(own.operation)
    p.axis, p.coeff = own.axis, own.coeff


@caffe("ReduceSum", "ReduceMean", "ReduceL1")
def reduce(layers: Layers, call: Call) -> None:
    """The last dimensions, all of them; a mean of images' space is a pooling."""
    own, shape = call.operator, call.shape()
    axes = sorted(own.axes) or list(range(len(shape)))
    if axes != list(range(axes[0], len(shape))):
        call.refuse(f"only last dimensions are reduced by a layer, not {axes} of {len(shape)}.")
    inner = layers.fresh(call.tops[0])
    plain = not own.keepdims
    if call.op.type == "ReduceMean" and axes == [2, 3]:
        p = layers.add("Pooling", call.bottoms, inner if plain else call.tops[0]).pooling_param
        p.pool, p.global_pooling = PB.PoolingParameter.AVE, True
        if plain:
            reshaped(layers, call, call.made_shape(), inner)
        return
    p = layers.add("Reduction", call.bottoms, call.tops[0] if plain else inner).reduction_param
    how = {"ReduceSum": "SUM", "ReduceMean": "MEAN", "ReduceL1": "ASUM"}[call.op.type]
    p.operation, p.axis = PB.ReductionParameter.ReductionOp.Value(how), axes[0]
    if not plain:
        reshaped(layers, call, call.made_shape(), inner)


@caffe("CaffeArgMax")
def arg_max(layers: Layers, call: Call) -> None:
    own = call.operator
    p = layers.add("ArgMax", call.bottoms, call.tops[0]).argmax_param
    p.top_k, p.out_max_val = own.top_k, bool(own.out_max_val)
    if "axis" in call.op.args:
        p.axis = own.axis
