"""Recurrent layers: ``rnn_cell.LSTM(model, x, lengths, (h0, c0), dim_in, dim_out, "lstm")``.

Source: caffe2/python/rnn_cell.py.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffe2.python import workspace
from caffe2.python._errors import require
from caffe2.python._rnn.attention import (
    AttentionCell,
    LSTMWithAttention,
    LSTMWithAttentionCell,
    MILSTMWithAttentionCell,
)
from caffe2.python._rnn.basic import (
    BasicRNNCell,
    LayerNormLSTMCell,
    LayerNormMILSTMCell,
    LSTMCell,
    LSTMInitializer,
    MILSTMCell,
)
from caffe2.python._rnn.cell import RNNCell
from caffe2.python._rnn.composed import DropoutCell, MultiRNNCell, MultiRNNCellInitializer, UnrolledCell

__all__ = [
    "LSTM",
    "MILSTM",
    "AttentionCell",
    "BasicRNN",
    "BasicRNNCell",
    "DropoutCell",
    "GetLSTMParamNames",
    "InitFromLSTMParams",
    "LSTMCell",
    "LSTMInitializer",
    "LSTMWithAttention",
    "LSTMWithAttentionCell",
    "LayerNormLSTM",
    "LayerNormLSTMCell",
    "LayerNormMILSTM",
    "LayerNormMILSTMCell",
    "MILSTMCell",
    "MILSTMWithAttentionCell",
    "MultiRNNCell",
    "MultiRNNCellInitializer",
    "RNNCell",
    "UnrolledCell",
    "layered_LSTM",
]


def _LSTM(
    cell_class: Any,
    model: Any,
    input_blob: Any,
    seq_lengths: Any,
    initial_states: Any,
    dim_in: int,
    dim_out: int | Sequence[int],
    scope: str | None = None,
    outputs_with_grads: Sequence[int] = (0,),
    return_params: bool = False,
    memory_optimization: bool = False,
    forget_bias: float = 0.0,
    forward_only: bool = False,
    drop_states: bool = False,
    return_last_layer_only: bool = True,
    static_rnn_unroll_size: int | None = None,
    **cell_kwargs: Any,
) -> tuple[Any, ...]:
    """One recurrent layer, or several one above the other.

    Args:
        input_blob: the sequence (T, N, dim_in).
        seq_lengths: blob (N,) of int32, or None if all sequences have T steps.
        initial_states: blobs, hidden and cell state of each layer; None makes them parameters.
        dim_out: units of the layer, or a list for several layers.
        scope: name of the layer.
        outputs_with_grads: which of the last layer's outputs get gradients.
        return_params: also return the names of the parameters.
        memory_optimization, forget_bias, drop_states: see `LSTMCell`.
        forward_only: no backward pass.
        return_last_layer_only: leave the outputs of lower layers out.
        static_rnn_unroll_size: write that many steps into the net instead of a recurrent operator.

    Returns hidden states at all steps, the last one, cell states at all steps, the last one.
    """
    sizes = list(dim_out) if isinstance(dim_out, (list, tuple)) else [dim_out]
    cells = [
        cell_class(
            input_size=size_in,
            hidden_size=size,
            forget_bias=forget_bias,
            memory_optimization=memory_optimization,
            name=scope if len(sizes) == 1 else None,
            forward_only=forward_only,
            drop_states=drop_states,
            **cell_kwargs,
        )
        for size_in, size in zip([dim_in, *sizes[:-1]], sizes, strict=True)
    ]
    cell: Any = cells[0] if len(cells) == 1 else MultiRNNCell(cells, name=scope, forward_only=forward_only)
    if static_rnn_unroll_size is not None:
        cell = UnrolledCell(cell, static_rnn_unroll_size)
    below = 4 * (len(cells) - 1)
    _, result = cell.apply_over_sequence(
        model=model,
        inputs=input_blob,
        seq_lengths=seq_lengths,
        initial_states=initial_states,
        outputs_with_grads=[below + i for i in outputs_with_grads],
    )
    result = tuple(result[below:] if return_last_layer_only else result)
    if not return_params:
        return result
    return (*result, {"input": cell.get_input_params(), "recurrent": cell.get_recurrent_params()})


LSTM = functools.partial(_LSTM, LSTMCell)
BasicRNN = functools.partial(_LSTM, BasicRNNCell)
MILSTM = functools.partial(_LSTM, MILSTMCell)
LayerNormLSTM = functools.partial(_LSTM, LayerNormLSTMCell)
LayerNormMILSTM = functools.partial(_LSTM, LayerNormMILSTMCell)


def GetLSTMParamNames() -> dict[str, list[str]]:
    """Names of the gates' weights and biases, in the order in which they stand in one blob."""
    gates = ["input_gate", "forget_gate", "output_gate", "cell"]
    return {"weights": [gate + "_w" for gate in gates], "biases": [gate + "_b" for gate in gates]}


def InitFromLSTMParams(lstm_pblobs: Any, param_values: Any) -> None:
    """Feed gate by gate values, as `GetLSTMParamNames` calls them, into a layer's parameters.

    ``lstm_pblobs`` is what a layer made with ``return_params`` returned; ``param_values`` has the same
    keys (``input``, ``recurrent``), each with a dict of arrays.
    """
    names = GetLSTMParamNames()
    for part, values in param_values.items():
        for kind in ("weights", "biases"):
            blob = lstm_pblobs[part][kind]
            joined = np.concatenate([np.ravel(values[name]) for name in names[kind]])
            shape = workspace.FetchBlob(blob).shape
            workspace.FeedBlob(blob, joined.reshape(shape).astype(np.float32))


def _layered_LSTM(
    model: Any,
    input_blob: Any,
    seq_lengths: Any,
    initial_states: Any,
    dim_in: int,
    dim_out: int | list[int],
    scope: str,
    outputs_with_grads: Sequence[int] = (0,),
    return_params: bool = False,
    memory_optimization: bool = False,
    forget_bias: float = 0.0,
    forward_only: bool = False,
    drop_states: bool = False,
    create_lstm: Any = None,
) -> Any:
    """One recurrent operator a layer; each starts from the last states of the layer below."""
    sizes = dim_out if isinstance(dim_out, list) else [dim_out]
    require(sizes, "layered_LSTM: dim_out must name at least one layer.")
    require(not return_params or len(sizes) == 1, "layered_LSTM: return_params is for one layer.")
    options = {
        "outputs_with_grads": outputs_with_grads,
        "return_params": return_params,
        "memory_optimization": memory_optimization,
        "forget_bias": forget_bias,
        "forward_only": forward_only,
        "drop_states": drop_states,
    }
    result: Any = ()
    for i, size in enumerate(sizes):
        name = scope if i == 0 else f"{scope}_layer_{i}"
        result = create_lstm(
            model, input_blob, seq_lengths, initial_states, dim_in, size, scope=name, **options
        )
        if i < len(sizes) - 1:
            input_blob, last_hidden, _, last_cell = result
            dim_in, initial_states = size, (last_hidden, last_cell)
    return result


layered_LSTM = functools.partial(_layered_LSTM, create_lstm=LSTM)
