"""Convolutions, products, pooling, normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from freshpot.convert.from_onnx._graph import Graph, Node, onnx


@onnx("Conv")
def conv(graph: Graph, node: Node) -> None:
    inputs = [graph.blob(name) for name in node.inputs if name]
    window = _window(node, node.shape(1)[2:])
    graph.op("Conv", inputs, node.only_output(), group=int(node.attribute("group", 1)), **window)


@onnx("ConvTranspose")
def conv_transpose(graph: Graph, node: Node) -> None:
    kernel, space = node.shape(1)[2:], node.shape()[2:]
    half = len(kernel)
    inputs = [graph.blob(name) for name in node.inputs if name]
    group = int(node.attribute("group", 1))
    adjust = [int(n) for n in node.attribute("output_padding", [0] * half)]
    wanted = node.attribute("output_shape")
    auto = node.attribute("auto_pad", "NOTSET")
    given = _window(node, kernel, transposed=True)
    if wanted is not None or auto in ("SAME_UPPER", "SAME_LOWER"):
        rows = zip(space, kernel, given["strides"], given["dilations"], adjust, strict=True)
        whole = [s * (n - 1) + a + (k - 1) * d + 1 for n, k, s, d, a in rows]
        sizes = [n * s for n, s in zip(space, given["strides"], strict=True)]
        if wanted is not None:
            sizes = [int(n) for n in wanted][-half:]
        spare = [w - size for w, size in zip(whole, sizes, strict=True)]
        adjust = [a + max(0, -n) for a, n in zip(adjust, spare, strict=True)]
        total = [max(0, n) for n in spare]
        heads = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
        given["pads"] = heads + [t - h for t, h in zip(total, heads, strict=True)]
    if half == 2 and set(given["dilations"]) == {1}:
        del given["dilations"]
        graph.op("ConvTranspose", inputs, node.only_output(), group=group, adjs=adjust, **given)
        return
    if any(adjust):
        node.refuse("output_padding is converted for 2 dimensions of space without dilation alone.")
    graph.op("Deconvolution", inputs, node.only_output(), group=group, **given)


def _window(node: Node, kernel: list[int], transposed: bool = False) -> dict[str, Any]:
    """Kernel, strides, padding and dilation as operators' arguments."""
    half = len(kernel)
    if not half:
        node.refuse(f"its input {tuple(node.shape())} has no dimension of space.")
    said = [int(n) for n in node.attribute("kernel_shape", kernel)]
    if said != kernel:
        node.refuse(f"kernel_shape is {said}, the weight's is {kernel}.")
    strides = [int(n) for n in node.attribute("strides", [1] * half)]
    dilations = [int(n) for n in node.attribute("dilations", [1] * half)]
    pads = [int(n) for n in node.attribute("pads", [0] * 2 * half)]
    if (
        len(strides) != half
        or len(dilations) != half
        or len(pads) != 2 * half
        or min(strides + dilations) < 1
    ):
        node.refuse(
            f"strides {strides}, dilations {dilations} and pads {pads} do not fit a kernel of {kernel}."
        )
    auto = node.attribute("auto_pad", "NOTSET")
    if auto not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"auto_pad {auto} is not known.")
    if auto == "VALID":
        pads = [0] * 2 * half
    elif auto != "NOTSET" and not transposed:
        pads = _same(node, kernel, strides, dilations, auto == "SAME_UPPER")
    if min(pads) < 0:
        node.refuse("padding below 0 is not converted.")
    return {"kernels": kernel, "strides": strides, "pads": pads, "dilations": dilations}


