"""Shapes, parts, margins, constants, reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from freshpot.convert.onnx._graph import Call, Graph, onnx
from freshpot.ops.dtypes import name_of

#: elements that are written instead of made
_MOST = 1 << 28


@onnx("Concat")
def concat(graph: Graph, call: Call) -> None:
    own = call.operator
    axis = own.axis if call.op.args.get("axis") is not None else 1 if own.order == "NCHW" else 3
    if own.add_axis:
        call.refuse("add_axis is not converted.")
    graph.node("Concat", call.inputs, call.outputs[0], axis=int(axis))


@onnx("Flatten")
def flatten(graph: Graph, call: Call) -> None:
    graph.node("Flatten", call.inputs, call.outputs[0], axis=int(call.operator.axis))


@onnx("Reshape")
def reshape(graph: Graph, call: Call) -> None:
    if len(call.inputs) > 1:
        call.refuse("a shape that is computed is not converted.")
    shape = graph.constant(f"{call.outputs[0]}_shape", list(call.operator.shape), "int64")
    graph.node("Reshape", [call.inputs[0], shape], call.outputs[0])


@onnx("Transpose")
def transpose(graph: Graph, call: Call) -> None:
    graph.node("Transpose", call.inputs, call.outputs[0], perm=[int(a) for a in call.operator.axes] or None)


@onnx("Crop")
def crop(graph: Graph, call: Call) -> None:
    own, made = call.operator, call.outputs[0]
    ends = [o + s for o, s in zip(own.offsets, own.sizes, strict=True)]
    axes = list(range(len(call.shape()) - len(ends), len(call.shape())))
    bounds = [
        graph.constant(f"{made}_{name}", np.array(v), "int64")
        for name, v in (("starts", own.offsets), ("ends", ends), ("axes", axes))
    ]
    graph.node("Slice", [call.inputs[0], *bounds], made)


@onnx("Slice")
def slice_(graph: Graph, call: Call) -> None:
    """Ends count from behind the end: -1 is the end itself."""
    if len(call.inputs) > 1:
        call.refuse("bounds that are computed are not converted.")
    own, shape, made = call.operator, call.shape(), call.outputs[0]
    starts, ends = (
        [n + size + 1 if n < 0 else min(n, size) for n, size in zip(bounds, shape, strict=False)]
        for bounds in (own.starts, own.ends)
    )
    bounds = [graph.ints(f"{made}_starts", starts), graph.ints(f"{made}_ends", ends)]
    graph.node("Slice", [call.inputs[0], *bounds], made)


@onnx("Split")
def split(graph: Graph, call: Call) -> None:
    own = call.operator
    if len(call.inputs) > 1 or own.add_axis:
        call.refuse("sizes that are computed, and add_axis, are not converted.")
    ndim = len(call.shape())
    axis = own.axis if call.op.args.get("axis") is not None else 1 if own.order == "NCHW" else ndim - 1
    sizes = [call.made(i)[axis] for i in range(len(call.outputs))]
    graph.node(
        "Split",
        [call.inputs[0], graph.ints(f"{call.outputs[0]}_sizes", sizes)],
        call.outputs,
        axis=int(axis) % ndim,
    )


@onnx("Squeeze", "ExpandDims")
def dims(graph: Graph, call: Call) -> None:
    type = "Squeeze" if call.op.type == "Squeeze" else "Unsqueeze"
    axes = graph.ints(f"{call.outputs[0]}_axes", sorted(set(call.operator.dims)))
    graph.node(type, [call.inputs[0], axes], call.outputs[0])


@onnx("ResizeLike", "FlattenToVec")
def resize_like(graph: Graph, call: Call) -> None:
    graph.node(
        "Reshape", [call.inputs[0], graph.ints(f"{call.outputs[0]}_shape", call.made())], call.outputs[0]
    )


@onnx("Gather")
def gather(graph: Graph, call: Call) -> None:
    if call.operator.match_outer:
        call.refuse("match_outer is not converted.")
    graph.node("Gather", call.inputs, call.outputs[0], axis=int(call.operator.axis) % len(call.shape()))


@onnx("GatherElements")
def gather_elements(graph: Graph, call: Call) -> None:
    graph.node(
        "GatherElements", call.inputs, call.outputs[0], axis=int(call.operator.axis) % len(call.shape())
    )


@onnx("Embed")
def embed(graph: Graph, call: Call) -> None:
    """Caffe's numbers are floats."""
    made = call.outputs[0]
    rows = graph.inner("Cast", call.inputs[:1], f"{made}_rows", to=7)
    last = len(call.inputs) == 2
    picked = graph.node("Gather", [call.inputs[1], rows], made if last else graph.fresh(made), axis=0)
    if not last:
        graph.node("Add", [picked, call.inputs[2]], made)


@onnx("Tile")
def tile(graph: Graph, call: Call) -> None:
    if len(call.inputs) > 1:
        call.refuse("a number that is computed is not converted.")
    repeats = [1] * len(call.shape())
    repeats[call.operator.axis] = int(call.operator.tiles)
    graph.node("Tile", [call.inputs[0], graph.ints(f"{call.outputs[0]}_repeats", repeats)], call.outputs[0])


