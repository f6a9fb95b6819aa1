"""A step net run over time, backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import DTypeError
from freshpot.net.schema import Arg, Port
from freshpot.ops._memory import arrays
from freshpot.ops._operator import Call, Operator, call
from freshpot.ops.dtypes import describe
from freshpot.ops.recurrent import _lstm, _slots
from freshpot.ops.recurrent._lstm_single import Single
from freshpot.ops.recurrent._slots import Slots
from freshpot.ops.recurrent.network import SHARED_ARGS, LstmSteps, StampedTime, StepWorkspaces

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class _Runner:
    """The backward step net bound to a workspace of its own inside ``outer``."""

    def __init__(self, operator: RecurrentNetworkGradient, outer: Workspace, kept: list[str]) -> None:
        net = operator.backward_step_net
        self.outer = outer
        self.inner = inner = outer.child()
        self.time = inner.create_local(operator.timestep)
        self.forward = _slots.bind(operator.forward_links, inner)
        self.loads = _slots.bind(_slots.sources(operator.links, net), inner)
        self.stores = _slots.bind(_slots.targets(operator.links, net), inner)
        self.kept_names = kept
        self.kept = [inner.create_local(name) for name in kept]
        for op in net.ops:
            for name in op.outputs:
                inner.create_local(name)
        self.params = [inner.create_local(name) for name in operator.param_grads]
        self.plan = inner.plan(net)

    def attach(self, saved: StepWorkspaces, slots: dict[str, Slots]) -> None:
        """Give the links the tensors of this run."""
        self.inner.follow(self.outer)
        self.saved = saved
        _slots.attach(self.forward, saved.slots)
        _slots.attach(self.loads, slots)
        _slots.attach(self.stores, slots)

    def step(self, t: int, stamp: Tensor) -> None:
        """Undo step t."""
        self.time.value = stamp
        for cell, value in zip(self.kept, self.saved.values[t], strict=True):
            cell.value = value
        for port in self.forward:
            port.load(t)
        for port in self.loads:
            port.load(t)
        self.plan.step()
        for port in self.stores:
            port.store(t)


class RecurrentNetworkGradient(Operator):
    """Gradient of RecurrentNetwork: run ``backward_step_net`` from the last time step to the first.

    Shapes:   gradients of the outputs named by ``outputs_with_grads``, then the forward operator's inputs
              and outputs -> gradients of the sequence, the parameters and the initial states, each of
              the shape of what it belongs to
    Raises:   DTypeError if the last input is not what the forward operator left.
    Source:   caffe2/operators/rnn/recurrent_network_op.h
    """

    inputs = (Port("blob", many=True, at_least=0),)
    outputs = (Port("blob", many=True, at_least=0),)
    args = (
        *SHARED_ARGS,
        Arg("backward_link_internal", [str], [], "as link_internal, for the backward step net"),
        Arg("backward_link_external", [str], [], "a state's gradient, or the sequence's"),
        Arg("backward_link_offset", [int], [], "as link_offset"),
        Arg("backward_link_window", [int], [], "as link_window"),
        Arg("outputs_with_grads", [int], [], "outputs whose gradients are given"),
        Arg("param", [int], [], "inputs that are parameters"),
        Arg(
            "param_grads", [str], [], "blobs of the backward step net with their gradients, summed over time"
        ),
    )
    no_gradient = "it is itself a gradient"
    own_blobs_only = True

    def setup(self) -> None:
        self.forward_links = _slots.links(
            self.link_internal, self.link_external, self.link_offset, self.link_window
        )
        self.links = _slots.links(
            self.backward_link_internal,
            self.backward_link_external,
            self.backward_link_offset,
            self.backward_link_window,
        )
        self._states = {state + "_grad": state for state in self.recurrent_states}
        self._given = self._gradients_from_outside()
        self._stamps = StampedTime()
        self._runner: _Runner | None = None
        self._lstm: bool | None = None

    def _gradients_from_outside(self) -> list[tuple[int, str, bool]]:
        """(input, state, whether of the last step alone) of each gradient that is given."""
        return [
            (k, self.alias_src[i], self.alias_offset[i] < 0) for k, i in enumerate(self.outputs_with_grads)
        ]

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        saved = inputs[-1].value
        if isinstance(saved, LstmSteps):
            if self._undoes(saved.cell):
                self._run_lstm(saved, inputs, outputs)
                return
            saved = saved.general()
        if not isinstance(saved, StepWorkspaces):
            self.refuse(
                f"the last input '{inputs[-1].name}' must be the last output of RecurrentNetwork, but is"
                f" {describe(saved)}.",
                DTypeError,
            )
        runner = self._runner
        if runner is None or runner.outer is not ws or runner.kept_names != saved.kept:
            runner = self._runner = _Runner(self, ws, saved.kept)
        sequence = inputs[len(self._given)].value
        slots, every = self._gradient_slots(inputs, saved, sequence.shape[0])
        runner.attach(saved, slots)
        sums = self._steps(runner, sequence.shape[0], slots, every)
        forward = [blob.value for blob in inputs[len(self._given) :]]
        self._write(outputs, forward, slots, sums, saved)

    def _undoes(self, cell: _lstm.Cell) -> bool:
        """True if the backward step net is the gradient of this LSTM."""
        if self._lstm is None:
            params = [self.op.inputs[len(self._given) + i] for i in self.param]
            self._lstm = params == [cell.weight, cell.bias] and _lstm.match_backward(
                cell, self.backward_step_net, self.step_net, self.links, self.param_grads
            )
        return self._lstm

    def _run_lstm(self, saved: LstmSteps, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        given = {state: inputs[k].value for k, state, last in self._given if not last}
        last = {state: inputs[k].value for k, state, last in self._given if last}
        forward = inputs[len(self._given) :]
        trace = saved.trace.trace(saved.sequence) if isinstance(saved.trace, Single) else saved.trace
        made = _lstm.backward(saved.cell, trace, forward[self.param[0]].value, given, last)
        values = [made.X, made.W, made.b]
        for i, state in zip(self.initial_recurrent_state_ids, (made.h0, made.c0), strict=True):
            start = forward[i].value
            values.append(state.sum(0) if start.dim() == 1 else state.reshape(start.shape))
        for blob, value in zip(outputs, values, strict=False):
            blob.value = value

    def calls(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Call] | None:
        """The gradient of an LSTM over one sequence, in memory of its own."""
        saved = inputs[-1]
        single = saved.single if isinstance(saved, LstmSteps) and self._undoes(saved.cell) else None
        forward = inputs[len(self._given) :]
        W = forward[self.param[0]]
        given = {state: inputs[k] for k, state, last in self._given if not last}
        last = {state: inputs[k] for k, state, last in self._given if last}
        small = arrays(W, *outputs)
        if (
            single is None
            or small is None
            or arrays(*given.values(), *last.values()) is None
            or len(outputs) != 5
        ):
            return None
        cell, D = saved.cell, single.units
        states = (cell.hidden, cell.cell)
        starts = [np.zeros(D, np.float32) for _ in states]
        added = [
            (start, some.numpy()[-1].reshape(D))
            for start, state in zip(starts, states, strict=True)
            for some in (last.get(state), given.get(state))
            if some is not None
        ]
        w, dX, dW, db, *initials = small
        made = (dX.reshape(-1, 4 * D), dW, db, *(start.ravel() for start in initials))
        more = [given[state].numpy().reshape(-1, D) if state in given else None for state in states]

        def run() -> None:
            if saved.trace is single:
                for start in starts:
                    start.fill(0)
                for start, some in added:
                    np.add(start, some, start)
                single.backward(w, *starts, *more)
                single.write(*made)
                return
            found = _lstm.backward(cell, saved.trace, W, given, last)
            values = (found.X, found.W, found.b, found.h0, found.c0)
            for array, value in zip(made, values, strict=True):
                np.copyto(array, value.numpy().reshape(array.shape))

        return [call(run)]

    def _gradient_slots(
        self, inputs: Sequence[Blob], saved: StepWorkspaces, steps: int
    ) -> tuple[dict[str, Slots], list[tuple[Slots, Sequence[Tensor]]]]:
        """Slots for all gradients, and the gradients that are added to a state's at every step."""
        slots: dict[str, Slots] = {link.outer: [None] * steps for link in self.links}
        for gradient, state in self._states.items():
            slots[gradient] = [None] * len(saved.slots[state])
        every: list[tuple[Slots, Sequence[Tensor]]] = []
        for k, state, last in self._given:
            given, gradient = inputs[k].value, slots[state + "_grad"]
            if last:
                gradient[-1] = given.clone() if gradient[-1] is None else gradient[-1] + given
            else:
                every.append((gradient, given.split(1)))
        return slots, every

    def _steps(
        self,
        runner: _Runner,
        steps: int,
        slots: dict[str, Slots],
        every: list[tuple[Slots, Sequence[Tensor]]],
    ) -> list[Tensor | None]:
        """Run all steps; the sums of the parameters' gradients."""
        stamps = self._stamps.upto(steps)
        sums: list[Tensor | None] = [None] * len(runner.params)
        zeros = self._zeros(runner)
        for t in reversed(range(steps)):
            for gradient, given in every:
                here = gradient[t + 1]
                gradient[t + 1] = given[t].clone() if here is None else here + given[t]
            for port, zero in zeros:
                if port.slots[t + port.offset] is None:
                    port.slots[t + port.offset] = torch.zeros_like(zero)
            runner.step(t, stamps[t])
            for i, blob in enumerate(runner.params):
                sums[i] = blob.value.clone() if (known := sums[i]) is None else known.add_(blob.value)
        return sums

    def _zeros(self, runner: _Runner) -> list[tuple[_slots.StepPort, Tensor]]:
        """The state gradients that are read, each with a tensor of the state's shape."""
        found = []
        for port in runner.loads:
            state = self._states.get(port.link.outer)
            first = runner.saved.slots[state][0] if state is not None else None
            if first is not None:
                found.append((port, first))
        return found

    def _write(
        self,
        outputs: Sequence[Blob],
        forward: list[Any],
        slots: dict[str, Slots],
        sums: list[Tensor | None],
        saved: StepWorkspaces,
    ) -> None:
        sequence = forward[0]
        of_sequence = next((slots[k.outer] for k in self.links if k.outer not in self._states), None)
        outputs[0].value = (
            torch.zeros_like(sequence) if of_sequence is None else _slots.whole(of_sequence, sequence[:1])
        )
        for blob, total, i in zip(outputs[1:], sums, self.param, strict=False):
            blob.value = torch.zeros_like(forward[i]) if total is None else total
        for blob, i, state in zip(
            outputs[1 + len(sums) :], self.initial_recurrent_state_ids, self.recurrent_states, strict=False
        ):
            like = saved.slots[state][0]
            count = forward[i].shape[0] if forward[i].dim() == 3 else 1
            made = _slots.whole(slots[state + "_grad"][:count], like)  # type: ignore[arg-type]
            blob.value = made.sum((0, 1)) if forward[i].dim() == 1 else made.reshape(forward[i].shape)
