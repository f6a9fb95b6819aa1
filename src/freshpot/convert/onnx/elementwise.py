"""Activations, arithmetic, comparisons."""

from __future__ import annotations

import math

from freshpot.convert.onnx._graph import Call, Graph, onnx
from freshpot.formats.onnx import number_of
from freshpot.ops.dtypes import NAME
from freshpot.ops.tensor.cast import type_number

_PLAIN = {
    "Relu": "Relu",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Exp": "Exp",
    "Log": "Log",
    "Sqrt": "Sqrt",
    "Abs": "Abs",
    "Negative": "Neg",
    "Floor": "Floor",
    "Ceil": "Ceil",
    "Softplus": "Softplus",
    "Softsign": "Softsign",
    "Erf": "Erf",
    "Sum": "Sum",
    "Max": "Max",
    "Min": "Min",
    "Reciprocal": "Reciprocal",
    "Mean": "Mean",
    "Sign": "Sign",
    "Sin": "Sin",
    "Cos": "Cos",
    "Tan": "Tan",
    "Asin": "Asin",
    "Acos": "Acos",
    "Atan": "Atan",
    "Sinh": "Sinh",
    "Cosh": "Cosh",
    "Not": "Not",
    "Choose": "Where",
    "BNLL": "Softplus",
    "Copy": "Identity",
    "StopGradient": "Identity",
    "CaffeKeep": "Identity",
    "Alias": "Identity",
}


@onnx(*_PLAIN)
def plain(graph: Graph, call: Call) -> None:
    graph.node(_PLAIN[call.op.type], call.inputs, call.outputs[0])


@onnx("CaffeReLU", "LeakyRelu")
def leaky(graph: Graph, call: Call) -> None:
    own = call.operator
    slope = float(own.slope if call.op.type == "CaffeReLU" else own.alpha)
    if slope == 0:
        graph.node("Relu", call.inputs, call.outputs[0])
    else:
        graph.node("LeakyRelu", call.inputs, call.outputs[0], alpha=slope)


@onnx("Elu")
def elu(graph: Graph, call: Call) -> None:
    graph.node("Elu", call.inputs, call.outputs[0], alpha=float(call.operator.alpha))


@onnx("PRelu")
def prelu(graph: Graph, call: Call) -> None:
    call.channels_second()
    slope = graph.value(call.inputs[1])
    if slope is None:
        call.refuse("only a fixed slope is converted.")
    if slope.size > 1:
        slope = slope.reshape(-1, *[1] * (len(call.shape()) - 2))
    graph.node("PRelu", [call.inputs[0], graph.constant(f"{call.outputs[0]}_slope", slope)], call.outputs[0])


@onnx("Swish")
def swish(graph: Graph, call: Call) -> None:
    gate = graph.node("Sigmoid", call.inputs, graph.fresh(f"{call.outputs[0]}_gate"))
    graph.node("Mul", [call.inputs[0], gate], call.outputs[0])


@onnx("HardSigmoid")
def hard_sigmoid(graph: Graph, call: Call) -> None:
    own = call.operator
    graph.node("HardSigmoid", call.inputs, call.outputs[0], alpha=float(own.alpha), beta=float(own.beta))


@onnx("Clip", "CaffeClip")
def clip(graph: Graph, call: Call) -> None:
    bounds = [
        graph.constant(f"{call.outputs[0]}_{b}", float(getattr(call.operator, b))) for b in ("min", "max")
    ]
    graph.node("Clip", [call.inputs[0], *bounds], call.outputs[0])


@onnx("Dropout")
def dropout(graph: Graph, call: Call) -> None:
    if not call.operator.is_test:
        call.refuse("only the form for use (is_test) is converted.")
    graph.node("Identity", call.inputs, call.outputs[0])


