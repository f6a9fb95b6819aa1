"""Running a plan in memory of its own: what its steps make lies where it lay at the last run.

Owned here: deciding which steps can, giving them memory, and the function that runs the plan then. Who
calls it: `plan`, after a few ordinary runs. House rules of memory: `kept`; of operators: `Operator.calls`.

Binding runs the plan once, step by step, and asks each operator for calls from its inputs to memory made
for its outputs. A step can be static if it has calls and what it reads stays where it is: blobs that no step
rebinds, and outputs of static steps. All others run as ever. The function first looks whether every blob
still holds the memory that calls were made for, and that nobody else has got hold of it; if not, it does
nothing and says so.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from freshpot.engine.blob import EMPTY, Blob, Deferred, LazyBlob, PinnedBlob
from freshpot.engine.kept import KeptBlob, glance, keep
from freshpot.ops._operator import Call, Operator

if TYPE_CHECKING:
    from freshpot.engine.plan import Step
    from freshpot.engine.workspace import Workspace

#: elements up to which an output that nobody reads is computed at once, rather than left until somebody looks
_AT_ONCE = 1 << 14

#: what the function gives back: it ran; another thread is running it; blobs moved and it must be bound again
RAN, BUSY, MOVED = 1, 2, 3

#: ordinary runs before a plan is bound to memory for the first time, and at most between two times
_FIRST_AFTER, _LAST_AFTER = 2, 4096
#: how often in a row a plan is bound again at once
_AT_ONCE_AGAIN = 4


#: an operator that makes all outputs of a step but the last, where nobody needs that; else None
Deferring = Callable[["Step"], "Operator | None"]


@dataclass
class _Version:
    """One value of a blob during a run."""

    blob: Blob
    value: Any
    #: the step that makes it; None: it is there when the run begins
    maker: _Bound | None


@dataclass
class _Bound:
    """A step, bound."""

    position: int
    step: Step
    inputs: list[_Version]
    outputs: list[_Version] = field(default_factory=list)
    #: calls in memory; None: it runs as ever
    calls: list[Call] | None = None
    #: what the calls read, and what they write
    read: list[Tensor] = field(default_factory=list)
    written: list[Tensor] = field(default_factory=list)
    #: True if it changes tensors where they are and rebinds no blob
    steady: bool = False
    #: True if what it reads may be kept by somebody
    escapes: bool = False
    #: its last output is left until somebody looks
    deferred: Blob | None = None
    #: kernel that makes all outputs but the deferred one
    shorter: Callable[..., Any] | None = None


class Static:
    """A plan bound to memory. ``run()`` runs it and returns RAN, or does nothing and returns BUSY or MOVED."""

    __slots__ = ("code", "first_line", "run")

    def __init__(self, run: Callable[[], int], code: Any, first_line: int) -> None:
        self.run = run
        self.code = code
        #: step n stands on line ``first_line`` + n
        self.first_line = first_line


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
        self.now: dict[int, _Version] = {}
        self.bound: list[_Bound] = []

    def bind(self) -> Static | None:
        for i, step in enumerate(self.steps):
            try:
                self.bound.append(self._try(i, step))
            except Exception as error:
                self.failed(step, error)
        self._settle()
        if not any(b.calls is not None for b in self.bound):
            return None
        writer = _Writer(self.bound, self.workspace)
        made = writer.write()
        self.own = {key: v.value for key, v in writer.own.items()}
        return made

    # ---- the run that binds ----------------------------------------------------------------------
    def _version(self, blob: Blob) -> _Version:
        found = self.now.get(id(blob))
        if found is None:
            found = self.now[id(blob)] = _Version(blob, glance(blob), None)
        return found

    def _write(self, bound: _Bound, blob: Blob, value: Any) -> None:
        blob.value = value
        version = self.now[id(blob)] = _Version(blob, value, bound)
        bound.outputs.append(version)

    def _try(self, i: int, step: Step) -> _Bound:
        inputs = [self._version(blob) for blob in step.inputs]
        bound = _Bound(i, step, inputs)
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
        if _plain_tensors([*values, *made]) and not _share_memory(values, made):
            if operator.calls is not None and all(map(_fits, [*values, *made])):
                memory = [self._memory(*pair) for pair in zip(outputs, made, strict=True)]
                bound.calls, bound.read, bound.written = operator.calls(values, memory), values, memory
                made = made if bound.calls is None else memory
        else:
            self._let_go(bound)
        for blob, value in zip(outputs, made, strict=True):
            self._write(bound, blob, value)
        if bound.deferred is not None:
            bound.deferred.value = Deferred(step.kernel, len(outputs), tuple(v.clone() for v in values))
        return bound

    def _let_go(self, bound: _Bound) -> None:
        """The step may keep what it reads."""
        bound.escapes = True
        for blob in bound.step.inputs:
            blob._own = None

    def _run(self, bound: _Bound) -> None:
        step, operator = bound.step, bound.step.operator
        own = [blob._own for blob in (*step.inputs, *step.outputs)]
        operator.run(self.workspace, step.inputs, step.outputs)  # type: ignore[misc]
        if operator.calls is not None and self._run_in_memory(bound, own):
            return
        bound.steady, bound.escapes = operator.changes_in_place, not operator.changes_in_place
        if not bound.steady:
            for blob in step.outputs:
                self._write(bound, blob, glance(blob))

    def _run_in_memory(self, bound: _Bound, own: list[Any]) -> bool:
        """Bind an operator that works on blobs, if it has calls. ``own``: what its blobs owned before it ran."""
        step, values = bound.step, [version.value for version in bound.inputs]
        made = [glance(blob) for blob in step.outputs]
        if not all(_fits(value) for value in (*values, *made) if isinstance(value, Tensor)):
            return False
        for blob, before in zip((*step.inputs, *step.outputs), own, strict=True):
            blob._own = before if glance(blob) is not None and blob.__class__ is KeptBlob else None
        memory = [
            self._memory(blob, value) if isinstance(value, Tensor) else value
            for blob, value in zip(step.outputs, made, strict=True)
        ]
        bound.calls = step.operator.calls(values, memory)  # type: ignore[misc]
        if bound.calls is None:
            return False
        bound.read, bound.written = values, memory
        for blob, value in zip(step.outputs, memory, strict=True):
            self._write(bound, blob, value)
        return True

    def _memory(self, blob: Blob, made: Tensor) -> Tensor:
        """Memory for an output: that of the last time, if it fits and nobody else holds it."""
        memory = self.before.get(id(blob))
        if memory is None or blob._own is not memory or _layout(memory) != _layout(made):
            memory = torch.empty_like(made)
        self.before.pop(id(blob), None)  # a blob that is written twice in a run has memory for each
        return memory.copy_(made)

    def _overwrite(self, bound: _Bound, values: list[Any]) -> None:
        """A kernel that writes into its inputs; what else it makes is new."""
        step = bound.step
        made = step.kernel(*values)
        made = list(made) if isinstance(made, (tuple, list)) else [made]
        if _plain_tensors(values) and step.operator.calls is not None and all(map(_fits, values)):
            memory = [
                value if any(value is v for v in values) else torch.empty_like(value)
                for value in made[: len(step.outputs)]
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

    def _fits(self, b: _Bound, moving: set[int], kept: set[int]) -> bool:
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


def _lasts(version: _Version) -> bool:
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


def _plain_tensors(values: list[Any]) -> bool:
    return all(type(value) is Tensor for value in values)


def _fits(value: Tensor) -> bool:
    return value.device.type == "cpu" and value.numel() > 0 and not value.is_sparse


def _share_memory(some: list[Tensor], others: list[Tensor]) -> bool:
    starts = {value.untyped_storage().data_ptr() for value in some if value.numel()}
    return any(value.untyped_storage().data_ptr() in starts for value in others if value.numel())


def _groups(bound: list[_Bound]) -> list[list[_Bound]]:
    """Steps that follow each other, call one operator with the same arguments, and are apart from each other."""
    groups: list[list[_Bound]] = [[]]
    for b in bound:
        group = groups[-1]
        if b.calls is None or b.step.operator.calls_together is None:
            groups.append([])
        elif group and _joins(group, b):
            group.append(b)
        else:
            groups.append([b])
    return [group for group in groups if len(group) > 1]


def _joins(group: list[_Bound], b: _Bound) -> bool:
    first, one = group[0].step.operator, b.step.operator
    if type(first) is not type(one) or first.op.args != one.op.args or first.num_outputs != one.num_outputs:
        return False
    written = {id(t) for other in group for t in other.written}
    read = {id(t) for other in group for t in other.read}
    return written.isdisjoint(map(id, [*b.read, *b.written])) and read.isdisjoint(map(id, b.written))


class _Writer:
    """Writes the function; each step stands on a line of its own."""

    def __init__(self, bound: list[_Bound], workspace: Workspace) -> None:
        self.bound = bound
        self.names: dict[str, Any] = {
            "ws": workspace,
            "first": _first,
            "Deferred": Deferred,
            "forget": _forget,
        }
        self.blob_names: dict[int, str] = {}
        self.writes: dict[int, int] = {}
        #: blobs that some step overwrites where they are
        self.overwritten: set[int] = set()
        for b in bound:
            for v in b.outputs:
                self.writes[id(v.blob)] = self.writes.get(id(v.blob), 0) + 1
            same = {id(blob) for blob in b.step.inputs} & {id(blob) for blob in b.step.outputs}
            self.overwritten |= same - {id(v.blob) for v in b.outputs}
        #: blobs that are read by calls and there when the run begins, and what they hold
        self.given: dict[int, _Version] = {}
        #: last version of each blob in memory of the plan's
        self.own: dict[int, _Version] = {}

    def write(self) -> Static:
        """Compile the function; the blobs hold what belongs to it from now on."""
        for b in self.bound:
            if b.calls is None:
                continue
            for v in b.inputs:
                if v.maker is None:
                    keep(v.blob)
                    self.given[id(v.blob)] = v
            for v in b.outputs:
                keep(v.blob)
                self.own[id(v.blob)] = v
        for v in self.own.values():
            v.blob._memory = v.blob._own = v.value
        for group in _groups(self.bound):
            self._join(group)
        deferred = [b.deferred for b in self.bound if b.deferred is not None]
        lines = ["def run():", " " + self._guard(), " " + self._clear(deferred)]
        first_line = len(lines) + 1
        lines += [" " + self._line(b) for b in self.bound]
        exec(_compiled("\n".join([*lines, " return 1"])), self.names)
        run = self.names["run"]
        return Static(_one_at_a_time(_without_warnings(run)), run.__code__, first_line)

    def _join(self, group: list[_Bound]) -> None:
        """Let the last of some steps do all their work, if the operator can."""
        together = group[-1].step.operator.calls_together
        made = None if together is None else together([b.read for b in group], [b.written for b in group])
        if made is not None:
            for b in group:
                b.calls = []
            group[-1].calls = made

    def _blob(self, blob: Blob) -> str:
        name = self.blob_names.setdefault(id(blob), f"b{len(self.blob_names)}")
        self.names[name] = blob
        return name

    def _guard(self) -> str:
        """Leave if a blob holds something else, or if somebody else may hold what is ours."""
        tests = []
        for held, versions in (("_memory", self.given), ("_own", self.own)):
            for v in versions.values():
                name = self._blob(v.blob)
                self.names[f"m{name}{held}"] = v.value
                tests.append(f"{name}.{held} is not m{name}{held}")
        return f"if {' or '.join(tests)}: return 3" if tests else "pass"

    def _clear(self, deferred: list[Blob]) -> str:
        """What was left to be computed at the last run would be computed from this run's data."""
        return "; ".join(f"forget({self._blob(blob)})" for blob in deferred) or "pass"

    def _line(self, b: _Bound) -> str:
        if b.calls is None:
            return self._as_ever(b)
        only_writer = all(self.writes[id(v.blob)] == 1 for v in b.outputs)
        changed = any(id(v.blob) in self.overwritten for v in b.outputs)
        if b.step.operator.same_every_run and b.outputs and only_writer and not changed:
            return "pass"
        parts = [self._call(f"{b.position}_{j}", call) for j, call in enumerate(b.calls)]
        for v in b.outputs:
            if self.writes[id(v.blob)] > 1:
                parts.append(f"{self._blob(v.blob)}._memory = {self._constant(f'o{b.position}', v.value)}")
        parts += self._disown(b)
        if b.deferred is not None:
            parts.append(self._defer(b))
        return "; ".join(parts) or "pass"

    def _disown(self, b: _Bound) -> list[str]:
        """A blob that is overwritten where it is no longer holds what another plan put there."""
        written = {id(v.blob) for v in b.outputs}
        blobs = [x for x in b.step.outputs if id(x) not in written and id(x) not in self.own]
        return [f"{self._blob(blob)}._own = None" for blob in blobs if blob.__class__ is KeptBlob]

    def _constant(self, name: str, value: Any) -> str:
        while name in self.names and self.names[name] is not value:
            name += "_"
        self.names[name] = value
        return name

    def _call(self, at: str, call: Call) -> str:
        function, args, kwargs = call
        given = [self._constant(f"a{at}_{k}", value) for k, value in enumerate(args)]
        given += [f"{key}={self._constant(f'k{at}_{key}', value)}" for key, value in kwargs.items()]
        return f"{self._constant(f'f{at}', function)}({', '.join(given)})"

    def _read(self, b: _Bound) -> list[str]:
        if b.escapes:
            return [f"{self._blob(blob)}.value" for blob in b.step.inputs]
        held = self.own.keys() | self.given.keys()
        return [f"{self._blob(v.blob)}.{'_memory' if id(v.blob) in held else 'value'}" for v in b.inputs]

    def _as_ever(self, b: _Bound) -> str:
        step, i = b.step, b.position
        self.names[f"k{i}"] = step.kernel
        if step.operator.run is not None:
            self.names[f"i{i}"], self.names[f"o{i}"] = step.inputs, step.outputs
            parts = [f"k{i}(ws, i{i}, o{i})"]
            if b.steady:  # it let go of what it read
                for blob in step.inputs:
                    if id(blob) in self.own:
                        name = self._blob(blob)
                        parts.append(f"{name}._own = m{name}_own")
            return "; ".join(parts)
        inputs = self._read(b)
        if b.steady:
            return "; ".join([f"k{i}({', '.join(inputs)})", *self._disown(b)])
        if b.deferred is not None:
            self.names[f"k{i}s"] = b.shorter
            return f"{self._assign(f'k{i}s', inputs, step, step.outputs[:-1])}; {self._defer(b)}"
        return self._assign(f"k{i}", inputs, step, step.outputs)

    def _assign(self, kernel: str, inputs: list[str], step: Step, outputs: Sequence[Blob]) -> str:
        made = f"{kernel}({', '.join(inputs)})"
        targets = [f"{self._blob(blob)}.value" for blob in outputs]
        if not targets:
            return made
        if len(targets) == 1 and len(step.operator.outputs) == 1 and not step.operator.outputs[0].many:
            return f"{targets[0]} = {made}"
        comma = "," if len(targets) == 1 else ""
        return f"{', '.join(targets)}{comma} = first({made}, {len(targets)})"

    def _defer(self, b: _Bound) -> str:
        """Leave the last output, with copies of what may change before somebody looks."""
        i = b.position
        self.names[f"k{i}"] = b.step.kernel
        kept = [
            read if v.maker is not None and id(v.blob) not in self.overwritten else f"{read}.clone()"
            for read, v in zip(self._read(b), b.inputs, strict=True)
        ]
        last = len(b.step.outputs) - 1
        return f"{self._blob(b.step.outputs[last])}.value = Deferred(k{i}, {last}, ({', '.join(kept)},))"


