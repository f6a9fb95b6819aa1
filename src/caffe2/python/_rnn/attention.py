"""A decoder cell that attends to the outputs of an encoder. Source: caffe2/python/rnn_cell.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import attention, core, scope
from caffe2.python._errors import require
from caffe2.python._rnn.basic import LSTMCell, MILSTMCell
from caffe2.python._rnn.brew import brew
from caffe2.python._rnn.cell import RNNCell
from caffe2.python.attention import AttentionType


class AttentionCell(RNNCell):
    """A decoder cell whose extra input is the encoder's outputs, weighted anew in each step.

    Args:
        encoder_output_dim, encoder_outputs: size D and blob (T, N, D).
        encoder_lengths: blob (N,) of int32, or None.
        decoder_cell, decoder_state_dim: the cell and the size of its hidden state.
        attention_type: one of `AttentionType`.
        weighted_encoder_outputs: what the state is matched with; None projects the encoder's outputs.
        attention_memory_optimization: compute the match again on the way back.
    """

    def __init__(
        self,
        encoder_output_dim: int,
        encoder_outputs: Any,
        encoder_lengths: Any,
        decoder_cell: RNNCell,
        decoder_state_dim: int,
        attention_type: int,
        weighted_encoder_outputs: Any,
        attention_memory_optimization: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require(attention_type in range(4), f"there is no attention of type {attention_type!r}.")
        self.encoder_output_dim = encoder_output_dim
        self.encoder_outputs = encoder_outputs
        self.encoder_lengths = encoder_lengths
        self.decoder_cell = decoder_cell
        self.decoder_state_dim = decoder_state_dim
        self.attention_type = attention_type
        self.weighted_encoder_outputs = weighted_encoder_outputs
        self.attention_memory_optimization = attention_memory_optimization
        self.encoder_outputs_transposed: Any = None
        self.hidden_t_intermediate: Any = None
        self.attention_weights_3d: Any = None
        self.coverage_weights: Any = None

    @property
    def _extra_states(self) -> int:
        """How many states stand after those of the decoder: the context, and the coverage."""
        return 2 if self.attention_type == AttentionType.SoftCoverage else 1

    def _apply(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        require(extra_inputs is None, "AttentionCell takes no extra inputs.")
        own = -self._extra_states
        context = states[own]
        decoder_states = self.decoder_cell._apply(
            model,
            input_t,
            seq_lengths,
            states[:own],
            timestep,
            extra_inputs=[(context, self.encoder_output_dim)],
        )
        self.hidden_t_intermediate = self.decoder_cell._prepare_output(model, decoder_states)
        new, recompute = self._attend(model, context, states[-1])
        if self.attention_memory_optimization:
            self.recompute_blobs.extend(recompute)
        output = [*decoder_states, *new]
        place = self.get_output_state_index()
        output[place] = model.Copy(output[place], self.scope("hidden_t_external"))
        model.net.AddExternalOutputs(*output)
        return output

    def _attend(self, model: Any, context: Any, coverage: Any) -> tuple[list[Any], list[Any]]:
        """The new context (and coverage), and the blobs to compute again on the way back."""
        options: dict[str, Any] = {
            "model": model,
            "encoder_output_dim": self.encoder_output_dim,
            "encoder_outputs_transposed": self.encoder_outputs_transposed,
            "decoder_hidden_state_t": self.hidden_t_intermediate,
            "decoder_hidden_state_dim": self.decoder_state_dim,
            "scope": self.name,
            "encoder_lengths": self.encoder_lengths,
        }
        if self.attention_type == AttentionType.Dot:
            made: tuple[Any, ...] = attention.apply_dot_attention(**options)
        else:
            options["weighted_encoder_outputs"] = self.weighted_encoder_outputs
            if self.attention_type == AttentionType.Regular:
                made = attention.apply_regular_attention(**options)
            elif self.attention_type == AttentionType.Recurrent:
                options["attention_weighted_encoder_context_t_prev"] = context
                made = attention.apply_recurrent_attention(**options)
            else:
                options.update(coverage_t_prev=coverage, coverage_weights=self.coverage_weights)
                made = attention.apply_soft_coverage_attention(**options)
        new, self.attention_weights_3d, recompute, *covered = made
        return [new, *covered], recompute

    def get_attention_weights(self) -> Any:
        """The weights (N, T, 1) of the latest step that was added."""
        return self.attention_weights_3d

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """As the decoder; also prepares the encoder's outputs, once."""
        if self.encoder_outputs_transposed is None:
            name = self.scope("encoder_outputs_transposed")
            self.encoder_outputs_transposed = brew.transpose(
                model, self.encoder_outputs, name, axes=[1, 2, 0]
            )
        if self.weighted_encoder_outputs is None and self.attention_type != AttentionType.Dot:
            self.weighted_encoder_outputs = self._project(model, "weighted_encoder_outputs")
        return self.decoder_cell.prepare_input(model, input_blob)

    def _project(self, model: Any, name: str) -> Any:
        size = self.encoder_output_dim
        return brew.fc(model, self.encoder_outputs, self.scope(name), dim_in=size, dim_out=size, axis=2)

    def build_initial_coverage(self, model: Any) -> Any:
        """Zeros (T,), as many as the encoder has steps; for coverage attention."""
        require(
            self.attention_type == AttentionType.SoftCoverage, "only SoftCoverage attention has a coverage."
        )
        self.coverage_weights = self._project(model, "coverage_weights")
        length = model.net.Slice(model.net.Shape(self.encoder_outputs), starts=[0], ends=[1])
        device = scope.CurrentDeviceScope()
        if device is not None and core.IsGPUDeviceType(device.device_type):
            length = model.net.CopyGPUToCPU(length, "encoder_length_cpu")
        name = self.scope("initial_coverage")
        return model.net.ConstantFill(length, name, value=0.0, input_as_shape=1)

    def get_state_names(self) -> Any:
        """The decoder's states, the context, and the coverage if there is one."""
        names = list(self.decoder_cell.get_state_names())
        names[self.get_output_state_index()] = self.scope("hidden_t_external")
        own = ["attention_weighted_encoder_context_t", "coverage_t"][: self._extra_states]
        return [*names, *(self.scope(name) for name in own)]

    def get_output_dim(self) -> int:
        """Hidden state and context beside each other."""
        return self.decoder_state_dim + self.encoder_output_dim

    def get_output_state_index(self) -> int:
        """As the decoder."""
        return self.decoder_cell.get_output_state_index()

    def _combined(self, model: Any, output: Any, context: Any) -> Any:
        with core.NameScope(self.name or ""):
            return brew.concat(model, [output, context], "states_and_context_combination", axis=2)

    def _prepare_output(self, model: Any, states: Any) -> Any:
        return self._combined(model, self.hidden_t_intermediate, states[-self._extra_states])

    def _prepare_output_sequence(self, model: Any, state_outputs: Any) -> Any:
        own = 2 * self._extra_states
        output = self.decoder_cell._prepare_output_sequence(model, state_outputs[:-own])
        return self._combined(model, output, state_outputs[len(state_outputs) - own])


