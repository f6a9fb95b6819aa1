"""One-layer cells: plain recurrent, LSTM, and its normalized and multiplicative forms.

Source: caffe2/python/rnn_cell.py.
"""

from __future__ import annotations

from typing import Any

from caffe2.python._errors import require
from caffe2.python._rnn.brew import brew
from caffe2.python._rnn.cell import RNNCell
from caffe2.python.modeling.initializers import Initializer
from freshpot.errors import NotSupportedError


class LSTMInitializer:
    """States before the first step as parameters, zero at first."""

    def __init__(self, hidden_size: int) -> None:
        self.hidden_size = hidden_size

    def create_states(self, model: Any) -> list[Any]:
        """Hidden state and cell state."""
        zero = Initializer(operator_name="ConstantFill", value=0.0)
        return [
            model.create_param(param_name=name, shape=[self.hidden_size], initializer=zero)
            for name in ("initial_hidden_state", "initial_cell_state")
        ]


class BasicRNNCell(RNNCell):
    """h = act(W h_prev + b + input), act being ``"relu"`` or ``"tanh"``."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        forget_bias: float,
        memory_optimization: bool,
        drop_states: bool = False,
        initializer: Any = None,
        activation: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if activation not in ("relu", "tanh"):
            raise RuntimeError(f"BasicRNNCell: activation must be 'relu' or 'tanh'; got {activation!r}.")
        self.drop_states = drop_states
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.activation = activation

    def apply_override(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        """One step."""
        previous = states[0]
        size = self.hidden_size
        gates = brew.fc(model, previous, "gates_t", dim_in=size, dim_out=size, axis=2)
        brew.sum(model, [gates, input_t], gates)
        act = model.net.Tanh if self.activation == "tanh" else model.net.Relu
        hidden = act(gates, "hidden_t")
        if seq_lengths is not None:
            hidden = self._mask(model, hidden, previous, seq_lengths, timestep)
        return (hidden,)

    def _mask(self, model: Any, hidden: Any, previous: Any, seq_lengths: Any, timestep: Any) -> Any:
        """Past a sequence's end keep the previous state, or zero if states are dropped."""
        net = model.net
        now = net.CopyFromCPUInput(timestep, "timestep_gpu")
        inside = net.GT([seq_lengths, now], "valid_b", broadcast=1)
        outside = net.LE([seq_lengths, now], "invalid_b", broadcast=1)
        inside = net.Cast(inside, "valid", to="float")
        outside = net.Cast(outside, "invalid", to="float")
        new = net.Mul([hidden, inside], "hidden_valid", broadcast=1, axis=1)
        if self.drop_states:
            return new
        old = net.Mul([previous, outside], "hidden_invalid", broadcast=1, axis=1)
        return net.Add([new, old], hidden)

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """W_i x + b_i for all steps."""
        name = self.scope("i2h")
        return brew.fc(model, input_blob, name, dim_in=self.input_size, dim_out=self.hidden_size, axis=2)

    def get_state_names(self) -> Any:
        """The one state."""
        return (self.scope("hidden_t"),)

    def get_output_dim(self) -> int:
        """Units."""
        return self.hidden_size


