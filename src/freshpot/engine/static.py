"""Running a plan in memory of its own: what its steps make lies where it lay at the last run.

Owned here: deciding which steps can, and giving them memory; the function that runs the plan then is written
by `static_code`. Who calls it: `plan`, after a few ordinary runs. The rules of memory: `kept`; of operators:
`Operator.calls`.

Binding runs the plan once, step by step, and asks each operator for calls from its inputs to memory made
for its outputs. A step can be static if it has calls and what it reads stays where it is: blobs that no step
rebinds, and outputs of static steps. All others run as ever. The function first looks whether every blob
still holds the memory that calls were made for, and that nobody else has got hold of it; if not, it does
nothing and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from freshpot.engine.blob import Blob, Deferred, LazyBlob, PinnedBlob
from freshpot.engine.kept import KeptBlob, glance
from freshpot.engine.static_code import Bound, Static, Version, Writer, landing
from freshpot.ops._operator import Operator
from freshpot.ops._window import empty_alike

if TYPE_CHECKING:
    from freshpot.engine.plan import Step
    from freshpot.engine.workspace import Workspace

#: bytes of outputs up to which it pays to copy them to where they lay, so that what follows can be static
_COPIED = 1 << 18

#: elements up to which an output that nobody reads is computed at once, rather than left until somebody looks
_AT_ONCE = 1 << 13

#: ordinary runs before a plan is bound to memory for the first time, and at most between two times
_FIRST_AFTER, _LAST_AFTER = 2, 4096
#: how often in a row a plan is bound again at once
_AT_ONCE_AGAIN = 4


#: an operator that makes all outputs of a step but the last, where nobody needs that; else None
Deferring = Callable[["Step"], "Operator | None"]


class Binding:
    """When a plan is bound to memory: after a few ordinary runs, and less often if its blobs keep moving."""

    __slots__ = ("_cost", "_left", "_memory", "_short", "_since", "_steps", "_wait")

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self._wait = _FIRST_AFTER
        self._cost = self._since = 0.0
        self._short = 0
        self._memory: dict[int, Tensor] = {}
        #: ordinary runs until the plan is bound; negative: never
        self._left = _FIRST_AFTER

    def due(self) -> bool:
        """Called before each ordinary run: True if the plan is to be bound instead."""
        if self._left > 0:
            self._left -= 1
            return False
        if self._left == 0 and not _may_bind(self._steps):
            self._left = -1
        return self._left == 0

    def bind(self, workspace: Workspace, deferring: Deferring, failed: Callable[..., Any]) -> Static | None:
        """Run the steps once, and bind them to memory; None where that gains nothing.

        ``deferring`` tells whether a step's last output is left until somebody looks: an operator that
        makes the others, or None. ``failed`` is called with a step and its error.
        """
        start = time.monotonic()
        binder = _Binder(self._steps, workspace, deferring, failed, self._memory)
        made = binder.bind()
        self._memory = binder.own
        self._since = time.monotonic()
        self._cost = self._since - start
        if made is None:
            self._left = -1
        return made

    def moved(self) -> None:
        """Blobs moved: bind again at once if the plan ran in memory for long, or a few times in a row, then later."""
        if time.monotonic() - self._since > 20 * self._cost:
            self._short, self._wait = 0, _FIRST_AFTER
        self._short += 1
        if self._short > _AT_ONCE_AGAIN:
            self._wait = min(2 * self._wait, _LAST_AFTER)
        self._left = 0 if self._short <= _AT_ONCE_AGAIN else self._wait


def _may_bind(steps: Sequence[Step]) -> bool:
    """True if it is worth trying: some operator has calls, and none does more than its blobs show."""
    return any(step.operator.calls is not None for step in steps) and all(
        step.operator.run is None or step.operator.own_blobs_only for step in steps
    )


class _Binder:
    def __init__(
        self,
        steps: Sequence[Step],
        workspace: Workspace,
        deferring: Deferring,
        failed: Callable[..., Any],
        before: dict[int, Tensor],
    ) -> None:
        self.steps = steps
        self.workspace = workspace
        self.deferring = deferring
        self.failed = failed
        #: blob -> memory that it was given when the plan was bound before
        self.before = before
        #: the same of this time
        self.own: dict[int, Tensor] = {}
        self.now: dict[int, Version] = {}
        self.bound: list[Bound] = []

    def bind(self) -> Static | None:
        for i, step in enumerate(self.steps):
            try:
                self.bound.append(self._try(i, step))
            except Exception as error:
                self.failed(step, error)
        self._settle()
        if not any(b.calls is not None for b in self.bound):
            return None
        writer = Writer(self.bound, self.workspace)
        made = writer.write()
        self.own = {key: v.value for key, v in writer.own.items()}
        return made

    # ---- the run that binds ----------------------------------------------------------------------
    def _version(self, blob: Blob) -> Version:
        found = self.now.get(id(blob))
        if found is None:
            found = self.now[id(blob)] = Version(blob, glance(blob), None)
        return found

    def _write(self, bound: Bound, blob: Blob, value: Any) -> None:
        blob.value = value
        version = self.now[id(blob)] = Version(blob, value, bound)
        bound.outputs.append(version)

    def _try(self, i: int, step: Step) -> Bound:
        inputs = [self._version(blob) for blob in step.inputs]
        bound = Bound(i, step, inputs)
        operator = step.operator
        if operator.run is not None:
            self._run(bound)
            return bound
        values = [version.value for version in inputs]
        if step.overwrites:
            self._overwrite(bound, values)
            return bound
        kernel, outputs = step.kernel, step.outputs
        shorter = self.deferring(step) if sum(map(_size, values)) > _AT_ONCE else None
        if shorter is not None:
            bound.deferred, bound.shorter = outputs[-1], shorter.kernel
            kernel, outputs, operator = shorter.kernel, outputs[:-1], shorter
        made = kernel(*values)
        made = list(made) if isinstance(made, (tuple, list)) else [made]
        made = made[: len(outputs)]
        tensors = [value for value in values if isinstance(value, Tensor)]
        plain = len(tensors) == len(values) or not tensors  # an object may keep a tensor
        if plain and _plain_tensors([*tensors, *made]) and not _share_memory(tensors, made):
            lands = _may_land(tensors, made)
            if all(map(_fits, [*tensors, *made])) and (lands or operator.calls is not None):
                memory = [self._memory(step, *pair) for pair in zip(outputs, made, strict=True)]
                bound.calls = None if operator.calls is None else operator.calls(values, memory)
                if bound.calls is None and lands:
                    bound.calls = [landing(kernel, values, memory)]
                bound.read, bound.written = values, memory
                made = made if bound.calls is None else memory
        else:
            self._let_go(bound)
        for blob, value in zip(outputs, made, strict=True):
            self._write(bound, blob, value)
        if bound.deferred is not None:
            bound.deferred.value = Deferred(step.kernel, len(outputs), tuple(v.clone() for v in values))
        return bound

    def _let_go(self, bound: Bound) -> None:
        """The step may keep what it reads."""
        bound.escapes = True
        for blob in bound.step.inputs:
            blob._own = None

    def _run(self, bound: Bound) -> None:
        step, operator = bound.step, bound.step.operator
        own = [blob._own for blob in (*step.inputs, *step.outputs)]
        operator.run(self.workspace, step.inputs, step.outputs)  # type: ignore[misc]
        if operator.calls is not None and self._run_in_memory(bound, own):
            return
        bound.steady, bound.escapes = operator.changes_in_place, not operator.changes_in_place
        if not bound.steady:
            for blob in step.outputs:
                self._write(bound, blob, glance(blob))

    def _run_in_memory(self, bound: Bound, own: list[Any]) -> bool:
        """Bind an operator that works on blobs, if it has calls. ``own``: what its blobs owned before it ran."""
        step, values = bound.step, [version.value for version in bound.inputs]
        made = [glance(blob) for blob in step.outputs]
        if not all(_fits(value) for value in (*values, *made) if isinstance(value, Tensor)):
            return False
        for blob, before in zip(step.outputs, own[len(values) :], strict=True):
            blob._own = before  # to be looked at, for memory
        memory = [
            self._memory(step, blob, value) if isinstance(value, Tensor) else value
            for blob, value in zip(step.outputs, made, strict=True)
        ]
        for blob in step.outputs:
            blob._own = None
        bound.calls = step.operator.calls(values, memory)  # type: ignore[misc]
        if bound.calls is None:
            return False
        for blob, before in zip(step.inputs, own, strict=False):
            if blob not in step.outputs:
                blob._own = before  # the run let go of what it read
        bound.read, bound.written = values, memory
        for blob, value in zip(step.outputs, memory, strict=True):
            self._write(bound, blob, value)
        return True

    def _memory(self, step: Step, blob: Blob, made: Tensor) -> Tensor:
        """Memory for an output: that of the last time, if it fits and nobody else holds it, nor a step has read it.

        Memory of another plan serves where both write it anew in every run.
        """
        memory = None
        if id(blob) not in self.now:
            shared = blob._renewed and isinstance(blob._own, Tensor) and self._renews(step, blob)
            memory = blob._own if shared else self.before.get(id(blob))
        if memory is None or blob._own is not memory or _layout(memory) != _layout(made):
            memory = empty_alike(made)
        return memory.copy_(made)

    def _renews(self, step: Step, blob: Blob) -> bool:
        """True if a step writes an output in every run, and nothing that is left for later is computed from it."""
        lasting = (step.outputs[k] for k in step.operator.lasting_outputs if k < len(step.outputs))
        if step.operator.same_every_run or blob in lasting:
            return False
        return not any(blob in other.inputs and other.operator.saves_without_last() for other in self.steps)

    def _overwrite(self, bound: Bound, values: list[Any]) -> None:
        """A kernel that writes into its inputs; what else it makes is new."""
        step = bound.step
        made = step.kernel(*values)
        made = list(made) if isinstance(made, (tuple, list)) else [made]
        if _plain_tensors(values) and step.operator.calls is not None and all(map(_fits, values)):
            memory = [
                value if any(value is v for v in values) else self._memory(step, blob, value)
                for blob, value in zip(step.outputs, made, strict=False)
            ]
            bound.calls, bound.read, bound.written = step.operator.calls(values, memory), values, memory
            made = made if bound.calls is None else memory
        if not _plain_tensors(values):
            self._let_go(bound)
        bound.steady = True
        for blob, value in zip(step.outputs, made, strict=False):
            if value is not glance(blob):
                bound.steady = False
                self._write(bound, blob, value)

    # ---- what can stay static ----------------------------------------------------------------------
    def _settle(self) -> None:
        """Let steps run as ever whose inputs move, or whose memory somebody may keep, until all fits."""
        while True:
            moving = {id(v.blob) for b in self.bound if b.calls is None for v in b.outputs}
            kept = {id(v) for b in self.bound if b.escapes for v in b.inputs}
            unfit = [b for b in self.bound if b.calls is not None and not self._fits(b, moving, kept)]
            if not unfit:
                return
            for b in unfit:
                b.calls = None

    def _fits(self, b: Bound, moving: set[int], kept: set[int]) -> bool:
        for k in b.step.operator.lasting_inputs:
            if k < len(b.inputs) and not _lasts(b.inputs[k]):
                return False
        for version in b.inputs:
            if version.maker is None:
                blob = version.blob
                if id(blob) in moving or version.value is not glance(blob) or not _can_look(blob):
                    return False  # rebound later in the run: the next one begins with another tensor
            elif version.maker.calls is None:
                return False
        return all(id(v.blob) not in moving and id(v) not in kept and _can_keep(v.blob) for v in b.outputs)


def _lasts(version: Version) -> bool:
    """True if it depends on shapes alone."""
    maker = version.maker
    if maker is None or maker.calls is None:
        return False
    operator, place = maker.step.operator, [id(v) for v in maker.outputs].index(id(version))
    return operator.same_every_run or place in operator.lasting_outputs


def _layout(value: Tensor) -> tuple[Any, ...]:
    return value.shape, value.dtype, value.stride()


def _can_keep(blob: Blob) -> bool:
    return type(blob) in (Blob, LazyBlob, KeptBlob)


def _can_look(blob: Blob) -> bool:
    return _can_keep(blob) or type(blob) is PinnedBlob


def _size(value: Any) -> int:
    return value.numel() if isinstance(value, Tensor) else 0


def _plain_tensors(values: Sequence[Any]) -> bool:
    return all(type(value) is Tensor for value in values)


def _fits(value: Tensor) -> bool:
    return value.device.type == "cpu" and value.numel() > 0 and not value.is_sparse


def _may_land(read: list[Tensor], made: list[Tensor]) -> bool:
    """True if outputs of an operator without calls may be copied to memory: they are small, or a batch of data."""
    return not read or sum(value.nbytes for value in made) <= _COPIED


def _share_memory(some: list[Tensor], others: list[Tensor]) -> bool:
    starts = {value.untyped_storage().data_ptr() for value in some if value.numel()}
    return any(value.untyped_storage().data_ptr() in starts for value in others if value.numel())