class LSTMWithAttentionCell(AttentionCell):
    """`AttentionCell` around an `LSTMCell` called ``NAME/decoder``."""

    _decoder: type[LSTMCell] = LSTMCell

    def __init__(
        self,
        encoder_output_dim: int,
        encoder_outputs: Any,
        encoder_lengths: Any,
        decoder_input_dim: int,
        decoder_state_dim: int,
        name: str,
        attention_type: int,
        weighted_encoder_outputs: Any,
        forget_bias: float,
        lstm_memory_optimization: bool,
        attention_memory_optimization: bool,
        forward_only: bool = False,
    ) -> None:
        decoder = self._decoder(
            input_size=decoder_input_dim,
            hidden_size=decoder_state_dim,
            forget_bias=forget_bias,
            memory_optimization=lstm_memory_optimization,
            name=f"{name}/decoder",
        )
        super().__init__(
            encoder_output_dim,
            encoder_outputs,
            encoder_lengths,
            decoder,
            decoder_state_dim,
            attention_type,
            weighted_encoder_outputs,
            attention_memory_optimization,
            name=name,
            forward_only=forward_only,
        )


class MILSTMWithAttentionCell(LSTMWithAttentionCell):
    """`AttentionCell` around a `MILSTMCell`; it takes ``encoder_lengths``, which the original forgot."""

    _decoder = MILSTMCell


def LSTMWithAttention(
    model: Any,
    decoder_inputs: Any,
    decoder_input_lengths: Any,
    initial_decoder_hidden_state: Any,
    initial_decoder_cell_state: Any,
    initial_attention_weighted_encoder_context: Any,
    encoder_output_dim: int,
    encoder_outputs: Any,
    encoder_lengths: Any,
    decoder_input_dim: int,
    decoder_state_dim: int,
    scope: str,
    attention_type: int = AttentionType.Regular,
    outputs_with_grads: Any = (0, 4),
    weighted_encoder_outputs: Any = None,
    lstm_memory_optimization: bool = False,
    attention_memory_optimization: bool = False,
    forget_bias: float = 0.0,
    forward_only: bool = False,
) -> Any:
    """An LSTM over the decoder's inputs (T', N, D') that attends to an encoder (arXiv:1409.0473).

    Returns all steps and the last of: hidden state, cell state, context (and coverage).
    """
    cell = LSTMWithAttentionCell(
        encoder_output_dim,
        encoder_outputs,
        encoder_lengths,
        decoder_input_dim,
        decoder_state_dim,
        scope,
        attention_type,
        weighted_encoder_outputs,
        forget_bias,
        lstm_memory_optimization,
        attention_memory_optimization,
        forward_only,
    )
    states = [
        initial_decoder_hidden_state,
        initial_decoder_cell_state,
        initial_attention_weighted_encoder_context,
    ]
    if attention_type == AttentionType.SoftCoverage:
        states.append(cell.build_initial_coverage(model))
    return cell.apply_over_sequence(model, decoder_inputs, decoder_input_lengths, states, outputs_with_grads)[
        1
    ]
