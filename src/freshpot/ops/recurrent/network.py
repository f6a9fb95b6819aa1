"""A step net run over time, forwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.net import Net
from freshpot.net.op import Op
from freshpot.net.schema import Arg, Port
from freshpot.ops._memory import arrays
from freshpot.ops._operator import Call, Operator, call
from freshpot.ops.recurrent import _lstm, _slots
from freshpot.ops.recurrent._lstm_single import Single
from freshpot.ops.recurrent._slots import Slots

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


@dataclass(slots=True)
class StepWorkspaces:
    """What a forward run leaves for the backward run: values of blobs, step by step."""

    #: outer name (a state or an input) -> its time steps
    slots: dict[str, Slots] = field(default_factory=dict)
    #: names of the step net's own blobs, and their values at each step
    kept: list[str] = field(default_factory=list)
    values: list[list[Any]] = field(default_factory=list)
    #: the step net's linked blobs, and where they lie
    links: list[_slots.Link] = field(default_factory=list)
    timestep: str = "timestep"

    def __len__(self) -> int:
        return len(self.values)

    def blobs(self, t: int) -> dict[str, Tensor]:
        """Every blob of step t."""
        found = dict(zip(self.kept, self.values[t], strict=True)) if t < len(self.values) else {}
        for link in self.links:
            steps = self.slots[link.outer][t + link.offset : t + link.offset + link.window]
            if steps and all(s is not None for s in steps):
                found[link.inner] = _slots.whole(steps, steps[0])  # type: ignore[arg-type]
        return found


@dataclass(slots=True)
class LstmSteps:
    """What a forward run leaves that went over the whole sequence at once."""

    cell: _lstm.Cell
    #: what the run left, which may be in `single`, for the next run to overwrite
    trace: _lstm.Trace | Single
    kept: list[str]
    links: list[_slots.Link]
    timestep: str
    sequence: Tensor
    single: Single | None = None

    def __len__(self) -> int:
        return len(self.sequence)

    def general(self) -> StepWorkspaces:
        """The same, step by step."""
        trace, cell = self.trace, self.cell
        if isinstance(trace, Single):
            trace = trace.trace(self.sequence)
        slots: dict[str, Slots] = {
            cell.hidden: list(trace.hidden.split(1)),
            cell.cell: list(trace.cell.split(1)),
            cell.sequence: list(self.sequence.split(1)),
        }
        values = [[gates] if self.kept else [] for gates in trace.gates.split(1)]
        return StepWorkspaces(slots, self.kept, values, self.links, self.timestep)

    def blobs(self, t: int) -> dict[str, Tensor]:
        """Every blob of step t."""
        return self.general().blobs(t)


def gradient_rule(g: GradientMaker) -> list[Op]:
    """One operator: gradients of the sequence, of the parameters, of the initial states."""
    given = [g.GO(i) for i in _ints(g.op, "outputs_with_grads")]
    made = [0, *_ints(g.op, "param"), *_ints(g.op, "initial_recurrent_state_ids")]
    return [g.new("RecurrentNetworkGradient", [*given, *g.op.inputs, *g.op.outputs], [g.GI(i) for i in made])]


def _ints(op: Op, name: str) -> list[int]:
    value = op.args.get(name, [])
    return [i for i in value if isinstance(i, int)] if isinstance(value, list) else []


#: arguments that the forward and the backward operator share
SHARED_ARGS = (
    Arg("recurrent_states", [str], [], "names of the tensors that hold all steps of a state"),
    Arg("initial_recurrent_state_ids", [int], [], "which input starts each of them"),
    Arg("link_internal", [str], [], "blobs of the step net that are a time step of an outer tensor"),
    Arg("link_external", [str], [], "that tensor: a recurrent state or an input"),
    Arg("link_offset", [int], [], "the time step, from the current one on"),
    Arg("link_window", [int], [], "how many time steps; one each if not given"),
    Arg("alias_src", [str], [], "states that outputs show"),
    Arg("alias_dst", [str], [], "the outputs that show them"),
    Arg("alias_offset", [int], [], "first time step shown; -1: the last one alone"),
    Arg("timestep", str, "timestep", "blob of the step net that counts the steps (int32)"),
    Arg("step_net", Net, doc="run at every step"),
    Arg("backward_step_net", Net, None, "run at every step of the backward run"),
)


class StampedTime:
    """The step counter as tensors, made once."""

    def __init__(self) -> None:
        self._stamps: list[Tensor] = []

    def upto(self, count: int) -> list[Tensor]:
        """Tensors [0], [1], ... of int32, at least ``count`` of them."""
        while len(self._stamps) < count:
            self._stamps.append(torch.tensor([len(self._stamps)], dtype=torch.int32))
        return self._stamps


class _Runner:
    """The forward step net bound to a workspace of its own inside ``outer``."""

    def __init__(self, operator: RecurrentNetwork, outer: Workspace) -> None:
        net = operator.step_net
        self.outer = outer
        self.inner = inner = outer.child()
        self.time = inner.create_local(operator.timestep)
        self.loads = _slots.bind(_slots.sources(operator.links, net), inner)
        self.stores = _slots.bind(_slots.targets(operator.links, net), inner)
        written = dict.fromkeys(name for op in net.ops for name in op.outputs)
        for name in written:
            inner.create_local(name)
        linked = {link.inner for link in operator.links}
        self.kept = [n for n in written if n not in linked and n not in operator.recompute_blobs_on_backward]
        self.cells = [inner.create_local(name) for name in self.kept]
        self.plan = inner.plan(net)

    def run(self, stamps: list[Tensor], steps: int, keep: bool) -> list[list[Any]]:
        """Run ``steps`` steps; the values to keep of each."""
        self.inner.follow(self.outer)
        step, time, loads, stores, cells = self.plan.step, self.time, self.loads, self.stores, self.cells
        kept = []
        for t in range(steps):
            time.value = stamps[t]
            for port in loads:
                port.load(t)
            step()
            for port in stores:
                port.store(t)
            if keep:
                kept.append([cell.value for cell in cells])
        return kept


class RecurrentNetwork(Operator):
    """Run ``step_net`` once a time step, each step reading the states that the one before it wrote.

    Shapes:   first input: (T, N, ...); initial states: (N, D) or (L, N, D), or (D,) for all of the batch;
              -> of each aliased state all steps (T, N, D) or the last one (1, N, D); last output: what the
              backward run needs (not a tensor)
    Raises:   ArgumentError if links or aliases speak of unknown tensors; ShapeError if an initial state
              does not fit the batch.
    Source:   caffe2/operators/rnn/recurrent_network_op.h
    """

    inputs = (Port("blob", many=True, at_least=1),)
    outputs = (Port("blob", many=True, at_least=2),)
    args = (
        *SHARED_ARGS,
        Arg("recompute_blobs_on_backward", [str], [], "blobs that the backward step net computes again"),
        Arg("outputs_with_grads", [int], [], "outputs whose gradients come from outside"),
        Arg("param", [int], [], "inputs that are parameters"),
    )
    gradient_rule = staticmethod(gradient_rule)
    own_blobs_only = True

    def setup(self) -> None:
        self.links = _slots.links(self.link_internal, self.link_external, self.link_offset, self.link_window)
        known = {*self.recurrent_states, *self.op.inputs}
        unknown = sorted({link.outer for link in self.links} - known | set(self.alias_src) - known)
        if unknown:
            self.refuse(
                f"links or aliases to {unknown}, which are neither recurrent_states {self.recurrent_states}"
                f" nor inputs {self.op.inputs}.",
                ArgumentError,
            )
        self._aliases: list[tuple[str, int, int]] = []
        #: aliases under names that are no outputs: blobs of the workspace, as in the original
        self._elsewhere: list[tuple[str, str, int]] = []
        for src, name, offset in zip(self.alias_src, self.alias_dst, self.alias_offset, strict=True):
            if name in self.op.outputs:
                self._aliases.append((src, self.op.outputs.index(name), offset))
            else:
                self._elsewhere.append((src, name, offset))
        self._stamps = StampedTime()
        self._runner: _Runner | None = None
        self._checked_at = -1
        self._cell = self._recognise()

    def _recognise(self) -> _lstm.Cell | None:
        """The LSTM that the step net is, if it is one and all its tensors are inputs here."""
        cell = _lstm.match(self.step_net, self.links)
        if (
            cell is None
            or self.link_window
            or self._elsewhere
            or self.recurrent_states != [cell.hidden, cell.cell]
        ):
            return None
        named = [cell.sequence, cell.weight, cell.bias, *([cell.lengths] if cell.lengths else [])]
        return cell if all(name in self.op.inputs for name in named) else None

    def check(self, X: Tensor, *others: Any) -> None:
        if X.dim() < 2:
            self.refuse(f"the sequence must be (time, batch, ...), got shape {tuple(X.shape)}.")
        for i in self.initial_recurrent_state_ids:
            shape = tuple((X, *others)[i].shape)
            if len(shape) not in (1, 2, 3) or (len(shape) > 1 and shape[-2] != X.shape[1]):
                self.refuse(
                    f"initial state '{self.op.inputs[i]}' must be (batch, size), (steps, batch, size) or (size,)"
                    f" for a batch of {X.shape[1]}, got {shape}."
                )

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        if (
            self._cell is not None
            and self._checked_at == ws.epoch
            and self._run_lstm(self._cell, inputs, outputs)
        ):
            return
        self._checked_at = ws.epoch
        runner = self._runner
        if runner is None or runner.outer is not ws:
            runner = self._runner = _Runner(self, ws)
        X = inputs[0].value
        slots = self._time_steps(inputs)
        _slots.attach(runner.loads, slots)
        _slots.attach(runner.stores, slots)
        steps = X.shape[0]
        kept = runner.run(self._stamps.upto(steps), steps, self.backward_step_net is not None)
        for src, i, offset in self._aliases:
            state = slots[src]
            outputs[i].value = _slots.whole(state[offset:], state[0])  # type: ignore[arg-type]
        for src, name, offset in self._elsewhere:
            state = slots[src]
            ws.create(name).value = _slots.whole(state[offset:], state[0])  # type: ignore[arg-type]
        outputs[-1].value = StepWorkspaces(slots, runner.kept, kept, self.links, self.timestep)

    def _run_lstm(self, cell: _lstm.Cell, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> bool:
        """The whole sequence at once; False if it is not of the form for that."""
        names = self.op.inputs
        X, W, b = (inputs[names.index(name)].value for name in (cell.sequence, cell.weight, cell.bias))
        h0, c0 = (initial(inputs[i].value, X.shape[1]) for i in self.initial_recurrent_state_ids)
        if X.dim() != 3 or not len(X) or len(h0) != 1 or len(c0) != 1 or W.dim() != 2:
            return False
        lengths = inputs[names.index(cell.lengths)].value if cell.lengths else None
        trace = _lstm.forward(cell, X, h0, c0, W, b, lengths)
        state = {cell.hidden: trace.hidden, cell.cell: trace.cell}
        for src, i, offset in self._aliases:
            outputs[i].value = state[src][offset:]
        kept = [n for n in [cell.blobs[2]] if n not in self.recompute_blobs_on_backward]
        outputs[-1].value = LstmSteps(cell, trace, kept, self.links, self.timestep, X)
        return True

    def calls(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Call] | None:
        """An LSTM over one sequence, in memory of its own."""
        steps, cell, names = outputs[-1], self._cell, self.op.inputs
        if cell is None or not isinstance(steps, LstmSteps):
            return None
        X, W, b = (inputs[names.index(name)] for name in (cell.sequence, cell.weight, cell.bias))
        starts = [inputs[i] for i in self.initial_recurrent_state_ids]
        small = arrays(X, W, b, *starts, *outputs[:-1])
        if small is None or X.shape[1] != 1 or any(start.numel() != W.shape[1] for start in starts):
            return None
        T, D = len(X), W.shape[1]
        x, w, bias, h0, c0, *made = small
        steps.single = single = Single(T, D, cell.forget_bias)
        states = {cell.hidden: (single.hidden, "hidden"), cell.cell: (single.cell, "cell")}
        copies = [(made[i].reshape(-1, D), *states[src], offset) for src, i, offset in self._aliases]
        lengths = inputs[names.index(cell.lengths)] if cell.lengths else None
        run_single = partial(single.forward, x.reshape(T, -1), h0.ravel(), c0.ravel(), w, bias)

        def run() -> None:
            steps.sequence = X
            if lengths is None or int(lengths.min()) >= T:
                run_single()
                steps.trace = single
                for out, state, _, offset in copies:
                    np.copyto(out, state[offset:])
                return
            start_h, start_c = (initial(start, 1) for start in starts)
            steps.trace = trace = _lstm.forward(cell, X, start_h, start_c, W, b, lengths)
            for out, _, name, offset in copies:
                np.copyto(out, getattr(trace, name)[offset:, 0])

        return [call(run)]

    def _time_steps(self, inputs: Sequence[Blob]) -> dict[str, Slots]:
        """Time steps of the inputs that are linked, and of the states: the initial ones, then nothing yet."""
        steps, batch = inputs[0].value.shape[:2]
        names = self.op.inputs
        slots: dict[str, Slots] = {
            link.outer: list(inputs[names.index(link.outer)].value.split(1))
            for link in self.links
            if link.outer not in self.recurrent_states
        }
        for state, i in zip(self.recurrent_states, self.initial_recurrent_state_ids, strict=True):
            slots[state] = [*initial(inputs[i].value, batch).split(1), *[None] * steps]
        return slots


def initial(value: Tensor, batch: int) -> Tensor:
    """An initial state as a fresh tensor (steps, batch, size)."""
    if value.dim() == 1:
        return value.expand(1, batch, -1).contiguous()
    return value.reshape(-1, batch, value.shape[-1]).clone()
