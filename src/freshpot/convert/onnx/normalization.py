"""Normalisation of rows, groups and vectors, said in simpler operators where this operator set has none."""

from __future__ import annotations

import numpy as np

from freshpot.convert.onnx._graph import Call, Graph, onnx
from freshpot.convert.onnx.shapes import reduced


@onnx("LayerNorm")
def layer_norm(graph: Graph, call: Call) -> None:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta"""
    own, made, shape = call.operator, call.outputs[0], call.shape()
    axis = own.axis % len(shape)
    axes = list(range(axis, len(shape)))
    x, spread = _centred(graph, call.inputs[0], made, axes)
    more = graph.inner("Add", [spread, graph.constant(f"{made}_epsilon", own.epsilon)], made)
    affine = call.inputs[1:3]
    rows = graph.node(
        "Div", [x, graph.inner("Sqrt", [more], f"{made}_std")], graph.fresh(made) if affine else made
    )
    for i, name in enumerate(affine):
        wide = graph.inner("Reshape", [name, graph.ints(f"{made}_row", shape[axis:])], f"{made}_wide")
        rows = graph.node("Add" if i else "Mul", [rows, wide], made if i else graph.fresh(made))


def _centred(graph: Graph, x: str, stem: str, axes: list[int]) -> tuple[str, str]:
    """x without its mean, and its variance."""
    mean = reduced(graph, "ReduceMean", x, graph.fresh(f"{stem}_mean"), axes)
    centred = graph.inner("Sub", [x, mean], f"{stem}_centred")
    squares = graph.inner("Mul", [centred, centred], f"{stem}_squares")
    return centred, reduced(graph, "ReduceMean", squares, graph.fresh(f"{stem}_variance"), axes)


@onnx("InstanceNorm")
def instance_norm(graph: Graph, call: Call) -> None:
    call.channels_second()
    graph.node(
        "InstanceNormalization", call.inputs[:3], call.outputs[0], epsilon=float(call.operator.epsilon)
    )


@onnx("GroupNorm")
def group_norm(graph: Graph, call: Call) -> None:
    """Groups are the channels of an instance normalisation."""
    call.channels_second()
    own, made, shape = call.operator, call.outputs[0], call.shape()
    groups = graph.inner("Reshape", [call.inputs[0], graph.ints(made, [shape[0], own.group, -1])], made)
    ones, zeros = (graph.constant(f"{made}_{n}", np.full(own.group, n)) for n in (1, 0))
    rows = graph.inner("InstanceNormalization", [groups, ones, zeros], made, epsilon=float(own.epsilon))
    x = graph.inner("Reshape", [rows, graph.ints(made, shape)], made)
    wide = [shape[1], *[1] * (len(shape) - 2)]
    gamma, beta = (graph.inner("Reshape", [name, graph.ints(made, wide)], made) for name in call.inputs[1:3])
    graph.node("Add", [graph.inner("Mul", [x, gamma], made), beta], made)


@onnx("MVN")
def mvn(graph: Graph, call: Call) -> None:
    """Caffe's: eps is added to the deviation."""
    own, made, shape = call.operator, call.outputs[0], call.shape()
    if len(shape) != 4:
        call.refuse("only images are converted.")
    x, spread = _centred(graph, call.inputs[0], made, [1, 2, 3] if own.across_channels else [2, 3])
    if not own.normalize_variance:
        graph.node("Identity", [x], made)
        return
    deviation = graph.inner("Sqrt", [spread], made)
    graph.node(
        "Div", [x, graph.inner("Add", [deviation, graph.constant(f"{made}_eps", own.eps)], made)], made
    )


@onnx("Normalize", "NormalizeL1")
def normalize(graph: Graph, call: Call) -> None:
    """Lengths below 1e-12 count as that."""
    made = call.outputs[0]
    axis = [call.operator.axis % len(call.shape())]
    type = "ReduceL2" if call.op.type == "Normalize" else "ReduceL1"
    length = reduced(graph, type, call.inputs[0], graph.fresh(made), axis)
    least = graph.inner("Max", [length, graph.constant(f"{made}_least", 1e-12)], made)
    graph.node("Div", [call.inputs[0], least], made)


@onnx("AdaptiveAveragePool")
def adaptive_average_pool(graph: Graph, call: Call) -> None:
    """Windows of one size where the sizes divide."""
    sizes, space, made = list(call.operator.sizes), call.shape()[2:], call.outputs[0]
    if set(sizes) == {1}:
        graph.node("GlobalAveragePool", call.inputs, made)
        return
    if any(n % size for n, size in zip(space, sizes, strict=True)):
        call.refuse(f"{space} does not divide into {sizes}, so that windows have several sizes.")
    kernel = [n // size for n, size in zip(space, sizes, strict=True)]
    graph.node("AveragePool", call.inputs, made, kernel_shape=kernel, strides=kernel)


@onnx("WindowMaxPool")
def window_max_pool(graph: Graph, call: Call) -> None:
    own = call.operator
    graph.node(
        "MaxPool", call.inputs, call.outputs[0], kernel_shape=list(own.kernels), strides=list(own.strides),
        pads=[*own.pads, *own.pads], dilations=list(own.dilations), ceil_mode=int(own.round_up),
    )  # fmt: skip


@onnx("LpPool")
def lp_pool(graph: Graph, call: Call) -> None:
    call.channels_second()
    own = call.operator
    if own.global_pooling or own.p != int(own.p) or any(d != 1 for d in own.dilations):
        call.refuse("global pooling, dilation, and powers that are not whole are not converted.")
    graph.node(
        "LpPool", call.inputs, call.outputs[0], kernel_shape=list(own.kernels), strides=list(own.strides),
        pads=[*own.heads, *own.tails], p=int(own.p),
    )  # fmt: skip