@onnx("Pad")
def pad(graph: Graph, call: Call) -> None:
    own, made = call.operator, call.outputs[0]
    if own.mode == "wrap":
        call.refuse("the mode wrap is not converted.")
    half, ndim = len(own.pads) // 2, len(call.shape())
    front = [0] * (ndim - half)
    margins = graph.ints(f"{made}_margins", [*front, *own.pads[:half], *front, *own.pads[half:]])
    value = [graph.constant(f"{made}_value", own.value)] if own.mode == "constant" else []
    graph.node("Pad", [call.inputs[0], margins, *value], made, mode=own.mode)


@onnx("BroadcastTo")
def broadcast_to(graph: Graph, call: Call) -> None:
    graph.node(
        "Expand", [call.inputs[0], graph.ints(f"{call.outputs[0]}_shape", call.made())], call.outputs[0]
    )


@onnx("FillSized", "ConstantFill", "GivenTensorFill", "GivenTensorIntFill", "GivenTensorInt64Fill")
def fill(graph: Graph, call: Call) -> None:
    """What is the same at every run is made here, once."""
    if call.op.type.startswith("Given") and call.inputs:
        call.refuse("a shape that is an input is not converted.")
    shapes = [call.shape(i) for i in range(len(call.inputs))]
    if call.op.type == "ConstantFill" and call.inputs and call.operator.input_as_shape:
        call.refuse("a shape that is an input is not converted.")
    if math.prod(call.made()) > _MOST:
        call.refuse(f"{call.made()} are too many numbers for a file.")
    value = call.operator.kernel(*[torch.empty(shape) for shape in shapes])
    value = value[0] if isinstance(value, tuple) else value
    fixed = graph.constant(call.outputs[0], value.numpy(), name_of(value))
    graph.node("Identity", [fixed], call.outputs[0])


@onnx("Interpolate")
def interpolate(graph: Graph, call: Call) -> None:
    own, made, shape = call.operator, call.outputs[0], call.shape()
    words: dict[str, Any] = {"mode": "nearest" if own.mode.startswith("nearest") else "linear"}
    if own.mode == "bicubic":
        words.update(mode="cubic", cubic_coeff_a=-0.75)
    if own.mode == "nearest":
        words.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    elif own.mode == "nearest-exact":
        words.update(coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")
    else:
        words["coordinate_transformation_mode"] = "align_corners" if own.align_corners else "half_pixel"
    if own.scales:
        scales = graph.constant(f"{made}_scales", [1.0, 1.0, *own.scales])
        graph.node("Resize", [call.inputs[0], "", scales], made, **words)
        return
    sizes = graph.ints(f"{made}_sizes", [*shape[:2], *own.sizes])
    graph.node("Resize", [call.inputs[0], "", "", sizes], made, **words)


@onnx("ResizeNearest")
def resize_nearest(graph: Graph, call: Call) -> None:
    call.channels_second()
    if len(call.inputs) > 1:
        call.refuse("scales that are computed are not converted.")
    own, made = call.operator, call.outputs[0]
    scales = graph.constant(f"{made}_scales", [1.0, 1.0, own.height_scale, own.width_scale])
    graph.node(
        "Resize", [call.inputs[0], "", scales], made,
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


# ---- reductions ----------------------------------------------------------------------------------------
_REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2")


@onnx(*_REDUCTIONS)
def reduce(graph: Graph, call: Call) -> None:
    axes = sorted(call.operator.axes) or list(range(len(call.shape())))
    reduced(graph, call.op.type, call.inputs[0], call.outputs[0], axes, int(call.operator.keepdims))


def reduced(graph: Graph, type: str, x: str, made: str, axes: list[int], keepdims: int = 1) -> str:
    """A reduction; of a sum the axes are an input in this operator set, of others an attribute."""
    if type == "ReduceSum":
        return graph.node(type, [x, graph.ints(f"{made}_axes", axes)], made, keepdims=keepdims)
    return graph.node(type, [x], made, axes=axes, keepdims=keepdims)


@onnx("Reduction")
def reduction(graph: Graph, call: Call) -> None:
    """Caffe's: all axes from one on, times a factor."""
    own, made = call.operator, call.outputs[0]
    axes = list(range(own.axis % max(1, len(call.shape())), len(call.shape())))
    type = {"SUM": "ReduceSum", "ASUM": "ReduceL1", "SUMSQ": "ReduceSumSquare", "MEAN": "ReduceMean"}[
        own.operation
    ]
    total = reduced(graph, type, call.inputs[0], graph.fresh(made), axes, 0)
    graph.node("Mul", [total, graph.constant(f"{made}_coeff", own.coeff)], made)


@onnx("ArgMax", "ArgMin")
def arg(graph: Graph, call: Call) -> None:
    axis = int(call.operator.axis) % len(call.shape())
    graph.node(call.op.type, call.inputs, call.outputs[0], axis=axis, keepdims=int(call.operator.keepdims))


@onnx("TopK")
def top_k(graph: Graph, call: Call) -> None:
    if len(call.inputs) > 1 or len(call.outputs) > 2:
        call.refuse("k as an input, and flattened indices, are not converted.")
    axis = int(call.operator.axis) % len(call.shape())
    graph.node(
        "TopK",
        [call.inputs[0], graph.ints(f"{call.outputs[0]}_k", [call.operator.k])],
        call.outputs,
        axis=axis,
    )


@onnx("Shape")
def shape(graph: Graph, call: Call) -> None:
    if call.operator.axes:
        call.refuse("axes are not converted.")
    graph.node("Shape", call.inputs, call.outputs[0])
