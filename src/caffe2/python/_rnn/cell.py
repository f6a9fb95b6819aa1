"""`RNNCell`: what happens in one step, and how it is applied to a step or a whole sequence.

Source: caffe2/python/rnn_cell.py.
"""

from __future__ import annotations

import inspect
from typing import Any

from caffe2.python import core, recurrent, scope
from caffe2.python._errors import require
from caffe2.python.model_helper import ModelHelper
from freshpot.errors import NotSupportedError


def rectify_name(blob: Any) -> Any:
    """A reference to the blob as named in the current scope; None stays None."""
    if blob is None or isinstance(blob, core.BlobReference):
        return blob
    require(isinstance(blob, str), f"a blob is named by str or BlobReference; got {type(blob).__name__}.")
    return core.ScopedBlobReference(blob)


def rectify_names(blobs: Any) -> Any:
    """`rectify_name` for each; None stays None."""
    return None if blobs is None else [rectify_name(blob) for blob in blobs]


class RNNCell:
    """Base class of cells. A cell writes `apply_override` (one step) and `get_state_names_override`.

    Args:
        name: scope of the cell's blobs and parameters.
        forward_only: leave the backward pass out.
        initializer: object whose ``create_states(model)`` makes the states before the first step.
    """

    def __init__(self, name: str | None = None, forward_only: bool = False, initializer: Any = None) -> None:
        self.name = name
        self.recompute_blobs: list[Any] = []
        self.forward_only = forward_only
        self.initializer = initializer

    def scope(self, name: str) -> str:
        """A name inside the cell's scope."""
        return name if self.name is None else f"{self.name}/{name}"

    def apply_over_sequence(
        self,
        model: Any,
        inputs: Any,
        seq_lengths: Any = None,
        initial_states: Any = None,
        outputs_with_grads: Any = None,
    ) -> tuple[Any, Any]:
        """Run the cell over a sequence (T, N, D).

        Returns its output, and for each state the values at all steps and the last value.
        ``seq_lengths`` is a blob (N,) of int32 or None; ``initial_states`` default to the initializer's.
        """
        if initial_states is None:
            initial_states = self._initial_states(model)
        prepared = self.prepare_input(model, inputs)
        step = ModelHelper(name=self.name, param_model=model)
        input_t, timestep = step.net.AddScopedExternalInputs("input_t", "timestep")
        names = self.get_state_names()
        require(
            len(initial_states) == len(names),
            f"cell '{self.name}' has the states {', '.join(names)}; got {len(initial_states)} initial values.",
        )
        previous = step.net.AddScopedExternalInputs(*[name + "_prev" for name in names])
        states = self._apply(step, input_t, seq_lengths, previous, timestep)
        made = set(step.net.Proto().external_output)
        step.net.AddExternalOutputs(*[state for state in states if str(state) not in made])
        if outputs_with_grads is None:
            outputs_with_grads = [self.get_output_state_index() * 2]
        all_states = recurrent.recurrent_net(
            net=model.net,
            cell_net=step.net,
            inputs=[(input_t, prepared)],
            initial_cell_inputs=list(zip(previous, initial_states, strict=True)),
            links=dict(zip(previous, states, strict=True)),
            timestep=timestep,
            scope=self.name,
            forward_only=self.forward_only,
            outputs_with_grads=outputs_with_grads,
            recompute_blobs_on_backward=self.recompute_blobs,
        )
        return self._prepare_output_sequence(model, all_states), all_states

    def _initial_states(self, model: Any) -> Any:
        with scope.NameScope(self.name):
            require(self.initializer, f"cell '{self.name}' needs initial_states, or an initializer.")
            return self.initializer.create_states(model)

    def apply(
        self, model: Any, input_t: Any, seq_lengths: Any, states: Any, timestep: Any
    ) -> tuple[Any, Any]:
        """One step on an input (1, N, D); returns the output and the new states."""
        states = self._apply(model, self.prepare_input(model, input_t), seq_lengths, states, timestep)
        return self._prepare_output(model, states), states

    def _apply(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        """`apply_override` with its outputs in the cell's scope and its inputs outside of it."""
        arguments = self._rectify_apply_inputs(input_t, seq_lengths, states, timestep, extra_inputs)
        with core.NameScope(self.name):
            return self.apply_override(model, *arguments)

    def _rectify_apply_inputs(
        self, input_t: Any, seq_lengths: Any, states: Any, timestep: Any, extra_inputs: Any
    ) -> list[Any]:
        arguments = [rectify_name(input_t), rectify_name(seq_lengths), rectify_names(states)]
        arguments.append(rectify_name(timestep))
        if "extra_inputs" in inspect.signature(self.apply_override).parameters:
            extra = [(rectify_name(blob), size) for blob, size in extra_inputs or ()]
            arguments.append(extra or None)
        return arguments

    def apply_override(
        self,
        model: Any,
        input_t: Any,
        seq_lengths: Any,
        states: Any,
        timestep: Any,
        extra_inputs: Any = None,
    ) -> Any:
        """One step, for a cell to write: add operators to ``model``, return the new states.

        ``extra_inputs`` are pairs (blob, size) that skip `prepare_input`, for instance attention.
        """
        raise NotSupportedError(f"{type(self).__name__} does not say what happens in a step.")

    def prepare_input(self, model: Any, input_blob: Any) -> Any:
        """The part of a step that needs only the input, done for all steps at once."""
        return input_blob

    def get_output_state_index(self) -> int:
        """Which state is the output."""
        return 0

    def get_state_names(self) -> Any:
        """Names of the states in the cell's scope."""
        return [self.scope(name) for name in self.get_state_names_override()]

    def get_state_names_override(self) -> list[str]:
        """Names of the states, for a cell to write."""
        raise NotSupportedError(f"{type(self).__name__} does not name its states.")

    def get_output_dim(self) -> int:
        """Size of the output of a step."""
        raise NotSupportedError(f"{type(self).__name__} does not say how large its output is.")

    def _prepare_output(self, model: Any, states: Any) -> Any:
        """The output of a step, from its states."""
        return states[self.get_output_state_index()]

    def _prepare_output_sequence(self, model: Any, state_outputs: Any) -> Any:
        """The output of all steps; each state has two entries, all steps and the last."""
        return state_outputs[2 * self.get_output_state_index()]
