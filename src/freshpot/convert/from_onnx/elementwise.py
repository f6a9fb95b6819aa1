"""Activations, arithmetic, comparisons, casts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.convert.from_onnx._graph import Graph, Node, onnx, type_number
from freshpot.formats.onnx_file import TYPES

_PLAIN = {
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Exp": "Exp",
    "Log": "Log",
    "Sqrt": "Sqrt",
    "Abs": "Abs",
    "Neg": "Negative",
    "Floor": "Floor",
    "Ceil": "Ceil",
    "Sign": "Sign",
    "Sin": "Sin",
    "Cos": "Cos",
    "Tan": "Tan",
    "Asin": "Asin",
    "Acos": "Acos",
    "Atan": "Atan",
    "Sinh": "Sinh",
    "Cosh": "Cosh",
    "Erf": "Erf",
    "Reciprocal": "Reciprocal",
    "Softplus": "Softplus",
    "Softsign": "Softsign",
    "Not": "Not",
}


@onnx(*_PLAIN)
def plain(graph: Graph, node: Node) -> None:
    graph.op(_PLAIN[node.type], [graph.blob(node.inputs[0])], node.only_output())


@onnx("Identity")
def identity(graph: Graph, node: Node) -> None:
    graph.pass_on(node.inputs[0], node.only_output())


@onnx("LeakyRelu")
def leaky_relu(graph: Graph, node: Node) -> None:
    graph.op(
        "LeakyRelu",
        [graph.blob(node.inputs[0])],
        node.only_output(),
        alpha=float(node.attribute("alpha", 0.01)),
    )


@onnx("Elu")
def elu(graph: Graph, node: Node) -> None:
    graph.op(
        "Elu", [graph.blob(node.inputs[0])], node.only_output(), alpha=float(node.attribute("alpha", 1.0))
    )


@onnx("Selu")
def selu(graph: Graph, node: Node) -> None:
    alpha = float(node.attribute("alpha", 1.6732632423543772))
    scale = float(node.attribute("gamma", 1.0507009873554805))
    graph.op("Selu", [graph.blob(node.inputs[0])], node.only_output(), alpha=alpha, scale=scale)


@onnx("HardSigmoid")
def hard_sigmoid(graph: Graph, node: Node) -> None:
    alpha, beta = float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))
    graph.op("HardSigmoid", [graph.blob(node.inputs[0])], node.only_output(), alpha=alpha, beta=beta)


@onnx("HardSwish")
def hard_swish(graph: Graph, node: Node) -> None:
    x, made = graph.blob(node.inputs[0]), node.only_output()
    gate = graph.op("HardSigmoid", [x], graph.fresh(f"{made}_gate"), alpha=1 / 6, beta=0.5)
    graph.op("Mul", [x, gate], made)


@onnx("Mish")
def mish(graph: Graph, node: Node) -> None:
    """x * tanh(log(1 + exp(x)))"""
    x, made = graph.blob(node.inputs[0]), node.only_output()
    soft = graph.op("Softplus", [x], graph.fresh(f"{made}_soft"))
    graph.op("Mul", [x, graph.op("Tanh", [soft], graph.fresh(f"{made}_gate"))], made)


@onnx("Gelu")
def gelu(graph: Graph, node: Node) -> None:
    fast = int(node.attribute("approximate", "none") == "tanh")
    graph.op("Gelu", [graph.blob(node.inputs[0])], node.only_output(), fast_gelu=fast)


@onnx("PRelu")
def prelu(graph: Graph, node: Node) -> None:
    slope, ndim = node.fixed(1, "slope"), len(node.shape())
    channels = [n for i, n in enumerate((1,) * (ndim - slope.ndim) + slope.shape) if i != min(1, ndim - 1)]
    per_channel = node.version < 7 and slope.ndim == 1
    if slope.size > 1 and not per_channel and (slope.ndim > ndim or any(n != 1 for n in channels)):
        node.refuse(f"a slope of shape {slope.shape} is not one for each channel.")
    name = node.inputs[1]
    if slope.ndim == 1:
        own = graph.blob(name)
    else:
        own = graph.constant(name, slope.reshape(-1))
    graph.op("PRelu", [graph.blob(node.inputs[0]), own], node.only_output())


@onnx("Clip")
def clip(graph: Graph, node: Node) -> None:
    if not node.spec()[1].is_floating_point:
        node.refuse("only fractions are converted.")
    bounds: dict[str, Any] = {}
    for i, side in enumerate(("min", "max"), 1):
        if node.version < 11:
            value = node.attribute(side)
        else:
            value = node.fixed(i, side).reshape(-1)[0] if node.given(i) else None
        if value is not None:
            bounds[side] = float(value)
    graph.op("Clip", [graph.blob(node.inputs[0])], node.only_output(), **bounds)


@onnx("Dropout")
def dropout(graph: Graph, node: Node) -> None:
    """In use it passes on; the net keeps the ratio, for training."""
    node.attribute("is_test")
    if node.version < 12:
        ratio = float(node.attribute("ratio", 0.5))
    else:
        node.attribute("seed")
        ratio = float(node.fixed(1, "ratio").reshape(-1)[0]) if node.given(1) else 0.5
        if node.given(2) and bool(node.fixed(2, "training_mode").any()):
            node.refuse("only the form for use is converted.")
    if not node.spec()[1].is_floating_point or not 0 <= ratio < 1:
        graph.pass_on(node.inputs[0], node.only_output())
        return
    mask = node.places[1] if len(node.places) > 1 else ""
    if mask and graph.readers.get(mask):
        node.refuse("its mask is not converted.")
    if mask:
        graph.names[mask] = mask
    graph.op("Dropout", [graph.blob(node.inputs[0])], node.places[0], ratio=ratio, is_test=1)


_BINARY = {"Add": "Add", "Sub": "Sub", "Mul": "Mul", "Div": "Div"}
_COMPARISONS = {"Equal": "EQ", "Greater": "GT", "GreaterOrEqual": "GE", "Less": "LT", "LessOrEqual": "LE"}
_LOGIC = {"And": "And", "Or": "Or", "Xor": "Xor"}


@onnx(*_BINARY, *_COMPARISONS, *_LOGIC)
def binary(graph: Graph, node: Node) -> None:
    old: dict[str, Any] = {}
    if node.version < 7:  # the second input laid on the first from a dimension on, as Caffe2 does
        node.attribute("consumed_inputs")
        axis, old["broadcast"] = node.attribute("axis"), int(node.attribute("broadcast", 0))
        old = {**old, **({} if axis is None else {"axis": int(axis)})} if old["broadcast"] else {}
    if node.type == "Add" and not old and _bias(graph, node):
        return
    type = {**_BINARY, **_COMPARISONS, **_LOGIC}[node.type]
    graph.op(type, [graph.blob(name) for name in node.inputs], node.only_output(), **old)


def _bias(graph: Graph, node: Node) -> bool:
    """Put a fixed vector into the FC that a MatMul became, whose only reader this is; True if that was done."""
    for product, other in (node.inputs, node.inputs[::-1]):
        bias = graph.known.get(other)
        made = graph.made_by(graph.names.get(product, ""))
        if bias is None or made is None or made.type != "FC" or graph.readers[product] != 1:
            continue
        zeros = graph.parameters.get(made.inputs[2])
        if zeros is None or made.inputs[2] not in graph.zero_biases or bias.shape != tuple(zeros.shape):
            continue
        del graph.parameters[made.inputs[2]]
        made.inputs[2] = graph.blob(other)
        made.outputs[0] = node.only_output()
        graph.names[made.outputs[0]] = made.outputs[0]
        graph.specs[made.outputs[0]] = graph.specs[graph.names[product]]
        return True
    return False


@onnx("Pow")
def power(graph: Graph, node: Node) -> None:
    exponent, made = graph.known.get(node.inputs[1]), node.only_output()
    if not node.spec()[1].is_floating_point:
        node.refuse("only fractions are converted.")
    if exponent is not None and exponent.size == 1 and exponent.ndim <= len(node.shape()):
        graph.op("Pow", [graph.blob(node.inputs[0])], made, exponent=float(exponent.reshape(-1)[0]))
        return
    if exponent is not None and exponent.dtype.kind != "f":
        other = graph.constant(node.inputs[1], exponent)
    else:
        other = graph.blob(node.inputs[1])
    graph.op("Pow", [graph.blob(node.inputs[0]), other], made)


@onnx("Sum", "Max", "Min", "Mean")
def several(graph: Graph, node: Node) -> None:
    """Of inputs that must be brought to one shape first."""
    made, shapes = node.only_output(), [tuple(node.shape(i)) for i in range(len(node.inputs))]
    try:
        wide = np.broadcast_shapes(*shapes)
    except ValueError:
        node.refuse(f"shapes {shapes} do not broadcast.")
    blobs = [graph.blob(name) for name in node.inputs]
    for i, shape in enumerate(shapes):
        if shape != wide:
            blobs[i] = graph.sized(node, "BroadcastTo", [blobs[i]], wide, graph.fresh(f"{made}_wide"))
    graph.op(node.type, blobs, made)


@onnx("Where")
def where(graph: Graph, node: Node) -> None:
    graph.op("Choose", [graph.blob(name) for name in node.inputs], node.only_output())


@onnx("Cast")
def cast(graph: Graph, node: Node) -> None:
    to = node.attribute("to")
    node.attribute("saturate")
    if to not in TYPES or to in (12, 13):
        node.refuse(f"element type {to} is not converted.")
    kind = TYPES[to][0]
    wanted = torch.float32 if kind.kind == "f" or to == 16 else torch.from_numpy(np.zeros(1, kind)).dtype
    found = node.spec()[1]
    if found is wanted:
        graph.pass_on(node.inputs[0], node.only_output())
        return
    numbers = {"to": type_number(wanted), "from_type": type_number(found)}
    graph.op("Cast", [graph.blob(node.inputs[0])], node.only_output(), **numbers)


@onnx("Softmax", "LogSoftmax")
def softmax(graph: Graph, node: Node) -> None:
    """Before version 13 over all dimensions from ``axis`` on, since then along one."""
    x, made, ndim = graph.blob(node.inputs[0]), node.only_output(), len(node.shape())
    axis = node.axis(1 if node.version < 13 else -1)
    axes = list(range(axis, ndim)) if node.version < 13 else [axis]
    behind = [n for i, n in enumerate(node.shape()) if i > axis]
    if node.type == "Softmax":
        whole = node.version < 13 or all(n == 1 for n in behind)
        graph.op("Softmax" if whole else "CaffeSoftmax", [x], made, axis=axis)
        return
    most = graph.op("ReduceMax", [x], graph.fresh(f"{made}_max"), axes=axes, keepdims=1)
    fixed = graph.op("StopGradient", [most], graph.fresh(f"{made}_fixed"))
    shifted = graph.op("Sub", [x, fixed], graph.fresh(f"{made}_shifted"))
    powers = graph.op("Exp", [shifted], graph.fresh(f"{made}_exp"))
    total = graph.op("ReduceSum", [powers], graph.fresh(f"{made}_sum"), axes=axes, keepdims=1)
    graph.op("Sub", [shifted, graph.op("Log", [total], graph.fresh(f"{made}_log"))], made)
