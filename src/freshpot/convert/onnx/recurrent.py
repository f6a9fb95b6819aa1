"""Recurrent layers: PyTorch's as ONNX's own, Caffe's, whose sequences begin where markers say, as a Scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from freshpot.convert.onnx._graph import Call, Graph, onnx
from freshpot.formats.onnx import MESSAGES, value_info

#: kind of RecurrentLayers -> ONNX's operator, where its gates stand among PyTorch's, attributes
_KINDS: dict[str, tuple[str, list[int], dict[str, Any]]] = {
    "lstm": ("LSTM", [0, 3, 1, 2], {}),
    "gru": ("GRU", [1, 0, 2], {"linear_before_reset": 1}),
    "rnn_tanh": ("RNN", [0], {}),
    "rnn_relu": ("RNN", [0], {"relu": 1}),
}


@onnx("RecurrentLayers")
def recurrent_layers(graph: Graph, call: Call) -> None:
    own, x, made = call.operator, call.inputs[0], call.outputs[0]
    type, order, more = _KINDS[own.kind]
    ways, states = 1 + own.bidirectional, own.states
    hidden = call.shape(1)[2]
    if own.dropout and not own.is_test:
        call.refuse("only the form for use (is_test) is converted.")
    if own.batch_first:
        x = graph.inner("Transpose", [x], f"{made}_steps", perm=[1, 0, 2])
    T, N = (call.shape()[1], call.shape()[0]) if own.batch_first else call.shape()[:2]
    attributes = {"hidden_size": hidden, "direction": "bidirectional" if ways == 2 else "forward", **more}
    if attributes.pop("relu", 0):
        attributes["activations"] = ["Relu"] * ways
    lasts: list[list[str]] = [[] for _ in range(states)]
    for layer in range(own.layers):
        weights = _weights(graph, call, layer, ways, order, made)
        firsts = [_part(graph, call.inputs[1 + i], layer * ways, ways, made) for i in range(states)]
        outputs = [graph.fresh(f"{made}_{name}") for name in ("ways", "last", "cell")[: 1 + states]]
        graph.node(type, [x, *weights, "", *firsts], outputs, **attributes)
        for i in range(states):
            lasts[i].append(outputs[1 + i])
        turned = graph.inner("Transpose", [outputs[0]], made, perm=[0, 2, 1, 3])
        last = layer == own.layers - 1 and not own.batch_first
        x = graph.node(
            "Reshape",
            [turned, graph.ints(f"{made}_shape", [T, N, ways * hidden])],
            made if last else graph.fresh(made),
        )
    if own.batch_first:
        graph.node("Transpose", [x], made, perm=[1, 0, 2])
    for i, name in enumerate(call.outputs[1 : 1 + states]):
        graph.node("Concat", lasts[i], name, axis=0)


def _part(graph: Graph, state: str, start: int, count: int, stem: str) -> str:
    """One layer's first states."""
    bounds = [graph.ints(f"{stem}_from", [start]), graph.ints(f"{stem}_to", [start + count])]
    return graph.inner("Slice", [state, *bounds], f"{stem}_first")


def _weights(graph: Graph, call: Call, layer: int, ways: int, order: list[int], stem: str) -> list[str]:
    """W, R and B of one layer, gates in ONNX's order."""
    own = call.operator
    count = 4 if own.biases else 2
    found: list[list[np.ndarray]] = []
    for way in range(ways):
        at = 1 + own.states + (layer * ways + way) * count
        values = [graph.value(name) for name in call.inputs[at : at + count]]
        fixed = [value for value in values if value is not None]
        if len(fixed) != count:
            call.refuse("only fixed weights are converted.")
        found.append([_reordered(value, order) for value in fixed])
    W, R = (np.stack([values[i] for values in found]) for i in (0, 1))
    made = [graph.constant(f"{stem}_W", W), graph.constant(f"{stem}_R", R)]
    if own.biases:
        made.append(graph.constant(f"{stem}_B", np.stack([np.concatenate(values[2:]) for values in found])))
    else:
        made.append("")
    return made


def _reordered(value: np.ndarray, order: list[int]) -> np.ndarray:
    parts = np.split(value, len(order))
    return np.concatenate([parts[i] for i in order])


# ---- Caffe's -------------------------------------------------------------------------------------------
Step = Callable[[Graph, list[str], str, str], list[str]]


