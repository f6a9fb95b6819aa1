"""Shapes, parts, margins."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.convert.from_onnx._fold import slice_bounds
from freshpot.convert.from_onnx._graph import Array, Graph, Node, onnx, type_number


@onnx("Reshape")
def reshape(graph: Graph, node: Node) -> None:
    sizes = node.ints(1, "shape")
    old, zero = node.shape(), node.attribute("allowzero", 0)
    if zero and 0 in sizes:
        node.refuse("a size of 0 (allowzero) is not converted.")
    if any(size == 0 and i >= len(old) for i, size in enumerate(sizes)):
        node.refuse(f"shape {sizes} keeps a dimension that {graph.words(old)} does not have.")
    wanted = [old[i] if size == 0 else size for i, size in enumerate(sizes)]
    graph.reshape(node, graph.blob(node.inputs[0]), wanted, node.only_output())


@onnx("Flatten")
def flatten(graph: Graph, node: Node) -> None:
    ndim, axis = len(node.shape()), int(node.attribute("axis", 1))
    if not -ndim <= axis <= ndim:
        node.refuse(f"axis {axis} is none of {ndim} dimensions.")
    graph.op(
        "Flatten", [graph.blob(node.inputs[0])], node.only_output(), axis=axis + ndim if axis < 0 else axis
    )


@onnx("Transpose")
def transpose(graph: Graph, node: Node) -> None:
    order = node.attribute("perm", list(range(len(node.shape())))[::-1])
    graph.op("Transpose", [graph.blob(node.inputs[0])], node.only_output(), axes=[int(a) for a in order])


@onnx("Squeeze")
def squeeze(graph: Graph, node: Node) -> None:
    shape = node.shape()
    axes = node.ints(1, "axes", [i for i, n in enumerate(shape) if n == 1])
    dims = sorted({node.place(a, len(shape)) for a in axes})
    if dims:
        graph.op("Squeeze", [graph.blob(node.inputs[0])], node.only_output(), dims=dims)
    else:
        graph.pass_on(node.inputs[0], node.only_output())


@onnx("Unsqueeze")
def unsqueeze(graph: Graph, node: Node) -> None:
    axes = node.ints(1, "axes")
    dims = sorted({node.place(a, len(node.shape()) + len(axes)) for a in axes})
    if dims:
        graph.op("ExpandDims", [graph.blob(node.inputs[0])], node.only_output(), dims=dims)
    else:
        graph.pass_on(node.inputs[0], node.only_output())


@onnx("Concat")
def concat(graph: Graph, node: Node) -> None:
    made = node.only_output()
    if len(node.inputs) == 1:
        node.attribute("axis")
        graph.pass_on(node.inputs[0], made)
        return
    axis = node.axis(None)
    graph.op("Concat", [graph.blob(n) for n in node.inputs], [made, graph.fresh(f"{made}_sizes")], axis=axis)


@onnx("Split")
def split(graph: Graph, node: Node) -> None:
    axis, count = node.axis(0), len(node.places)
    whole = node.shape()[axis]
    node.attribute("num_outputs")
    if graph.is_open(whole):
        node.refuse("parts of the batch are not converted.")
    size = -(-whole // count)
    sizes = node.ints(1, "split", [size] * (count - 1) + [whole - size * (count - 1)])
    if len(sizes) != count or sum(sizes) != whole or min(sizes) < 0:
        node.refuse(f"parts of {sizes} are not {count} parts of {whole}.")
    if all(name and graph.readers.get(name) for name in node.places):
        graph.op("Split", [graph.blob(node.inputs[0])], node.places, axis=axis, split=sizes)
        return
    for i, name in enumerate(node.places):  # the gradient of Split needs all parts
        if name:
            start = sum(sizes[:i])
            _window(graph, graph.blob(node.inputs[0]), axis, (start, start + sizes[i]), name)


def _window(graph: Graph, blob: str, axis: int, part: tuple[int, int], made: str) -> str:
    ndim = len(graph.specs[blob][0])
    starts, ends = [0] * ndim, [-1] * ndim
    starts[axis], ends[axis] = part
    return graph.op("Slice", [blob], made, starts=starts, ends=ends)


@onnx("Slice")
def slice_(graph: Graph, node: Node) -> None:
    names = ("data", "starts", "ends", "axes", "steps")
    values: list[Array] = [np.zeros(0)]
    for i in range(1, len(node.inputs)):
        values.append(node.fixed(i, names[i]))
    starts, ends, axes, steps = slice_bounds(node, values)
    shape, made = node.shape(), node.only_output()
    cuts = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = node.place(int(axis), len(shape))
        cut = _cut(graph, node, int(start), int(end), int(step), shape[place])
        if cut is not None:
            cuts.append((place, cut))
    if not cuts:
        graph.pass_on(node.inputs[0], made)
    blob = graph.blob(node.inputs[0])
    for i, (axis, cut) in enumerate(cuts):
        name = made if i == len(cuts) - 1 else graph.fresh(f"{made}_part")
        if isinstance(cut, tuple):
            blob = _window(graph, blob, axis, cut, name)
        else:
            rows = graph.constant(f"{made}_rows", cut, "int64")
            blob = graph.op("Gather", [blob, rows], name, axis=axis, dense_gradient=1)


def _cut(graph: Graph, node: Node, start: int, end: int, step: int, size: int) -> Any:
    """None for the whole, first and last as `Slice` has them, or the rows where the step is another than 1."""
    if graph.is_open(size):
        if step != 1:
            node.refuse("steps through the batch are not converted.")
        last = -1 if end >= size else end - 1 if end < 0 else end
        first = start - 1 if start < 0 else start
        return None if first == 0 and last == -1 else (first, last)
    if step == 0:
        node.refuse("a step of 0 leads nowhere.")
    rows = range(size)[slice(start, None if step < 0 and end < -size else end, step)]
    if step != 1:
        return list(rows)
    return None if len(rows) == size else (rows.start, max(rows.start, rows.stop))


@onnx("Gather")
def gather(graph: Graph, node: Node) -> None:
    axis = node.axis(0)
    if (
        graph.is_open(node.shape()[axis])
        and node.given(1) in graph.known
        and bool((node.fixed(1, "indices") < 0).any())
    ):
        node.refuse("a place counted from the batch's end is not converted.")
    one, made = graph.known.get(node.inputs[1]), node.only_output()
    if one is not None and one.ndim == 0:
        rows = [graph.blob(node.inputs[0]), graph.constant(f"{made}_row", one.reshape(1), "int64")]
        part = graph.op("Gather", rows, graph.fresh(f"{made}_part"), axis=axis, dense_gradient=1)
        graph.op("Squeeze", [part], made, dims=[axis])
        return
    blobs = [graph.blob(name) for name in node.inputs]
    graph.op("Gather", blobs, made, axis=axis, dense_gradient=1)


@onnx("GatherElements")
def gather_elements(graph: Graph, node: Node) -> None:
    blobs = [graph.blob(name) for name in node.inputs]
    graph.op("GatherElements", blobs, node.only_output(), axis=node.axis(0))


@onnx("Expand")
def expand(graph: Graph, node: Node) -> None:
    wanted = [int(n) for n in node.fixed(1, "shape").reshape(-1)]
    try:
        wide = np.broadcast_shapes(tuple(node.shape()), tuple(wanted))
    except ValueError:
        node.refuse(f"{graph.words(node.shape())} does not broadcast to {graph.words(wanted)}.")
    graph.sized(node, "BroadcastTo", [graph.blob(node.inputs[0])], wide, node.only_output())


@onnx("ConstantOfShape")
def constant_of_shape(graph: Graph, node: Node) -> None:
    sizes = [int(n) for n in node.fixed(0, "shape").reshape(-1)]
    given = node.attribute("value")
    value = np.zeros(1, np.float32) if given is None else given
    dtype = torch.from_numpy(value.astype(np.float32) if value.dtype.kind == "f" else value).dtype
    fill: Any = {"value": float(value.reshape(-1)[0]), "dtype": type_number(dtype)}
    graph.sized(node, "FillSized", [], sizes, node.only_output(), **fill)


@onnx("Tile")
def tile(graph: Graph, node: Node) -> None:
    repeats = [int(n) for n in node.fixed(1, "repeats").reshape(-1)]
    blob, made = graph.blob(node.inputs[0]), node.only_output()
    if any(map(graph.is_open, repeats)):
        wide = [n * r for n, r in zip(node.shape(), repeats, strict=True)]
        if any(n != 1 and r != 1 for n, r in zip(node.shape(), repeats, strict=True)):
            node.refuse("repeats that follow the batch are converted for sizes of 1 alone.")
        graph.sized(node, "BroadcastTo", [blob], wide, made)
        return
    axes = [axis for axis, count in enumerate(repeats) if count != 1]
    if not axes:
        graph.pass_on(node.inputs[0], made)
    for axis in axes:
        name = made if axis == axes[-1] else graph.fresh(f"{made}_{axis}")
        blob = graph.op("Tile", [blob], name, tiles=repeats[axis], axis=axis)


@onnx("Pad")
def pad(graph: Graph, node: Node) -> None:
    ndim, mode = len(node.shape()), node.attribute("mode", "constant")
    margins = node.ints(1, "pads")
    if node.version < 11:
        value = float(node.attribute("value", 0.0))
    else:
        value = float(node.fixed(2, "value").reshape(-1)[0]) if node.given(2) else 0.0
    axes = (
        [node.place(int(a), ndim) for a in node.fixed(3, "axes").reshape(-1)]
        if node.given(3)
        else range(ndim)
    )
    if len(margins) != 2 * len(axes) or mode not in ("constant", "reflect", "edge", "wrap"):
        node.refuse(f"pads {margins} in mode {mode} do not fit {ndim} dimensions.")
    wide = [0] * 2 * ndim
    for i, axis in enumerate(axes):
        wide[axis], wide[ndim + axis] = margins[i], margins[len(axes) + i]
    if any(graph.is_open(n) and (wide[i] or wide[ndim + i]) for i, n in enumerate(node.shape())):
        node.refuse("margins of the batch are not converted.")
    first = next((i for i in range(ndim) if wide[i] or wide[ndim + i]), None)
    if first is None:
        graph.pass_on(node.inputs[0], node.only_output())
        return
    pads = wide[first:ndim] + wide[ndim + first :]
    graph.op("Pad", [graph.blob(node.inputs[0])], node.only_output(), pads=pads, mode=mode, value=value)


@onnx("DepthToSpace", "SpaceToDepth")
def depth(graph: Graph, node: Node) -> None:
    shape, b = node.shape(), node.attribute("blocksize")
    if len(shape) != 4 or not isinstance(b, int) or b < 1:
        node.refuse(f"blocks of {b} do not fit {graph.words(shape)}.")
    N, C, H, W = shape
    blob, made = graph.blob(node.inputs[0]), node.only_output()
    if node.type == "SpaceToDepth":
        parts, order, whole = [N, C, H // b, b, W // b, b], [0, 3, 5, 1, 2, 4], [N, C * b * b, H // b, W // b]
    elif node.attribute("mode", "DCR") == "DCR":
        parts, order, whole = (
            [N, b, b, C // (b * b), H, W],
            [0, 3, 4, 1, 5, 2],
            [N, C // (b * b), H * b, W * b],
        )
    else:
        parts, order, whole = (
            [N, C // (b * b), b, b, H, W],
            [0, 1, 4, 2, 5, 3],
            [N, C // (b * b), H * b, W * b],
        )
    cut = graph.reshape(node, blob, parts, graph.fresh(f"{made}_parts"))
    moved = graph.op("Transpose", [cut], graph.fresh(f"{made}_moved"), axes=order)
    graph.reshape(node, moved, whole, made)
