"""Cells made of cells: dropout, several layers, unrolled in time. Source: caffe2/python/rnn_cell.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core, scope
from caffe2.python._errors import require
from caffe2.python._rnn.brew import brew
from caffe2.python._rnn.cell import RNNCell, rectify_name
from caffe2.python.modeling.parameter_sharing import ParameterSharing


class DropoutCell(RNNCell):
    """A cell with dropout on its output, not on the state that goes on to the next step."""

    def __init__(
        self,
        internal_cell: RNNCell,
        dropout_ratio: float | None = None,
        use_cudnn: bool = False,
        **kwargs: Any,
    ) -> None:
        require("is_test" in kwargs, "DropoutCell: argument 'is_test' is required.")
        self.is_test = kwargs.pop("is_test")
        super().__init__(**kwargs)
        self.internal_cell = internal_cell
        self.dropout_ratio = dropout_ratio
        self.use_cudnn = use_cudnn
        self.mask = 0

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """As the cell inside."""
        return self.internal_cell.prepare_input(model, input_blob)

    def get_output_state_index(self) -> int:
        """As the cell inside."""
        return self.internal_cell.get_output_state_index()

    def get_state_names(self) -> Any:
        """As the cell inside."""
        return self.internal_cell.get_state_names()

    def get_output_dim(self) -> int:
        """As the cell inside."""
        return self.internal_cell.get_output_dim()

    def _apply(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        return self.internal_cell._apply(model, input_t, seq_lengths, states, timestep, extra_inputs)

    def _prepare_output(self, model: Any, states: Any) -> Any:
        return self._drop(model, self.internal_cell._prepare_output(model, states))

    def _prepare_output_sequence(self, model: Any, state_outputs: Any) -> Any:
        return self._drop(model, self.internal_cell._prepare_output_sequence(model, state_outputs))

    def _drop(self, model: Any, output: Any) -> Any:
        if not self.dropout_ratio or self.forward_only:
            return output
        with core.NameScope(self.name or ""):
            output = brew.dropout(
                model,
                output,
                f"{output}_with_dropout_mask{self.mask}",
                ratio=float(self.dropout_ratio),
                is_test=self.is_test,
                use_cudnn=self.use_cudnn,
            )
        self.mask += 1
        return output


class MultiRNNCellInitializer:
    """The initial states of every layer."""

    def __init__(self, cells: Sequence[RNNCell]) -> None:
        self.cells = cells

    def create_states(self, model: Any) -> list[Any]:
        """The states of the first layer, of the second, …"""
        states: list[Any] = []
        for i, cell in enumerate(self.cells):
            require(cell.initializer, f"layer {i} needs initial states, or an initializer.")
            with core.NameScope(f"layer_{i}"), core.NameScope(cell.name):
                states.extend(cell.initializer.create_states(model))
        return states


class MultiRNNCell(RNNCell):
    """Cells one above the other; the first state of each is the input of the next.

    ``residual_output_layers`` numbers layers (not 0) whose input is added to their output.
    """

    def __init__(
        self, cells: Sequence[RNNCell], residual_output_layers: list[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.cells = cells
        self.residual_output_layers = residual_output_layers or []
        last = len(cells) - 1
        # an output is connected if every layer above it up to the last is residual
        self.output_connected_layers = [last]
        for layer in range(last, 0, -1):
            if layer not in self.residual_output_layers:
                break
            self.output_connected_layers.insert(0, layer - 1)
        self.output_indices = self._output_indices()
        self.state_names = [
            f"{self.name}/layer_{i}/{name}" for i, cell in enumerate(cells) for name in cell.get_state_names()
        ]
        self.initializer = MultiRNNCellInitializer(cells)

    def _output_indices(self) -> list[int]:
        """Where the outputs of the connected layers are among all states."""
        before, places = 0, []
        for cell in self.cells:
            places.append(before + cell.get_output_state_index())
            before += len(cell.get_state_names())
        return [places[layer] for layer in self.output_connected_layers]

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """As the first layer."""
        input_blob = rectify_name(input_blob)
        with core.NameScope(self.name or ""):
            return self.cells[0].prepare_input(model, input_blob)

    def _layers(self, states: Any, per_state: int = 1) -> list[Any]:
        """The states (or outputs, ``per_state`` to a state) of each layer."""
        parts, start = [], 0
        for cell in self.cells:
            count = per_state * len(cell.get_state_names())
            parts.append(states[start : start + count])
            start += count
        require(start == len(states), f"the layers have {start} states together; got {len(states)}.")
        return parts

    def _apply(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        rectified = self._rectify_apply_inputs(input_t, seq_lengths, states, timestep, extra_inputs)
        layer_input, seq_lengths, states, timestep, extra_inputs = rectified
        next_states: list[Any] = []
        for i, (cell, layer_states) in enumerate(zip(self.cells, self._layers(states), strict=True)):
            with core.NameScope(self.name), core.NameScope(f"layer_{i}"):
                prepared = cell.prepare_input(model, layer_input) if i > 0 else layer_input
                extra = extra_inputs if i == 0 else None
                made = cell._apply(model, prepared, seq_lengths, layer_states, timestep, extra_inputs=extra)
                if i != len(self.cells) - 1:
                    layer_input = self._next_input(model, i, cell._prepare_output(model, made), layer_input)
            next_states.extend(made)
        return next_states

    def _next_input(self, model: Any, layer: int, output: Any, layer_input: Any) -> Any:
        if layer == 0 or layer not in self.residual_output_layers:
            return output
        return brew.sum(model, [output, layer_input], self.scope(f"residual_output_{layer}"))

    def get_state_names(self) -> Any:
        """The states of the first layer, of the second, …"""
        return self.state_names

    def get_output_state_index(self) -> int:
        """The output of the last layer."""
        below = sum(len(cell.get_state_names()) for cell in self.cells[:-1])
        return below + self.cells[-1].get_output_state_index()

    def _sum(self, model: Any, outputs: list[Any], name: str) -> Any:
        return outputs[0] if len(outputs) == 1 else brew.sum(model, outputs, self.scope(name))

    def _prepare_output(self, model: Any, states: Any) -> Any:
        layers = self._layers(states)
        connected = [self.cells[i]._prepare_output(model, layers[i]) for i in self.output_connected_layers]
        return self._sum(model, connected, "residual_output")

    def _prepare_output_sequence(self, model: Any, state_outputs: Any) -> Any:
        layers = self._layers(state_outputs, per_state=2)
        connected = [
            self.cells[i]._prepare_output_sequence(model, layers[i]) for i in self.output_connected_layers
        ]
        return self._sum(model, connected, "residual_output_sequence")


class UnrolledCell(RNNCell):
    """A cell whose ``T`` steps stand in the net one after another, instead of a recurrent operator."""

    def __init__(self, cell: RNNCell, T: int) -> None:
        super().__init__(name=cell.name)
        self.T = T
        self.cell = cell

    def apply_over_sequence(
        self,
        model: Any,
        inputs: Any,
        seq_lengths: Any = None,
        initial_states: Any = None,
        outputs_with_grads: Any = None,
    ) -> tuple[Any, Any]:
        """As `RNNCell.apply_over_sequence`, for sequences of exactly ``T`` steps."""
        inputs = self.cell.prepare_input(model, inputs)
        parts = model.net.Split(inputs, [f"{inputs}_timestep_{i}" for i in range(self.T)], axis=0)
        states = initial_states
        history = []
        for t, part in enumerate([parts] if self.T == 1 else parts):
            with ParameterSharing({f"timestep_{t}": ""}), scope.NameScope(f"timestep_{t}"):
                timestep = model.param_init_net.ConstantFill(
                    [],
                    "timestep",
                    value=t,
                    shape=[1],
                    dtype=core.DataType.INT32,
                    device_option=core.DeviceOption(caffe2_pb2.CPU),
                )
                states = self.cell._apply(model, part, seq_lengths, states, timestep)
            history.append(states)
        joined = [self._joined(model, steps) for steps in zip(*history, strict=True)]
        outputs = tuple(blob for pair in zip(joined, states, strict=True) for blob in pair)
        for i in sorted(set(range(len(outputs))) - set(outputs_with_grads or ())):
            model.net.ZeroGradient(outputs[i], [])
        return self.cell._prepare_output_sequence(model, outputs), outputs

    @staticmethod
    def _joined(model: Any, steps: Sequence[Any]) -> Any:
        name = str(steps[0])[len("timestep_0/") :]
        return model.net.Concat(list(steps), [name + "_concat", name + "_concat_info"], axis=0)[0]
