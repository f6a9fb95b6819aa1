"""Gated recurrent units. Source: caffe2/python/gru_cell.py."""

from __future__ import annotations

import functools
from typing import Any

from caffe2.python import rnn_cell
from caffe2.python._rnn.brew import brew


class GRUCell(rnn_cell.RNNCell):
    """Gated recurrent unit; gates in the order reset, update, output.

    ``linear_before_reset`` resets after the product with the weight, as cuDNN does, instead of before.
    ``forget_bias`` goes to the operator, which does not use it.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        forget_bias: float,
        memory_optimization: bool,
        drop_states: bool = False,
        linear_before_reset: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.forget_bias = float(forget_bias)
        self.memory_optimization = memory_optimization
        self.drop_states = drop_states
        self.linear_before_reset = linear_before_reset

    def _fc(self, model: Any, x: Any, gate: str) -> Any:
        size = self.hidden_size
        return brew.fc(model, x, self.scope(gate), dim_in=size, dim_out=size, axis=2)

    def _output_gate(self, model: Any, hidden: Any, reset: Any) -> Any:
        if self.linear_before_reset:
            whole = self._fc(model, hidden, "output_gate_t")
            return model.net.Mul([reset, whole], self.scope("output_gate_t_mul"))
        kept = model.net.Mul([reset, hidden], self.scope("modified_hidden_t_prev"))
        return self._fc(model, kept, "output_gate_t")

    def _apply(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        net, s, hidden = model.net, self.scope, states[0]
        parts = [s(f"input_t_{gate}") for gate in ("reset", "update", "output")]
        in_reset, in_update, in_output = net.Split([input_t], parts, axis=2)
        reset = self._fc(model, hidden, "reset_gate_t")
        update = self._fc(model, hidden, "update_gate_t")
        reset = net.Sum([reset, in_reset], s("reset_gate_t"))
        output = self._output_gate(model, hidden, net.Sigmoid(reset, s("reset_gate_t_sigmoid")))
        update = net.Sum([update, in_update], s("update_gate_t"))
        output = net.Sum([output, in_output], s("output_gate_t_summed"))
        gates, _ = net.Concat([reset, update, output], [s("gates_t"), s("_gates_t_concat_dims")], axis=2)
        lengths = [] if seq_lengths is None else [seq_lengths]
        hidden = net.GRUUnit(
            [hidden, gates, *lengths, timestep],
            list(self.get_state_names()),
            forget_bias=self.forget_bias,
            drop_states=self.drop_states,
            sequence_lengths=seq_lengths is not None,
        )
        net.AddExternalOutputs(hidden)
        return (hidden,)

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """W_i x + b_i of the three gates, for all steps."""
        name, size = self.scope("i2h"), 3 * self.hidden_size
        return brew.fc(model, input_blob, name, dim_in=self.input_size, dim_out=size, axis=2)

    def get_state_names(self) -> Any:
        """The one state."""
        return (self.scope("hidden_t"),)

    def get_output_dim(self) -> int:
        """Units."""
        return self.hidden_size


GRU = functools.partial(rnn_cell._LSTM, GRUCell)