@onnx("Softmax", "CaffeSoftmax")
def softmax(graph: Graph, call: Call) -> None:
    """Caffe's is along one axis; Caffe2's over all that follow it."""
    shape = call.shape()
    axis = call.operator.axis % len(shape)
    if call.op.type == "CaffeSoftmax" or all(n == 1 for n in shape[axis + 1 :]):
        graph.node("Softmax", call.inputs, call.outputs[0], axis=axis)
        return
    made = call.outputs[0]
    rows = graph.node("Flatten", call.inputs, graph.fresh(f"{made}_rows"), axis=axis)
    chances = graph.node("Softmax", [rows], graph.fresh(f"{made}_chances"), axis=1)
    graph.node("Reshape", [chances, graph.constant(f"{made}_shape", shape, "int64")], made)


_BINARY = {
    "Add": "Add",
    "Sub": "Sub",
    "Mul": "Mul",
    "Div": "Div",
    "LT": "Less",
    "LE": "LessOrEqual",
    "GT": "Greater",
    "GE": "GreaterOrEqual",
    "EQ": "Equal",
    "And": "And",
    "Or": "Or",
    "Xor": "Xor",
}


@onnx(*_BINARY)
def binary(graph: Graph, call: Call) -> None:
    inputs = list(call.inputs)
    if call.operator.broadcast and call.operator.start not in (-1, None):
        behind = len(call.shape(0)) - call.operator.start - len(call.shape(1))
        shape = graph.constant(f"{call.outputs[0]}_aligned", [*call.shape(1), *[1] * behind], "int64")
        inputs[1] = graph.node("Reshape", [inputs[1], shape], graph.fresh(f"{call.outputs[0]}_laid"))
    graph.node(_BINARY[call.op.type], inputs, call.outputs[0])


@onnx("Pow")
def pow_(graph: Graph, call: Call) -> None:
    inputs = list(call.inputs)
    if len(inputs) == 1:
        inputs.append(graph.constant(f"{call.outputs[0]}_exponent", call.operator.exponent))
    elif call.operator.broadcast:
        call.refuse("the argument broadcast is not converted.")
    graph.node("Pow", inputs, call.outputs[0])


@onnx("Scale")
def scale(graph: Graph, call: Call) -> None:
    graph.node(
        "Mul",
        [call.inputs[0], graph.constant(f"{call.outputs[0]}_factor", call.operator.scale)],
        call.outputs[0],
    )


@onnx("CaffeScale", "Bias")
def caffe_scale(graph: Graph, call: Call) -> None:
    """Factors and biases laid on the input from an axis on."""
    made, x = call.outputs[0], call.inputs[0]
    axis = call.operator.axis % len(call.shape())
    for i, name in enumerate(call.inputs[1:], 1):
        last = i == len(call.inputs) - 1
        shape = call.shape(i)
        wide = [*shape, *[1] * (len(call.shape()) - axis - len(shape))]
        laid = graph.node(
            "Reshape", [name, graph.constant(f"{made}_aligned", wide, "int64")], graph.fresh(f"{made}_laid")
        )
        type = "Mul" if i == 1 and call.op.type == "CaffeScale" else "Add"
        x = graph.node(type, [x, laid], made if last else graph.fresh(f"{made}_scaled"))


@onnx("Power")
def power(graph: Graph, call: Call) -> None:
    """(shift + scale * x) ^ power"""
    own, made = call.operator, call.outputs[0]
    x = graph.node(
        "Mul", [call.inputs[0], graph.constant(f"{made}_scale", own.scale)], graph.fresh(f"{made}_scaled")
    )
    last = own.power == 1
    x = graph.node(
        "Add", [x, graph.constant(f"{made}_shift", own.shift)], made if last else graph.fresh(f"{made}_base")
    )
    if not last:
        graph.node("Pow", [x, graph.constant(f"{made}_power", own.power)], made)