def _forget(blob: Blob) -> None:
    """Drop what was left to be computed and was not: what it would be computed from changes now."""
    if getattr(blob, "_memory", None).__class__ is Deferred:
        blob.value = EMPTY


def _first(made: Any, count: int) -> Any:
    if not isinstance(made, (tuple, list)):
        made = (made,)
    return made if len(made) == count else made[:count]


@functools.lru_cache(maxsize=256)
def _compiled(source: str) -> Any:
    return compile(source, "<static plan>", "exec")


def _one_at_a_time(run: Callable[[], int]) -> Callable[[], int]:
    lock = threading.Lock()
    acquire, release = lock.acquire, lock.release

    def alone() -> int:
        if not acquire(False):
            return BUSY
        try:
            return run()
        finally:
            release()

    return alone


def _without_warnings(run: Callable[[], int]) -> Callable[[], int]:
    """The function with numpy's warnings off: a number that overflows is the program's affair, as in torch."""
    context = contextvars.copy_context()
    before = np.geterr()
    context.run(np.seterr, all="ignore")
    if np.geterr() == before:
        return functools.partial(context.run, run)
    np.seterr(**before)  # numpy 1: the setting is the thread's

    def quiet() -> int:
        with np.errstate(all="ignore"):
            return run()

    return quiet