@onnx("LSTM")
def caffe_lstm(graph: Graph, call: Call) -> None:
    W_h = graph.inner("Transpose", [call.inputs[6]], f"{call.outputs[0]}_W", perm=[1, 0])

    def step(body: Graph, states: list[str], z: str, mark: str) -> list[str]:
        """New states and what the step makes."""
        h, c = states
        kept = body.inner("Mul", [h, mark], "kept")
        gates = body.inner("Add", [z, body.inner("MatMul", [kept, W_h], "from_h")], "gates")
        parts = [body.fresh(name) for name in "ifog"]
        body.node("Split", [gates], parts, axis=1)
        i, f, o = (body.inner("Sigmoid", [part], "gate") for part in parts[:3])
        g = body.inner("Tanh", [parts[3]], "gate")
        old = body.inner("Mul", [body.inner("Mul", [f, mark], "gate"), c], "old")
        cell = body.inner("Add", [old, body.inner("Mul", [i, g], "new")], "c")
        hidden = body.inner("Mul", [o, body.inner("Tanh", [cell], "squashed")], "h")
        return [hidden, cell, body.inner("Identity", [hidden], "y")]

    _scan(graph, call, call.inputs[2:4], (4, 5), call.inputs[7:9], step)


@onnx("RNN")
def caffe_rnn(graph: Graph, call: Call) -> None:
    stem = call.outputs[0]
    W_h, W_o = (graph.inner("Transpose", [call.inputs[i]], f"{stem}_W", perm=[1, 0]) for i in (5, 6))
    b_o = call.inputs[7]

    def step(body: Graph, states: list[str], z: str, mark: str) -> list[str]:
        kept = body.inner("Mul", [states[0], mark], "kept")
        total = body.inner("Add", [z, body.inner("MatMul", [kept, W_h], "from_h")], "total")
        hidden = body.inner("Tanh", [total], "h")
        made = body.inner("Add", [body.inner("MatMul", [hidden, W_o], "from_h"), b_o], "made")
        return [hidden, body.inner("Tanh", [made], "y")]

    _scan(graph, call, call.inputs[2:3], (3, 4), call.inputs[8:10], step)


def _scan(
    graph: Graph,
    call: Call,
    states: Sequence[str],
    weights: tuple[int, int],
    static: Sequence[str],
    step: Step,
) -> None:
    """Y and the last states: W x + b for all steps at once, then the steps one after the other."""
    made, shape = call.outputs[0], call.shape()
    T, N = shape[:2]
    W, b = call.inputs[weights[0]], call.inputs[weights[1]]
    rows = graph.inner("Reshape", [call.inputs[0], graph.ints(f"{made}_rows", [T * N, -1])], made)
    product = graph.inner("Gemm", [rows, W, b], made, transB=1)
    z = graph.inner("Reshape", [product, graph.ints(f"{made}_steps", [T, N, -1])], made)
    if static:
        flat = graph.inner("Reshape", [static[0], graph.ints(f"{made}_static", [N, -1])], made)
        z = graph.inner("Add", [z, graph.inner("Gemm", [flat, static[1]], made, transB=1)], made)
    marks = graph.inner("Unsqueeze", [call.inputs[1], graph.ints(f"{made}_axis", [2])], f"{made}_marks")
    axis = graph.ints(f"{made}_front", [0])
    firsts = [graph.inner("Squeeze", [name, axis], f"{made}_first") for name in states]
    body = graph.inside()
    given = [body.fresh(name) for name in ("state", "cell")[: len(states)]]
    z_t, mark = body.fresh("z"), body.fresh("mark")
    results = step(body, given, z_t, mark)
    graph.take_over(body)
    proto = MESSAGES.GraphProto(
        name=f"{made}_step", node=body.nodes, initializer=list(body.initializers.values())
    )
    proto.input.extend(_open(name) for name in (*given, z_t, mark))
    proto.output.extend(_open(name) for name in results)
    lasts = [graph.fresh(f"{made}_last") for _ in states]
    graph.node("Scan", [*firsts, z, marks], [*lasts, made], body=proto, num_scan_inputs=2)
    for last, name in zip(lasts, call.outputs[1:], strict=False):
        graph.node("Unsqueeze", [last, axis], name)


def _open(name: str) -> Any:
    """A matrix of any size."""
    return value_info(name, "float32", [f"{name}_rows", f"{name}_columns"])


@onnx("CaffeLSTMUnit")
def caffe_lstm_unit(graph: Graph, call: Call) -> None:
    """One step: C_prev (1, N, D), gates (1, N, 4 D), cont (1, N)."""
    c, x, cont = call.inputs
    made = call.outputs[0]
    mark = graph.inner("Unsqueeze", [cont, graph.ints(f"{made}_axis", [2])], f"{made}_mark")
    parts = [graph.fresh(f"{made}_gate") for _ in range(4)]
    graph.node("Split", [x], parts, axis=2)
    i, f, o = (graph.inner("Sigmoid", [part], f"{made}_gate") for part in parts[:3])
    new = graph.inner("Mul", [i, graph.inner("Tanh", [parts[3]], f"{made}_g")], f"{made}_new")
    old = graph.inner("Mul", [graph.inner("Mul", [f, mark], f"{made}_f"), c], f"{made}_old")
    graph.node("Add", [old, new], call.outputs[0])
    graph.node("Mul", [o, graph.inner("Tanh", [call.outputs[0]], f"{made}_squashed")], call.outputs[1])
