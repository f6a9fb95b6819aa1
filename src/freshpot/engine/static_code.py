"""The function that runs a plan in memory of its own.

Owned here: its text and its names. Who calls it: `static`, with steps that it has bound to memory.

Each step stands on a line of its own: its calls, if it has some, or as in the plan's ordinary function. Before
them stands a guard: do all blobs still hold the memory that the calls were made for?
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from freshpot.engine.blob import EMPTY, Blob, Deferred
from freshpot.engine.kept import KeptBlob, disown, keep
from freshpot.native.chain import Chain, Link
from freshpot.ops._operator import Call, call
from freshpot.ops._window import empty_alike

if TYPE_CHECKING:
    from freshpot.engine.plan import Step
    from freshpot.engine.workspace import Workspace

#: what the function gives back: it ran; another thread is running it; blobs moved and it must be bound again
RAN, BUSY, MOVED = 1, 2, 3


class OutputsMovedError(Exception):
    """A step made outputs of other sizes than the memory that waits for them.

    Owned by this floor: `plan` goes on from that step in the ordinary way. ``made``: the step's outputs.
    """

    def __init__(self, made: Sequence[Tensor]) -> None:
        super().__init__("outputs have other sizes than before")
        self.made = made


def landing(kernel: Callable[..., Any], read: Sequence[Any], memory: Sequence[Tensor]) -> Call:
    """A call of a kernel that has none of its own: what it makes is copied to memory."""
    places = [(value, value.shape, value.dtype) for value in memory]

    def land() -> None:
        made = first(kernel(*read), len(places))
        for (_, shape, dtype), value in zip(places, made, strict=True):
            if value.shape != shape or value.dtype is not dtype:
                raise OutputsMovedError(made)
        for (target, _, _), value in zip(places, made, strict=True):
            target.copy_(value)

    return call(land)


@dataclass
class Version:
    """One value of a blob during a run."""

    blob: Blob
    value: Any
    #: the step that makes it; None: it is there when the run begins
    maker: Bound | None


@dataclass
class Bound:
    """A step, bound."""

    position: int
    step: Step
    inputs: list[Version]
    outputs: list[Version] = field(default_factory=list)
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


def _groups(bound: list[Bound]) -> list[list[Bound]]:
    """Steps that follow each other, call one operator with the same arguments, and are apart from each other."""
    groups: list[list[Bound]] = [[]]
    for b in bound:
        group = groups[-1]
        if b.calls is None or b.step.operator.calls_together is None:
            groups.append([])
        elif group and _joins(group, b):
            group.append(b)
        else:
            groups.append([b])
    return [group for group in groups if len(group) > 1]


def _joins(group: list[Bound], b: Bound) -> bool:
    first, one = group[0].step.operator, b.step.operator
    if type(first) is not type(one) or first.op.args != one.op.args or first.num_outputs != one.num_outputs:
        return False
    written = {id(t) for other in group for t in other.written}
    read = {id(t) for other in group for t in other.read}
    return written.isdisjoint(map(id, [*b.read, *b.written])) and read.isdisjoint(map(id, b.written))


class Writer:
    """Writes the function; each step stands on a line of its own."""

    def __init__(self, bound: list[Bound], workspace: Workspace) -> None:
        self.bound = bound
        self.names: dict[str, Any] = {
            "ws": workspace,
            "first": first,
            "Deferred": Deferred,
            "disown": disown,
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
        self.given: dict[int, Version] = {}
        #: last version of each blob in memory of the plan's
        self.own: dict[int, Version] = {}

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
        renewed = self._renewed()
        for v in self.own.values():
            v.blob._memory = v.blob._own = v.value
            v.blob._renewed = id(v.blob) in renewed
        for group in _groups(self.bound):
            self._join(group)
        self._chain()
        deferred = [b.deferred for b in self.bound if b.deferred is not None]
        lines = ["def run():", " " + self._guard(), " " + self._clear(deferred)]
        first_line = len(lines) + 1
        lines += [" " + self._line(b) for b in self.bound]
        exec(_compiled("\n".join([*lines, " return 1"])), self.names)
        run = self.names["run"]
        return Static(_one_at_a_time(_without_warnings(run)), run.__code__, first_line)

    def _join(self, group: list[Bound]) -> None:
        """Let the last of some steps do all their work, if the operator can."""
        together = group[-1].step.operator.calls_together
        made = None if together is None else together([b.read for b in group], [b.written for b in group])
        if made is not None:
            for b in group:
                b.calls = []
            group[-1].calls = made

    def _chain(self) -> None:
        """Let the last of steps that follow each other make their calls of machine code, where each has no others."""
        links: list[Link] = []
        steps: list[Bound] = []

        def close() -> None:
            if len(links) > 1:
                for b in steps:
                    b.calls = []
                steps[-1].calls = [call(Chain(links).bind())]
            links.clear()
            steps.clear()

        for b in self.bound:
            if b.calls is not None and (self._once(b) or not b.calls):
                continue
            mine = [function for function, _, _ in b.calls or () if isinstance(function, Link)]
            if b.deferred is not None or not mine or len(mine) < len(b.calls or ()):
                close()
                continue
            links += mine
            steps.append(b)
            if mine[-1].failed is not None:  # its complaint must come from its own line
                close()
        close()

    def _once(self, b: Bound) -> bool:
        """True if what a step makes is there already, and stays."""
        if not b.step.operator.same_every_run or not b.outputs:
            return False
        only_writer = all(self.writes[id(v.blob)] == 1 for v in b.outputs)
        return only_writer and not any(id(v.blob) in self.overwritten for v in b.outputs)

    def _renewed(self) -> set[int]:
        """Blobs whose memory every run writes before it reads it, and from which nothing is computed later."""
        found: set[int] = set()
        for b in self.bound:
            if b.calls is None or b.step.operator.same_every_run:
                continue
            lasting = b.step.operator.lasting_outputs
            found |= {id(v.blob) for k, v in enumerate(b.outputs) if k not in lasting}
        read_later = {id(v.blob) for b in self.bound if b.deferred is not None for v in b.inputs}
        return found - read_later - self.given.keys()

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

    def _line(self, b: Bound) -> str:
        if b.calls is None:
            return self._as_ever(b)
        if self._once(b):
            return "pass"
        parts = [self._call(f"{b.position}_{j}", call) for j, call in enumerate(b.calls)]
        for v in b.outputs:
            if self.writes[id(v.blob)] > 1:
                parts.append(f"{self._blob(v.blob)}._memory = {self._constant(f'o{b.position}', v.value)}")
        parts += self._disown(b)
        if b.deferred is not None:
            parts.append(self._defer(b))
        return "; ".join(parts) or "pass"

    def _disown(self, b: Bound) -> list[str]:
        """A blob that is overwritten where it is no longer holds what another plan put there."""
        written = {id(v.blob) for v in b.outputs}
        blobs = [x for x in b.step.outputs if id(x) not in written and id(x) not in self.own]
        return [f"disown({self._blob(blob)})" for blob in blobs if blob.__class__ is KeptBlob]

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

    def _read(self, b: Bound) -> list[str]:
        if b.escapes:
            return [f"{self._blob(blob)}.value" for blob in b.step.inputs]
        held = self.own.keys() | self.given.keys()
        return [f"{self._blob(v.blob)}.{'_memory' if id(v.blob) in held else 'value'}" for v in b.inputs]

    def _as_ever(self, b: Bound) -> str:
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

    def _defer(self, b: Bound) -> str:
        """Leave the last output, with copies of what may change before somebody looks."""
        i = b.position
        self.names[f"k{i}"] = b.step.kernel
        kept = [
            read
            if v.maker is not None and id(v.blob) not in self.overwritten
            else self._copy(f"c{i}_{k}", read, v)
            for k, (read, v) in enumerate(zip(self._read(b), b.inputs, strict=True))
        ]
        last = len(b.step.outputs) - 1
        return f"{self._blob(b.step.outputs[last])}.value = Deferred(k{i}, {last}, ({', '.join(kept)},))"

    def _copy(self, name: str, read: str, v: Version) -> str:
        """A copy, in memory that is there already where sizes stay: what was left at the last run is forgotten."""
        if read.endswith("._memory"):
            return f"{self._constant(name, empty_alike(v.value))}.copy_({read})"
        return f"{read}.clone()"


def _forget(blob: Blob) -> None:
    """Drop what was left to be computed and was not: what it would be computed from changes now."""
    if getattr(blob, "_memory", None).__class__ is Deferred:
        blob.value = EMPTY


def first(made: Any, count: int) -> Any:
    """The first ``count`` outputs of what a kernel made: more are dropped."""
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
