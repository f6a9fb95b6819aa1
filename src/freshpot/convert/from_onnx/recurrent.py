"""LSTM, GRU and RNN."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshpot.convert.from_onnx._graph import Array, Graph, Node, onnx

#: for each kind, where PyTorch's gates stand among ONNX's: input, forget, cell, output of i o f c; r z n of z r h
_GATES = {"LSTM": [0, 2, 3, 1], "GRU": [1, 0, 2], "RNN": [0]}
_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
#: the longest sequence
_STEPS = 1 << 20


@onnx("LSTM", "GRU", "RNN")
def recurrent(graph: Graph, node: Node) -> None:
    kind, way = _checked(node)
    two = way == "bidirectional"
    dirs, hidden = 2 if two else 1, node.shape(2)[2]
    x, made = graph.blob(node.inputs[0]), node.places[0]
    if node.attribute("layout", 0):
        node.refuse("layout 1 is not converted.")
    if len(node.shape()) != 3:
        node.refuse(f"its sequences are {tuple(node.shape())}, not (steps, batch, features).")
    T, N = node.shape()[:2]
    if T > _STEPS:
        node.refuse(f"sequences of {T} steps are not converted.")
    _check_lengths(node, T, N)
    if way == "reverse":
        x = _turned(graph, x, T, node.outputs[0])
    inputs = [x, *_states(graph, node, dirs, N, hidden), *_weights(graph, node, dirs, hidden)]
    stem = node.outputs[0]
    places = [*node.places, "", ""][:3]
    inner = graph.fresh(f"{stem}_rows")
    names = [
        inner,
        *[place or graph.fresh(f"{stem}_last") for place in places[1 : 3 if kind == "lstm" else 2]],
    ]
    graph.op("RecurrentLayers", inputs, names, kind=kind, layers=1, biases=1, bidirectional=int(two))
    if not made:
        return
    if way == "reverse":
        inner = _turned(graph, inner, T, stem)
    cut = graph.reshape(node, inner, [T, N, dirs, hidden], graph.fresh(f"{stem}_ways"))
    graph.op("Transpose", [cut], made, axes=[0, 2, 1, 3])


def _checked(node: Node) -> tuple[str, str]:
    """The kind as `RecurrentLayers` calls it, and the direction; refuses what it has not."""
    way = node.attribute("direction", "forward")
    usual = _ACTIVATIONS[node.type] * (2 if way == "bidirectional" else 1)
    given = [str(a) for a in node.attribute("activations", usual)]
    kind = node.type.lower()
    if node.type == "RNN":
        kind = "rnn_relu" if set(given) == {"Relu"} else "rnn_tanh"
        usual = ["Relu"] * len(usual) if kind == "rnn_relu" else usual
    if [a.lower() for a in given] != [a.lower() for a in usual]:
        node.refuse(f"activations {given} are not converted, only {usual}.")
    if way not in ("forward", "reverse", "bidirectional"):
        node.refuse(f"direction {way} is not known.")
    if node.has("clip") or node.attribute("input_forget", 0) or node.given(7):
        node.refuse("clip, input_forget and peepholes are not converted.")
    if node.type == "GRU" and not node.attribute("linear_before_reset", 0):
        node.refuse("linear_before_reset 0 is not converted: the reset gate stands elsewhere.")
    if int(node.attribute("hidden_size", node.shape(2)[2])) != node.shape(2)[2]:
        node.refuse("hidden_size is another than the weights'.")
    return kind, way


def _check_lengths(node: Node, T: int, N: int) -> None:
    if node.given(4) and bool((node.fixed(4, "sequence_lens") != T).any()):
        node.refuse("sequences of different lengths are not converted.")


def _turned(graph: Graph, x: str, T: int, stem: str) -> str:
    """Time backwards."""
    rows = graph.constant(f"{stem}_backwards", np.arange(T - 1, -1, -1), "int64")
    return graph.op("Gather", [x, rows], graph.fresh(f"{stem}_turned"), axis=0, dense_gradient=1)


def _states(graph: Graph, node: Node, dirs: int, N: int, hidden: int) -> list[str]:
    """The first states; zeros where none are given."""
    made = []
    for i in (5, 6) if node.type == "LSTM" else (5,):
        name = node.given(i)
        if name is None:
            name = graph.fresh(f"{node.outputs[0]}_first")
            made.append(graph.sized(node, "FillSized", [], [dirs, N, hidden], name, value=0.0))
        else:
            made.append(graph.blob(name))
    return made


def _weights(graph: Graph, node: Node, dirs: int, hidden: int) -> list[str]:
    """W_x, W_h, b_x, b_h of each direction, gates in PyTorch's order."""
    order, stem = _GATES[node.type], node.outputs[0]
    W, R = node.fixed(1, "W"), node.fixed(2, "R")
    rows = len(order) * hidden
    B = node.fixed(3, "B") if node.given(3) else np.zeros((dirs, 2 * rows), np.float32)
    if W.shape[:2] != (dirs, rows) or R.shape != (dirs, rows, hidden) or B.shape != (dirs, 2 * rows):
        node.refuse(f"weights {W.shape}, {R.shape} and biases {B.shape} do not fit {hidden} hidden units.")
    made = []
    for d in range(dirs):
        for name, value in (("w_x", W[d]), ("w_h", R[d]), ("b_x", B[d, :rows]), ("b_h", B[d, rows:])):
            made.append(graph.constant(f"{stem}_{name}", _reordered(value, order)))
    return made


def _reordered(value: Array, order: list[int]) -> Any:
    parts = np.split(value, len(order))
    return np.concatenate([parts[i] for i in order])