class LSTMCell(RNNCell):
    """Long short-term memory; gates in the order input, forget, output, cell.

    Args:
        input_size, hidden_size: columns of the input, units.
        forget_bias: added to the forget gate.
        memory_optimization: compute the gates again on the way back instead of keeping them.
        drop_states: zero the states past a sequence's end instead of holding them.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        forget_bias: float,
        memory_optimization: bool,
        drop_states: bool = False,
        initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(initializer=initializer or LSTMInitializer(hidden_size), **kwargs)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.forget_bias = float(forget_bias)
        self.memory_optimization = memory_optimization
        self.drop_states = drop_states
        self.gates_size = 4 * hidden_size

    def apply_override(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        """One step."""
        x, size = self._with_extra(model, states[0], extra_inputs, "gates_concatenated_input_t")
        gates = brew.fc(model, x, "gates_t", dim_in=size, dim_out=self.gates_size, axis=2)
        brew.sum(model, [gates, input_t], gates)
        lengths = [] if seq_lengths is None else [seq_lengths]
        hidden, cell = model.net.LSTMUnit(
            [*states, gates, *lengths, timestep],
            ["hidden_state", "cell_state"],
            forget_bias=self.forget_bias,
            drop_states=self.drop_states,
            sequence_lengths=seq_lengths is not None,
        )
        model.net.AddExternalOutputs(hidden, cell)
        self._recompute_later(gates)
        return hidden, cell

    def _with_extra(self, model: Any, hidden: Any, extra_inputs: Any, name: str) -> tuple[Any, int]:
        """The hidden state, with the extra inputs beside it, and how many columns that makes."""
        if extra_inputs is None:
            return hidden, self.hidden_size
        blobs, sizes = zip(*extra_inputs, strict=True)
        joined = brew.concat(model, [hidden, *blobs], name, axis=2)
        return joined, self.hidden_size + sum(sizes)

    def _recompute_later(self, gates: Any) -> None:
        if self.memory_optimization:
            self.recompute_blobs = [gates]

    def _params(self, name: str) -> dict[str, str]:
        return {"weights": self.scope(name) + "_w", "biases": self.scope(name) + "_b"}

    def get_input_params(self) -> dict[str, str]:
        """Names of the parameters on the input."""
        return self._params("i2h")

    def get_recurrent_params(self) -> dict[str, str]:
        """Names of the parameters on the hidden state."""
        return self._params("gates_t")

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """W_i x + b_i for all steps."""
        name = self.scope("i2h")
        return brew.fc(model, input_blob, name, dim_in=self.input_size, dim_out=self.gates_size, axis=2)

    def get_state_names_override(self) -> list[str]:
        """Hidden state, cell state."""
        return ["hidden_t", "cell_t"]

    def get_output_dim(self) -> int:
        """Units."""
        return self.hidden_size


class _NamedLSTMCell(LSTMCell):
    """An LSTM whose gates a subclass makes; it names its blobs itself instead of entering a scope."""

    _hidden_name = "hidden_t"
    _hidden_first = True

    def _gates(self, model: Any, input_t: Any, x: Any, size: int) -> Any:
        raise NotSupportedError(f"{type(self).__name__} does not make gates.")

    def _apply(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        require(seq_lengths is not None, f"{type(self).__name__} needs sequence lengths.")
        name = self.scope("gates_concatenated_input_t")
        x, size = self._with_extra(model, states[0], extra_inputs, name)
        gates = self._gates(model, input_t, x, size)
        hidden, cell = model.net.LSTMUnit(
            [*states, gates, seq_lengths, timestep],
            [self.scope(self._hidden_name), self.scope("cell_t")],
            forget_bias=self.forget_bias,
            drop_states=self.drop_states,
        )
        model.net.AddExternalOutputs(*((hidden, cell) if self._hidden_first else (cell, hidden)))
        self._recompute_later(gates)
        return hidden, cell

    def _normalized(self, model: Any) -> Any:
        names = self.scope("gates_t"), self.scope("gates_t_norm")
        return brew.layer_norm(model, *names, dim_in=self.gates_size, axis=-1)[0]


class LayerNormLSTMCell(_NamedLSTMCell):
    """LSTM with layer normalization of its gates."""

    def _gates(self, model: Any, input_t: Any, x: Any, size: int) -> Any:
        name = self.scope("gates_t")
        gates = brew.fc(model, x, name, dim_in=size, dim_out=self.gates_size, axis=2)
        brew.sum(model, [gates, input_t], gates)
        return self._normalized(model)


class MILSTMCell(_NamedLSTMCell):
    """LSTM in which input and hidden state also multiply. Source: Wu et al., arXiv:1606.06630."""

    _hidden_name = "hidden_t_intermediate"
    _hidden_first = False

    def _gates(self, model: Any, input_t: Any, x: Any, size: int) -> Any:
        s = self.scope
        from_state = brew.fc(model, x, s("prev_t"), dim_in=size, dim_out=self.gates_size, axis=2)
        alpha, beta_h, beta_i, bias = (
            model.create_param(
                s(name), shape=[self.gates_size], initializer=Initializer("ConstantFill", value=value)
            )
            for name, value in (("alpha", 1.0), ("beta1", 1.0), ("beta2", 1.0), ("b", 0.0))
        )
        linear = model.net.ElementwiseLinear
        name = "alpha_by_input_t_plus_beta_h"
        factor = linear([input_t, alpha, beta_h], s(name), axis=2)
        product = model.net.Mul([factor, from_state], s(name + "_by_prev_t"))
        rest = linear([input_t, beta_i, bias], s("beta_i_by_input_t_plus_b"), axis=2)
        return brew.sum(model, [product, rest], s("gates_t"))


class LayerNormMILSTMCell(MILSTMCell):
    """`MILSTMCell` with layer normalization of its gates."""

    def _gates(self, model: Any, input_t: Any, x: Any, size: int) -> Any:
        super()._gates(model, input_t, x, size)
        return self._normalized(model)