@onnx("Eltwise")
def eltwise(graph: Graph, call: Call) -> None:
    own, made, inputs = call.operator, call.outputs[0], list(call.inputs)
    if own.operation == "SUM":
        for i, factor in enumerate(own.coeff):
            if factor != 1:
                fixed = graph.constant(f"{made}_coeff", factor)
                inputs[i] = graph.node("Mul", [inputs[i], fixed], graph.fresh(f"{made}_{i}"))
    if own.operation != "PROD":
        graph.node("Sum" if own.operation == "SUM" else "Max", inputs, made)
        return
    x = inputs[0]
    for i, other in enumerate(inputs[1:], 1):
        x = graph.node("Mul", [x, other], made if i == len(inputs) - 1 else graph.fresh(made))


@onnx("Selu")
def selu(graph: Graph, call: Call) -> None:
    own = call.operator
    graph.node("Selu", call.inputs, call.outputs[0], alpha=float(own.alpha), gamma=float(own.scale))


@onnx("Sqr", "Cube", "Rsqrt")
def powers(graph: Graph, call: Call) -> None:
    exponent = {"Sqr": 2.0, "Cube": 3.0, "Rsqrt": -0.5}[call.op.type]
    graph.node(
        "Pow", [call.inputs[0], graph.constant(f"{call.outputs[0]}_exponent", exponent)], call.outputs[0]
    )


@onnx("Gelu")
def gelu(graph: Graph, call: Call) -> None:
    """x / 2 * (1 + erf(x / sqrt(2)))"""
    x, made = call.inputs[0], call.outputs[0]
    if call.operator.fast_gelu:
        call.refuse("the approximation is not converted.")
    root = graph.inner("Mul", [x, graph.constant(f"{made}_root", 0.5**0.5)], f"{made}_x")
    more = graph.inner("Add", [graph.inner("Erf", [root], made), graph.constant(f"{made}_one", 1.0)], made)
    half = graph.inner("Mul", [x, graph.constant(f"{made}_half", 0.5)], f"{made}_x")
    graph.node("Mul", [half, more], made)


@onnx("CaffeSwish")
def caffe_swish(graph: Graph, call: Call) -> None:
    made = call.outputs[0]
    scaled = graph.inner("Mul", [call.inputs[0], graph.constant(f"{made}_beta", call.operator.beta)], made)
    graph.node("Mul", [call.inputs[0], graph.inner("Sigmoid", [scaled], made)], made)


@onnx("CaffeExp", "CaffeLog")
def exp_log(graph: Graph, call: Call) -> None:
    """base ^ (scale * x + shift), and log_base(scale * x + shift); base -1 is e."""
    own, made = call.operator, call.outputs[0]
    inside = graph.inner("Mul", [call.inputs[0], graph.constant(f"{made}_scale", own.scale)], made)
    inside = graph.inner("Add", [inside, graph.constant(f"{made}_shift", own.shift)], made)
    log_base = 1.0 if own.base == -1 else math.log(own.base)
    if call.op.type == "CaffeExp":
        scaled = graph.inner("Mul", [inside, graph.constant(f"{made}_log", log_base)], made)
        graph.node("Exp", [scaled], made)
    else:
        logs = graph.inner("Log", [inside], made)
        graph.node("Mul", [logs, graph.constant(f"{made}_log", 1.0 / log_base)], made)


@onnx("Threshold")
def threshold(graph: Graph, call: Call) -> None:
    made = call.outputs[0]
    above = graph.inner(
        "Greater", [call.inputs[0], graph.constant(f"{made}_low", call.operator.threshold)], made
    )
    graph.node("Cast", [above], made, to=1)


@onnx("NE")
def not_equal(graph: Graph, call: Call) -> None:
    if call.operator.broadcast:
        call.refuse("the argument broadcast is not converted.")
    graph.node("Not", [graph.inner("Equal", call.inputs, call.outputs[0])], call.outputs[0])


@onnx("Cast")
def cast(graph: Graph, call: Call) -> None:
    name = NAME.get(type_number(call.operator.to) or -1, "")
    graph.node("Cast", call.inputs, call.outputs[0], to=number_of(name))
