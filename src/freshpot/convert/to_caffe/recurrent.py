"""Recurrent layers, and the blobs of one value that their states and marks begin with."""

from __future__ import annotations

from typing import Any

import numpy as np

from freshpot.convert.to_caffe._layers import Array, Call, Layers, caffe
from freshpot.convert.to_caffe.shapes import reshaped_to

#: where the gates of Caffe's LSTM (input, forget, output, new) stand among PyTorch's
_GATES = [0, 1, 3, 2]


@caffe("LSTM", "RNN")
def recurrent(layers: Layers, call: Call) -> None:
    """The layers begin at zero states, as those of a net that was just made do."""
    lstm = call.op.type == "LSTM"
    states = 2 if lstm else 1
    at = 2 + states
    for i in range(2, at):
        if call.fixed(i).any():
            call.refuse("first states other than zero are in no layer.")
    static = bool(call.operator.static)
    weights: list[Any] = [call.fixed(i) for i in range(at, at + (3 if lstm else 5))]
    bottoms = list(call.bottoms[:2])
    if static:
        bottoms.append(call.bottoms[-2])
        weights.insert(2, call.fixed(len(call.op.inputs) - 1))
    layer = layers.add(call.op.type, bottoms, call.tops[0], weights)
    layer.recurrent_param.num_output = call.fixed(at + 2).shape[1]


@caffe("RecurrentLayers")
def recurrent_layers(layers: Layers, call: Call) -> None:
    """Layers of PyTorch's LSTM, each one a layer with its states as bottoms and tops; all steps go on."""
    own = call.operator
    if own.kind != "lstm" or own.bidirectional:
        call.refuse("Caffe has a recurrent layer for LSTM read forwards alone.")
    if own.dropout and not own.is_test:
        call.refuse("only the form for use (is_test) is converted.")
    x, made, shape = call.bottoms[0], call.tops[0], call.shape()
    steps, batch = shape[:2]
    if own.batch_first:
        steps, batch = batch, steps
        if 1 not in (steps, batch):
            call.refuse(
                "no layer of Caffe turns (batch, steps) round: let the steps be in front (batch_first=False)."
            )
        x = reshaped_to(layers, x, layers.fresh(made), [steps, batch, shape[2]])
    marks = _filled(layers, layers.fresh(f"{made}_marks"), [steps, batch], 1.0)
    firsts = [_states(layers, call, 1 + i) for i in range(2)]
    lasts: list[list[str]] = [[], []]
    count = 4 if own.biases else 2
    for layer in range(own.layers):
        W, W_h, *biases = (call.fixed(3 + layer * count + i) for i in range(count))
        b = sum(biases) if biases else np.zeros(len(W), np.float32)
        blobs = [_in_caffes_order(value) for value in (W, np.asarray(b), W_h)]
        last = layer == own.layers - 1 and not own.batch_first
        top = made if last else layers.fresh(made)
        ends = [layers.fresh(f"{made}_{what}") for what in ("last", "last_cell")]
        bottoms = [x, marks, *(parts[layer] for parts in firsts)]
        p = layers.add("LSTM", bottoms, [top, *ends], blobs).recurrent_param
        p.num_output, p.expose_hidden = W_h.shape[1], True
        for end, kept in zip(ends, lasts, strict=True):
            kept.append(end)
        x = top
    if own.batch_first:
        reshaped_to(layers, x, made, call.made_shape())
    for kept, end in zip(lasts, call.tops[1:], strict=False):
        layers.add("Concat", kept, end).concat_param.axis = 0


def _states(layers: Layers, call: Call, i: int) -> list[str]:
    """The first states of every layer."""
    value, shape = call.value(i), call.shape(i)
    if value is not None:
        if value.any():
            call.refuse("first states other than zero, that are parameters, are in no layer.")
        return [_filled(layers, layers.fresh(call.op.inputs[i]), [1, *shape[1:]], 0.0)] * shape[0]
    if shape[0] == 1:
        return [call.bottoms[i]]
    parts = [layers.fresh(f"{call.op.inputs[i]}_layer") for _ in range(shape[0])]
    layers.add("Slice", [call.bottoms[i]], parts).slice_param.axis = 0
    return parts


def _in_caffes_order(value: Array) -> Array:
    parts = np.split(value, 4)
    return np.concatenate([parts[i] for i in _GATES])


@caffe("ConstantFill")
def constant_fill(layers: Layers, call: Call) -> None:
    """One value everywhere, for the sizes that the net is written for."""
    value: Any = call.operator.value
    if isinstance(value, (str, bytes)):
        call.refuse("texts are in no layer.")
    _filled(layers, call.tops[0], call.made_shape(), float(value))


def _filled(layers: Layers, top: str, shape: list[int], value: float) -> str:
    p = layers.add("DummyData", [], top).dummy_data_param
    p.shape.add(dim=shape)
    p.data_filler.add(type="constant", value=value)
    return top


@caffe("LSTMUnit")
def lstm_unit(layers: Layers, call: Call) -> None:
    """Caffe2's step of an LSTM without lengths: Caffe's, whose mark says that the sequence goes on."""
    own = call.operator
    if own.sequence_lengths:
        call.refuse("Caffe knows no lengths of sequences (sequence_lengths).")
    gates, c, h = call.bottoms[2], call.bottoms[1], call.shape(0)
    if own.forget_bias:
        bias = np.zeros(4 * h[2], np.float32)
        bias[h[2] : 2 * h[2]] = own.forget_bias
        inner = layers.fresh(call.tops[0])
        p = layers.add("Bias", [gates], inner, [bias]).bias_param
        p.axis = 2
        gates = inner
    marks = _filled(layers, layers.fresh(f"{call.tops[0]}_marks"), [1, h[1]], 1.0)
    layers.add("LSTMUnit", [c, gates, marks], [call.tops[1], call.tops[0]])
