"""Single steps of recurrent layers, of nets that have them written out one by one."""

from __future__ import annotations

import numpy as np

from freshpot.convert.onnx._graph import Call, Graph, onnx


@onnx("LSTMUnit")
def lstm_unit(graph: Graph, call: Call) -> None:
    """One step: H_prev, C_prev (1, N, D), gates (1, N, 4 D); where a sequence has ended, states stay or are 0."""
    own, made = call.operator, call.outputs[0]
    h, c, gates = call.inputs[:3]
    parts = [graph.fresh(f"{made}_gate") for _ in range(4)]
    graph.node("Split", [gates], parts, axis=2)
    if own.forget_bias:
        bias = graph.constant(f"{made}_forget_bias", np.array([own.forget_bias], np.float32))
        parts[1] = graph.inner("Add", [parts[1], bias], f"{made}_gate")
    i, f, o = (graph.inner("Sigmoid", [part], f"{made}_gate") for part in parts[:3])
    new = graph.inner("Mul", [i, graph.inner("Tanh", [parts[3]], f"{made}_g")], f"{made}_new")
    old = graph.inner("Mul", [f, c], f"{made}_old")
    if not own.sequence_lengths:
        graph.node("Add", [old, new], call.outputs[1])
        graph.node("Mul", [o, graph.inner("Tanh", [call.outputs[1]], f"{made}_squashed")], made)
        return
    cell = graph.inner("Add", [old, new], f"{made}_c")
    hidden = graph.inner("Mul", [o, graph.inner("Tanh", [cell], f"{made}_squashed")], f"{made}_h")
    alive = graph.inner("Less", [call.inputs[4], call.inputs[3]], f"{made}_alive")
    alive = graph.inner("Unsqueeze", [alive, graph.ints(f"{made}_axes", [0, 2])], f"{made}_alive")
    zero = graph.constant(f"{made}_zero", np.zeros(1, np.float32))
    for value, before, target in ((hidden, h, made), (cell, c, call.outputs[1])):
        graph.node("Where", [alive, value, zero if own.drop_states else before], target)