def _same(node: Node, kernel: list[int], strides: list[int], dilations: list[int], upper: bool) -> list[int]:
    """Padding that makes the output as large as the input, divided by the stride."""
    rows = zip(node.shape()[2:], kernel, strides, dilations, strict=True)
    total = [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) for n, k, s, d in rows]
    heads = [t // 2 if upper else t - t // 2 for t in total]
    return heads + [t - h for t, h in zip(total, heads, strict=True)]


@onnx("MaxPool", "AveragePool")
def pool(graph: Graph, node: Node) -> None:
    if node.attribute("storage_order", 0):
        node.refuse("storage_order 1 is not converted.")
    kernel = [int(n) for n in node.attribute("kernel_shape", [])]
    space = node.shape()[2:]
    if len(kernel) != len(space):
        node.refuse(f"a window of {kernel} does not fit an input of {tuple(node.shape())}.")
    window = _window(node, kernel)
    pads, strides, dilations = window["pads"], window["strides"], window.pop("dilations")
    half, x, made = len(kernel), graph.blob(node.inputs[0]), node.only_output()
    extra = [0] * half
    if node.attribute("ceil_mode", 0):
        for i, (n, k, s, d) in enumerate(zip(space, kernel, strides, dilations, strict=True)):
            padded, span = n + pads[i] + pads[half + i], (k - 1) * d + 1
            count = -(-(padded - span) // s) + 1
            if (count - 1) * s >= n + pads[i]:  # a window that would begin behind the input is none
                count -= 1
            extra[i] = max(0, (count - 1) * s + span - padded)
    window["pads"] = pads[:half] + [p + e for p, e in zip(pads[half:], extra, strict=True)]
    if node.type == "MaxPool":
        if set(dilations) == {1}:
            graph.op("MaxPool", [x], made, **window)
        elif any(extra) or pads[:half] != pads[half:]:
            node.refuse("dilation with uneven padding or ceil_mode is not converted.")
        else:
            graph.op("WindowMaxPool", [x], made, dilations=dilations, **{**window, "pads": pads[:half]})
        return
    include = int(node.attribute("count_include_pad", 0))
    if set(dilations) != {1}:
        node.refuse("dilation is not converted.")
    if include and any(extra):
        if any(pads):
            node.refuse("ceil_mode beside padding that counts is not converted.")
        include = 0
    graph.op("AveragePool", [x], made, count_include_pad=include, **window)


@onnx("GlobalMaxPool", "GlobalAveragePool")
def global_pool(graph: Graph, node: Node) -> None:
    type = "MaxPool" if node.type == "GlobalMaxPool" else "AveragePool"
    graph.op(type, [graph.blob(node.inputs[0])], node.only_output(), global_pooling=1)


@onnx("LpPool", "GlobalLpPool")
def lp_pool(graph: Graph, node: Node) -> None:
    power = float(node.attribute("p", 2))
    if node.type == "GlobalLpPool":
        node.refuse("it is not converted.")
    window = _window(node, [int(n) for n in node.attribute("kernel_shape", [])])
    if set(window.pop("dilations")) != {1} or node.attribute("ceil_mode", 0) or len(window["kernels"]) != 2:
        node.refuse("only windows on images, without dilation and ceil_mode, are converted.")
    graph.op("LpPool", [graph.blob(node.inputs[0])], node.only_output(), p=power, **window)


@onnx("BatchNormalization")
def batch_normalization(graph: Graph, node: Node) -> None:
    for name in ("momentum", "consumed_inputs", "is_test"):  # versions before 7 said is_test
        node.attribute(name)
    if node.attribute("training_mode", 0) or not node.attribute("spatial", 1):
        node.refuse("only the form for use, with one number a channel, is converted.")
    for name in node.places[1:]:
        if name and graph.readers.get(name):
            node.refuse("only its first output is converted.")
        if name:
            graph.names[name] = name
    inputs = [graph.blob(name) for name in node.inputs]
    epsilon = float(node.attribute("epsilon", 1e-5))
    graph.op("SpatialBN", inputs, node.places[0], is_test=1, epsilon=epsilon)


@onnx("InstanceNormalization")
def instance_normalization(graph: Graph, node: Node) -> None:
    inputs = [graph.blob(name) for name in node.inputs]
    graph.op("InstanceNorm", inputs, node.only_output(), epsilon=float(node.attribute("epsilon", 1e-5)))


@onnx("LayerNormalization")
def layer_normalization(graph: Graph, node: Node) -> None:
    axis = node.axis(-1)
    if node.attribute("stash_type", 1) != 1:
        node.refuse("another stash_type than 1 is not converted.")
    shape, made = node.shape(), node.only_output()
    if node.shape(1) != shape[axis:] or (node.given(2) and node.shape(2) != shape[axis:]):
        node.refuse("scale and bias must have the shape that is normalised.")
    inputs = [graph.blob(name) for name in node.inputs if name]
    if len(inputs) == 2:
        if not graph.has_room(math.prod(shape[axis:])):
            node.refuse(f"a bias of {shape[axis:]} is too large.")
        inputs.append(graph.constant(f"{made}_bias", np.zeros(shape[axis:])))
    graph.op(
        "LayerNorm", inputs, [made, graph.fresh(f"{made}_mean"), graph.fresh(f"{made}_std")],
        axis=axis, epsilon=float(node.attribute("epsilon", 1e-5)), elementwise_affine=1,
    )  # fmt: skip


@onnx("LRN")
def lrn(graph: Graph, node: Node) -> None:
    size = node.attribute("size")
    if not isinstance(size, int) or size % 2 == 0:
        node.refuse(f"only an odd size is converted, it is {size}.")
    graph.op(
        "LRN", [graph.blob(node.inputs[0])], [node.only_output(), graph.fresh(f"{node.outputs[0]}_scale")],
        size=size, alpha=float(node.attribute("alpha", 1e-4)), beta=float(node.attribute("beta", 0.75)),
        bias=float(node.attribute("bias", 1.0)),
    )  # fmt: skip


@onnx("LpNormalization")
def lp_normalization(graph: Graph, node: Node) -> None:
    power = node.attribute("p", 2)
    if power not in (1, 2):
        node.refuse(f"only the norms 1 and 2 are converted, p is {power}.")
    type = "Normalize" if power == 2 else "NormalizeL1"
    graph.op(type, [graph.blob(node.inputs[0])], node.only_output(), axis=node.axis(-1))


@onnx("Gemm")
def gemm(graph: Graph, node: Node) -> None:
    """alpha * A B + beta * C; an FC where it is the usual one."""
    alpha, beta = float(node.attribute("alpha", 1.0)), float(node.attribute("beta", 1.0))
    turned = [bool(node.attribute(name, 0)) for name in ("transA", "transB")]
    node.attribute("broadcast")
    weight, made = graph.known.get(node.inputs[1]), node.only_output()
    bias = graph.known.get(node.inputs[2]) if node.given(2) else None
    if len(node.shape()) != 2 or len(node.shape(1)) != 2:
        node.refuse("only matrices are converted.")
    rows = node.shape(1)[0 if turned[1] else 1]
    if (
        weight is not None
        and not turned[0]
        and (bias is not None or not node.given(2))
        and weight.dtype.kind == "f"
    ):
        flat = np.zeros(rows, np.float32) if bias is None else bias.reshape(-1)
        if flat.size in (1, rows) and (bias is None or bias.ndim < 2 or bias.shape[0] == 1):
            _fc(graph, node, weight if turned[1] else weight.T, flat, alpha, beta)
            return
    blobs = [graph.blob(name) for name in node.inputs[:2]]
    x = graph.op(
        "MatMul", blobs, graph.fresh(f"{made}_product"), trans_a=int(turned[0]), trans_b=int(turned[1])
    )
    if alpha != 1:
        x = graph.op("Scale", [x], graph.fresh(f"{made}_scaled"), scale=alpha)
    if not node.given(2):
        graph.op("Copy", [x], made)
        return
    other = graph.blob(node.inputs[2])
    if beta != 1:
        other = graph.op("Scale", [other], graph.fresh(f"{made}_c"), scale=beta)
    graph.op("Add", [x, other], made)


def _fc(graph: Graph, node: Node, weight: Any, bias: Any, alpha: float, beta: float) -> None:
    """An FC; the model's own tensors where they are right as they are."""
    made, known = node.outputs[0], graph.known
    if alpha == 1 and weight is known[node.inputs[1]]:
        W = graph.blob(node.inputs[1])
    else:
        W = graph.constant(node.inputs[1], np.ascontiguousarray(weight) * np.float32(alpha))
    own = node.given(2) and beta == 1 and bias.shape == known[node.inputs[2]].shape == (len(weight),)
    if own:
        b = graph.blob(node.inputs[2])
    else:
        b = graph.constant(f"{made}_bias", np.broadcast_to(bias * np.float32(beta), (len(weight),)).copy())
    if not node.given(2):
        graph.zero_biases.add(b)
    graph.op("FC", [graph.blob(node.inputs[0]), W, b], made, axis=1)


@onnx("MatMul")
def matmul(graph: Graph, node: Node) -> None:
    weight, made = graph.known.get(node.inputs[1]), node.only_output()
    ndim = len(node.shape())
    if weight is not None and weight.ndim == 2 and weight.dtype.kind == "f" and ndim >= 2:
        W = graph.constant(node.inputs[1], np.ascontiguousarray(weight.T))
        b = graph.constant(f"{made}_bias", np.zeros(weight.shape[1]))
        graph.zero_biases.add(b)
        graph.op("FC", [graph.blob(node.inputs[0]), W, b], made, axis=ndim - 1)
        return
    if ndim == 1 and len(node.shape(1)) == 1:
        node.refuse("two vectors are not converted.")
    blobs = [graph.blob(name) for name in node.inputs]
    if ndim == 2 and len(node.shape(1)) == 2:
        graph.op("MatMul", blobs, made)
    else:
        graph.op("BatchMatMul", blobs, made, broadcast=1)
