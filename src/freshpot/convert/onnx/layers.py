"""Convolutions, pooling, normalisation, products."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshpot.convert.onnx._graph import Call, Graph, onnx


@onnx("Conv", "ConvRelu")
def conv(graph: Graph, call: Call) -> None:
    call.channels_second()
    made = call.outputs[0] if call.op.type == "Conv" else graph.fresh(call.outputs[0])
    graph.node("Conv", call.inputs, made, **_window(call))
    if call.op.type == "ConvRelu":
        graph.node("Relu", [made], call.outputs[0])


@onnx("ConvTranspose", "Deconvolution")
def conv_transpose(graph: Graph, call: Call) -> None:
    call.channels_second()
    attributes = _window(call)
    if call.op.type == "ConvTranspose" and any(call.operator.adjs or []):
        attributes["output_padding"] = list(call.operator.adjs)
    graph.node("ConvTranspose", call.inputs, call.outputs[0], **attributes)


def _window(call: Call) -> dict[str, Any]:
    own = call.operator
    kernel = list(call.shape(1)[2:])
    count = len(kernel)
    return {
        "kernel_shape": kernel,
        "strides": _each(own, "strides", "stride", count),
        "pads": _pads(own, count),
        "dilations": _each(own, "dilations", "dilation", count),
        "group": int(getattr(own, "group", 1)),
    }


def _each(own: Any, many: str, one: str, count: int) -> list[int]:
    given = [int(n) for n in getattr(own, many, None) or []]
    h, w = (getattr(own, f"{one}_{side}", 0) for side in "hw")
    if not given and (h or w):
        given = [h or 1, w or 1]
    given = given or [int(getattr(own, one, 1) or 1)]
    return given * count if len(given) == 1 else given


def _pads(own: Any, count: int) -> list[int]:
    given = [int(n) for n in own.pads]
    if not given:
        given = (
            [int(getattr(own, f"pad_{side}", 0) or 0) for side in "tlbr"] if count == 2 else [0] * 2 * count
        )
        if not any(given):
            given = [int(own.pad)] * 2 * count
    return given * 2 if len(given) == count else given


@onnx("MaxPool", "AveragePool", "CaffeMaxPool", "CaffeAveragePool")
def pool(graph: Graph, call: Call) -> None:
    call.channels_second()
    own, largest = call.operator, "Max" in call.op.type
    if own.global_pooling:
        graph.node("GlobalMaxPool" if largest else "GlobalAveragePool", call.inputs[:1], call.outputs[0])
        return
    caffe = call.op.type.startswith("Caffe")
    size = call.shape()[2:]
    kernel = _each(own, "kernels", "kernel", len(size))
    strides = _each(own, "strides", "stride", len(size))
    pads = _pads(own, len(size))
    if getattr(own, "legacy_pad", 0) in (1, 2):
        call.refuse("legacy_pad 1 and 2 are not converted.")
    made = call.made()
    # margins that make the sizes come out without rounding
    rows = list(zip(size, kernel, strides, made[2:], strict=True))
    half = len(size)
    more = [(out - 1) * s + k - n - pads[i] - pads[i + half] for i, (n, k, s, out) in enumerate(rows)]
    extra = [max(0, m) for m in more]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    if largest:
        attributes["pads"] = pads[:half] + [pads[i + half] + extra[i] for i in range(half)]
        graph.node("MaxPool", call.inputs[:1], call.outputs[0], **attributes)
        return
    include = int(caffe or own.count_include_pad)
    if caffe and any(extra) and any(pads):
        call.refuse("average windows that hang over a padded edge count their pixels as ONNX does not.")
    if caffe and any(extra):
        include = 0  # what hangs over the edge does not count, and there is no other margin
    attributes["pads"] = pads[:half] + [pads[i + half] + extra[i] for i in range(half)]
    graph.node("AveragePool", call.inputs[:1], call.outputs[0], count_include_pad=include, **attributes)


@onnx("SpatialBN")
def spatial_bn(graph: Graph, call: Call) -> None:
    call.channels_second()
    if not call.operator.is_test:
        call.refuse("only the form for use (is_test) is converted.")
    graph.node("BatchNormalization", call.inputs[:5], call.outputs[0], epsilon=float(call.operator.epsilon))


@onnx("BatchNorm")
def batch_norm(graph: Graph, call: Call) -> None:
    """Caffe's sums are divided by their weight."""
    means, variances, weight = (graph.value(name) for name in call.inputs[1:4])
    if not call.operator.use_global_stats or means is None or variances is None or weight is None:
        call.refuse("only the form for use (use_global_stats), with fixed statistics, is converted.")
    scale = 0.0 if not float(weight.reshape(-1)[0]) else 1.0 / float(weight.reshape(-1)[0])
    count, stem = len(means), call.outputs[0]
    fixed = [
        graph.constant(f"{stem}_scale", np.ones(count)),
        graph.constant(f"{stem}_bias", np.zeros(count)),
        graph.constant(f"{stem}_mean", means * scale),
        graph.constant(f"{stem}_var", variances * scale),
    ]
    graph.node(
        "BatchNormalization", [call.inputs[0], *fixed], call.outputs[0], epsilon=float(call.operator.eps)
    )


@onnx("LRN")
def lrn(graph: Graph, call: Call) -> None:
    call.channels_second()
    own = call.operator
    graph.node(
        "LRN", call.inputs[:1], call.outputs[0],
        size=int(own.size), alpha=float(own.alpha), beta=float(own.beta), bias=float(own.bias),
    )  # fmt: skip


@onnx("FC", "InnerProduct")
def fc(graph: Graph, call: Call) -> None:
    own, shape = call.operator, call.shape()
    if getattr(own, "axis_w", 1) != 1:
        call.refuse("axis_w other than 1 is not converted.")
    axis = own.axis % len(shape)
    rows, made = call.inputs[0], call.outputs[0]
    if len(shape) != 2 or axis != 1:
        rows = graph.node("Flatten", [rows], graph.fresh(f"{made}_rows"), axis=axis)
    product = made if axis == 1 else graph.fresh(f"{made}_product")
    weight = call.inputs[1]
    if len(call.shape(1)) != 2:
        weight = graph.node("Flatten", [weight], graph.fresh(f"{made}_w"), axis=1)
    transposed = 0 if getattr(own, "transpose", 0) else 1
    graph.node("Gemm", [rows, weight, *call.inputs[2:3]], product, transB=transposed)
    if axis != 1:
        graph.node("Reshape", [product, graph.constant(f"{made}_shape", [*shape[:axis], -1], "int64")], made)


@onnx("MatMul", "BatchMatMul")
def matmul(graph: Graph, call: Call) -> None:
    own, inputs = call.operator, list(call.inputs[:2])
    if call.op.type == "MatMul" and (len(call.shape(0)) != 2 or len(call.shape(1)) != 2):
        call.refuse("only matrices are converted.")
    for i, name in enumerate(("trans_a", "trans_b")):
        if getattr(own, name):
            ndim = len(call.shape(i))
            order = [*range(ndim - 2), ndim - 1, ndim - 2]
            inputs[i] = graph.node(
                "Transpose", [inputs[i]], graph.fresh(f"{call.outputs[0]}_turned"), perm=order
            )
    graph.node("MatMul", inputs, call.outputs[0])
