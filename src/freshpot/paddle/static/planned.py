"""Training programs of images as plans of the engine: loss and gradients in one plan, then the optimizer's step.

Owned here: when a program's runs go over to a plan, and the plan. Called by :mod:`freshpot.paddle.static.executor`.

A program with a convolution whose loss depends on nothing that draws numbers or remembers is captured as a net
(:mod:`freshpot.torch`) after ``AFTER`` runs of one kind: the same steps, sizes and names to fetch. The next run takes
the ordinary way too, and only if both gave the same loss and gradients (to ``CLOSE`` of the largest) does the plan take
the following ones. What is no part of the loss (metrics) runs as ever, on the plan's values. Anything else, and what
the plan refuses, is run by :mod:`freshpot.paddle.static.running`. Chance is left to the ordinary way so that the same
seed goes on giving the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from freshpot.engine.kept import glance
from freshpot.errors import FreshpotError
from freshpot.net.grads import GradName
from freshpot.paddle._module import AsModule
from freshpot.paddle._tensor import Parameter, Tensor
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.static import running
from freshpot.paddle.static.program import Program, Step, Update, Variable

__all__ = ["AFTER", "CLOSE", "run"]

#: how many runs of one kind take the ordinary way: capturing takes as long as a hundred steps of a small network
AFTER = 100
#: how far losses and gradients of both ways may lie apart, as a share of the largest
CLOSE = 1e-3


def run(program: Program, given: dict[str, Tensor], wanted: set[str]) -> dict[str, Any]:
    """:func:`freshpot.paddle.static.running.run`, by a plan where there is one."""
    fed = ((name, given[name].data_) for name in sorted(given))
    key = (frozenset(wanted), tuple((name, tuple(data.shape), data.dtype, data.is_cpu) for name, data in fed))
    kind = program.kinds.get(key)
    if kind is None or kind.ops != program.block.ops:  # the program was changed since: count anew
        kind = program.kinds[key] = _Kind(program, wanted)
    return kind.run(given)


class _Kind:
    """Runs of one kind, and the plan that they may have."""

    def __init__(self, program: Program, wanted: set[str]) -> None:
        self._program, self._wanted = program, wanted
        self.ops = list(program.block.ops)
        self._runs = 0
        self._plan: _Plan | None = None

    @property
    def planned(self) -> bool:
        """Whether the following runs are a plan's."""
        return self._plan is not None

    def run(self, given: dict[str, Tensor]) -> dict[str, Any]:
        """A run; values by name."""
        self._runs += 1
        if self._runs == AFTER + 1:
            return self._go_over(given)
        if self._plan is not None and self._plan.fits():
            values = self._by_plan(self._plan, given)
            if values is not None:
                return values
        return running.run(self._program, given, self._wanted)

    def _go_over(self, given: dict[str, Tensor]) -> dict[str, Any]:
        """An ordinary run, beside what a plan gives."""
        parts = _Parts.of(self._program, self._wanted)
        plan = None if parts is None else _made(parts, given)
        before = None if plan is None else plan.results(given)
        values = running.run(self._program, given, self._wanted)
        if plan is not None and before is not None and plan.agrees(before, values):
            self._plan = plan
        return values

    def _by_plan(self, plan: _Plan, given: dict[str, Tensor]) -> dict[str, Any] | None:
        """A run by the plan; None if the plan refuses the values, which the ordinary way will say better."""
        try:
            plan.run(given)
        except FreshpotError:
            return None
        values: dict[str, Any] = {**given, **plan.values()}
        for step in plan.parts.others:
            if isinstance(step, Update):
                plan.learn(step, values)
            else:
                running.run_step(self._program, step, values)
        for name in self._wanted & {*plan.names, *(f"{p.name}@GRAD" for p in plan.learning)}:
            values[name] = Tensor(values[name].data_.clone())  # the plan writes there again
        return values


class _Parts:
    """The steps that lead to the loss, and the others that a run needs, the update among them."""

    def __init__(self, inner: list[Step], others: list[Any], update: Update, outer: list[str]) -> None:
        self.inner, self.others, self.update = inner, others, update
        #: values of the inner steps that are looked at outside, the loss first
        self.outer = outer

    @classmethod
    def of(cls, program: Program, wanted: set[str]) -> _Parts | None:
        """None for a program that no plan is made for."""
        names = {name.removesuffix("@GRAD") for name in wanted}
        steps = running.needed(program, names)
        updates = [step for step in steps if isinstance(step, Update)]
        if program.for_test or len(updates) != 1:
            return None
        update = updates[0]
        before = steps[: next(i for i, step in enumerate(steps) if step is update)]
        inner = [step for step in running.leading_to(before, {update.loss}) if isinstance(step, Step)]
        made = {name for step in inner for name in running.flat(step.outputs)}
        if made & program.blocked or any(_holds_layer(step) for step in inner):
            return None
        if not any("conv" in getattr(step.function, "__name__", "") for step in inner):
            return None
        others = [step for step in steps if not any(step is one for one in inner)]
        read = [t.name for step in others if isinstance(step, Step) for t in running.read_by(step)]
        outer = dict.fromkeys([update.loss, *(name for name in (*read, *names) if name in made)])
        return cls(inner, others, update, list(outer))


def _holds_layer(step: Step) -> bool:
    return any(isinstance(value, Layer) for value in (*step.args, *step.keywords.values()))


def _made(parts: _Parts, given: dict[str, Tensor]) -> _Plan | None:
    """The plan of the steps that lead to the loss; None where the engine does not know all of their operations."""
    tensors = [t for step in parts.inner for t in running.read_by(step)]
    names = [name for name in given if any(t.name == name for t in tensors)]
    state = {t.name: t for t in tensors if not isinstance(t, Variable)}
    if not all(t.data_.is_cpu for t in (*state.values(), *given.values())):
        return None
    part = Program()
    part.block.ops = list(parts.inner)

    def forward(*inputs: Tensor) -> list[Any]:
        values = running.run(part, dict(zip(names, inputs, strict=True)), set(parts.outer), captured=True)
        return [values[name] for name in parts.outer]

    module = AsModule(forward, {name.replace(".", "__"): tensor for name, tensor in state.items()}).train()
    from freshpot.torch import capture  # the exporter takes long to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = capture(module, [given[name].data_ for name in names], "program", open_batch=False)
        if any(blob in made.parameters for op in made.net.ops for blob in op.outputs):
            return None  # it remembers
        grads = made.add_gradients(made.outputs[0])
        return _Plan(made, grads, names, parts, state)
    except (
        Exception
    ):  # the exporter raises errors of every kind; the ordinary way goes on, and raises its own
        return None


class _Plan:
    """The plan of a loss and its gradients, on the parameters' own memory."""

    def __init__(
        self,
        made: Any,
        grads: dict[str, GradName],
        names: Sequence[str],
        parts: _Parts,
        state: dict[str, Tensor],
    ) -> None:
        self.parts, self.names = parts, list(parts.outer)
        self._inputs, self._outputs = list(made.inputs), list(made.outputs)
        self._fed = list(names)
        self.learning: list[Parameter] = [p for p in parts.update.parameters if not p.stop_gradient]
        self._state = list(state.values())
        self._workspace = made.workspace
        for tensor in self._state:
            blob = made.workspace.find(tensor.name.replace(".", "__"))
            if blob is not None:
                blob.value = tensor.data_.detach()
        self._memory = [tensor.data_.data_ptr() for tensor in self._state]
        wanted = [grads.get(p.name.replace(".", "__")) for p in self.learning]
        if not all(grad is None or isinstance(grad, str) for grad in wanted):
            raise FreshpotError("gradients of rows are not taken")
        for blob in self._inputs:
            self._workspace.create(blob)
        self._plan: Any = None
        self._net = made.net
        self._grads: list[Any] = wanted

    def fits(self) -> bool:
        """Whether the parameters are where they were, and those learn that did."""
        return self._memory == [tensor.data_.data_ptr() for tensor in self._state] and not any(
            p.stop_gradient for p in self.learning
        )

    def run(self, given: dict[str, Tensor]) -> None:
        """The loss, and the gradients."""
        for blob, name in zip(self._inputs, self._fed, strict=True):
            self._workspace.feed(blob, given[name].data_.detach().numpy())
        self._plan = self._plan or self._workspace.plan(self._net)
        self._plan.run()

    def values(self) -> dict[str, Tensor]:
        """What is looked at outside, until the next run."""
        return {
            name: Tensor(glance(self._workspace.find(blob)))
            for name, blob in zip(self.names, self._outputs, strict=True)
        }

    def _gradients(self) -> list[torch.Tensor | None]:
        return [None if grad is None else glance(self._workspace.find(grad)) for grad in self._grads]

    def learn(self, step: Update, values: dict[str, Any]) -> None:
        """The optimizer's step with the gradients of this run."""
        running.learn(step, self.learning, self._gradients(), values)

    def results(self, given: dict[str, Tensor]) -> list[torch.Tensor] | None:
        """Copies of the loss and the gradients; None if it fails, or draws numbers."""
        random = torch.get_rng_state()
        try:
            self.run(given)
        except FreshpotError:
            return None
        finally:
            drew = not torch.equal(random, torch.get_rng_state())
            torch.set_rng_state(random)
        found = [next(iter(self.values().values())).data_, *self._gradients()]
        return None if drew else [value.clone() for value in found if value is not None]

    def agrees(self, found: list[torch.Tensor], values: dict[str, Any]) -> bool:
        """Whether an ordinary run gave the same."""
        names = [self.names[0], *(f"{p.name}@GRAD" for p in self.learning if f"{p.name}@GRAD" in values)]
        if len(names) != len(found):
            return False
        pairs = [(own, values[name].data_.detach()) for own, name in zip(found, names, strict=True)]
        return all(
            own.numel() == other.numel()
            and bool((own.reshape(other.shape) - other).abs().max() <= CLOSE * other.abs().max() + 1e-7)
            for own, other in pairs
        )
