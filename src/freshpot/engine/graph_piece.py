"""Steps that are captured together: what they read, what they write, and playing them again.

Owned here: the memory of a recording and how it meets the blobs. Who calls it: `graph`.

A recording reads and writes the addresses that it was captured with. Before it is played, each blob that it reads
must hold that very memory; a blob whose memory moves from run to run (a batch that is fed) is *staged*: copied to
memory of the recording's. So are numbers that lie on the host (a learning rate, a count of iterations): a recording
never holds a number that may change. Afterwards blobs that it made hold memory of the recording's, and become
`PlayedBlob`: whoever reads one through ``value`` gets a copy, since the next run writes there again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from freshpot.engine.blob import Blob, Deferred, LazyBlob
from freshpot.engine.graph_record import Recorder
from freshpot.engine.kept import KeptBlob, PlayedBlob, glance, play_into
from freshpot.ops._operator import Operator, expand
from freshpot.ops.remade import Remade

if TYPE_CHECKING:
    from freshpot.engine.plan import Step
    from freshpot.engine.workspace import Workspace


class Part:
    """A step of a graph."""

    __slots__ = ("count", "numbers", "seen", "shorter", "step", "why", "workspace")

    def __init__(self, step: Step, shorter: Operator | None, workspace: Workspace) -> None:
        self.step = step
        #: makes all outputs but the last, which is left until somebody looks; None: the step makes them all
        self.shorter = shorter
        self.workspace = workspace
        self.forget()
        #: inputs of one number that the kernel takes on the device, too
        ports = expand(step.operator.inputs, len(step.inputs)) if step.operator.device_numbers else ()
        self.numbers = {k for k, port in enumerate(ports) if port.name in step.operator.device_numbers}

    def forget(self) -> None:
        """Forget what was seen when it was watched."""
        #: why it is not captured; None: it is
        self.why: str | None = _why_never(self.step.operator)
        #: kernels that it takes, and what it read, when it was watched
        self.count = 0
        self.seen: list[Any] = []

    @property
    def stays(self) -> bool:
        """True if it may do more than its blobs show: then nothing is run earlier or later because of it."""
        return self._runs and not self.step.operator.own_blobs_only

    @property
    def _runs(self) -> bool:
        """True if it has no kernel."""
        return self.step.operator.run is not None and self.step.operator.recorded is None

    def why_not(self, values: Sequence[Any], device: torch.device) -> str | None:
        """Why it cannot be captured with these inputs."""
        for k, value in enumerate(values):
            if not isinstance(value, Tensor):
                return f"'{self.step.inputs[k].name}' is no tensor"
            if value.is_sparse:
                return f"'{self.step.inputs[k].name}' is sparse"
            if value.device != device and not self.is_number(k, value):
                return f"'{self.step.inputs[k].name}' is on the host"
        return None

    def is_number(self, k: int, value: Tensor) -> bool:
        """True if input k lies on the host and is to be given to the kernel on the device."""
        return k in self.numbers and value.device.type == "cpu" and value.numel() == 1

    def make(self, values: Sequence[Any], lasting: Collection[int] = ()) -> tuple[list[Any], Deferred | None]:
        """Call the kernel: what it makes, and the last output if that is left until somebody looks.

        ``lasting``: inputs that stay as they are until then.
        """
        step = self.step
        if self.shorter is None:
            made, deferred = (step.operator.recorded or step.kernel)(*values), None
        else:
            made = self.shorter.kernel(*values)
            kept = tuple(v if k in lasting else v.clone() for k, v in enumerate(values))
            deferred = Deferred(step.kernel, len(step.outputs) - 1, kept)
        made = list(made) if isinstance(made, (tuple, list)) else [made]
        return made[: len(step.outputs) - (deferred is not None)], deferred

    def run(self) -> None:
        """Run it as ever."""
        step = self.step
        if step.operator.run is not None:
            step.operator.run(self.workspace, step.inputs, step.outputs)
            return
        self.deliver(*self.make([blob.value for blob in step.inputs]))

    def deliver(self, made: list[Any], deferred: Deferred | None) -> None:
        """Put what was made into the blobs."""
        for blob, value in zip(self.step.outputs, made, strict=False):
            blob.value = value
        if deferred is not None:
            leave(self.step.outputs[-1], deferred)


def _why_never(operator: Operator) -> str | None:
    if operator.run is not None and operator.recorded is None:
        return "it works on the workspace"
    if operator.remembers:
        return "it remembers its earlier runs"
    if any(isinstance(value, Remade) for value in vars(operator).values()):
        return "it keeps what it made of parameters"
    return None


def signature(value: Any) -> Any:
    """What of a value must stay for a recording to stay right."""
    return (value.shape, value.dtype, value.device) if isinstance(value, Tensor) else None


def leave(blob: Blob, deferred: Deferred) -> None:
    """Leave a blob to be computed when somebody looks."""
    if not isinstance(blob, LazyBlob):
        blob.allow_deferred()
    blob.value = deferred


def number_on(device: torch.device, value: Tensor) -> Tensor:
    """A number of the host's, on a device: no copy, so nothing waits."""
    return torch.zeros(value.shape, dtype=value.dtype, device=device).fill_(value.item())


@dataclass(slots=True)
class Given:
    """A blob that is there when the piece begins."""

    blob: Blob
    #: what the recording reads
    memory: Tensor
    #: True if that is the recording's own, to which the blob's value is copied
    staged: bool
    #: of a number that lies on the host: what it was the last time
    number: float | int | None = None
    #: True if the steps write to it where it is
    changed: bool = False

    def take(self, value: Any) -> bool:
        """Bring the recording's memory up to date; False if that cannot be."""
        memory = self.memory
        if not isinstance(value, Tensor) or value.shape != memory.shape or value.dtype != memory.dtype:
            return False
        if self.number is not None:
            if value.device.type != "cpu":
                return False
            now = value.item()
            if now != self.number:
                memory.fill_(now)
                self.number = now
            return True
        if not self.staged or value.device != memory.device:
            return False
        memory.copy_(value)
        return True

    def fits(self) -> bool:
        """True if shape and type of what the blob holds are still those that were captured."""
        value = self.blob.peek
        return (
            isinstance(value, Tensor)
            and value.shape == self.memory.shape
            and value.dtype == self.memory.dtype
            and (value.device == self.memory.device or self.number is not None)
        )


def _nothing() -> None:
    """What a recording does that is not there."""


class Piece:
    """Parts that follow each other on one device. `capture`, then `play` as often as blobs allow it."""

    def __init__(self, parts: Sequence[Part], device: torch.device) -> None:
        self.parts = parts
        self.count = sum(part.count for part in parts)
        self._device = device
        self._givens: list[Given] = []
        self._outputs: list[tuple[Blob, Any]] = []
        self._left: list[tuple[Blob, Deferred]] = []
        self._written: list[Tensor] = []
        self._replay: Callable[[], None] = _nothing
        #: True if there is a recording
        self.captured = False

    def drop(self) -> None:
        """Forget the recording; blobs keep what they hold."""
        self._replay, self.captured = _nothing, False
        self._givens, self._outputs, self._left, self._written = [], [], [], []

    def capture(self, recorder: Recorder, moving: set[int]) -> bool:
        """Record the parts; False if a blob holds something else than when they were watched.

        ``moving``: blobs, by identity, that hold other memory at every run.
        """
        givens = self._find_givens(moving)
        if givens is None:
            return False
        now: dict[int, Any] = {key: given.memory for key, given in givens.items()}
        blobs: dict[int, Blob] = {}
        left: list[tuple[Blob, Deferred]] = []
        rewritten = self._rewritten()

        def work() -> None:
            for part in self.parts:
                step = part.step
                lasting = [k for k, b in enumerate(step.inputs) if id(b) in blobs and id(b) not in rewritten]
                made, deferred = part.make([now[id(blob)] for blob in step.inputs], lasting)
                for blob, value in zip(step.outputs, made, strict=False):
                    held = value is not now.get(id(blob)) and any(value is g.memory for g in givens.values())
                    now[id(blob)] = value.clone() if held else value  # the given blob may move on
                    blobs[id(blob)] = blob
                if deferred is not None:
                    left.append((step.outputs[-1], deferred))

        generators = {id(g): g for part in self.parts if (g := part.step.operator.generator) is not None}
        with torch.no_grad():
            replay = recorder.capture(work, list(generators.values()))
        for key in rewritten & givens.keys():
            givens[key].changed = True
        self._outputs = []
        for key, blob in blobs.items():
            given = givens.get(key)
            if given is None or given.staged or now[key] is not given.memory:
                self._outputs.append((blob, now[key]))
        self._givens, self._left = list(givens.values()), left
        written = [value for _, value in self._outputs] + [g.memory for g in self._givens if g.changed]
        self._written = list({id(t): t for t in written if isinstance(t, Tensor)}.values())
        self._replay, self.captured = replay, True
        return True

    def _find_givens(self, moving: set[int]) -> dict[int, Given] | None:
        found: dict[int, Given] = {}
        written: set[int] = set()
        for part in self.parts:
            for k, blob in enumerate(part.step.inputs):
                if id(blob) in written or id(blob) in found:
                    continue
                value = glance(blob)
                if signature(value) != part.seen[k]:
                    return None
                if part.is_number(k, value):
                    found[id(blob)] = Given(blob, number_on(self._device, value), True, value.item())
                else:
                    staged = id(blob) in moving and blob.__class__ is not PlayedBlob
                    found[id(blob)] = Given(blob, value.clone() if staged else value, staged)
            written |= {id(blob) for blob in part.step.outputs}
        return found

    def _rewritten(self) -> set[int]:
        """Blobs that a step writes to where they are."""
        found: set[int] = set()
        for part in self.parts:
            if part.step.overwrites:
                found |= {id(b) for b in part.step.inputs} & {id(b) for b in part.step.outputs}
        return found

    def play(self) -> Given | None:
        """Run the recording. If a blob holds what it cannot take, do nothing and return that one."""
        for given in self._givens:
            value = glance(given.blob)
            if value is not given.memory and not given.take(value):
                return given
        self._replay()
        for blob, value in self._outputs:
            play_into(blob, value)
        for given in self._givens:
            if given.changed and not given.staged and not isinstance(given.blob, KeptBlob):
                given.blob.value = given.memory  # a mirror notes that its device's side is newer
        for blob, deferred in self._left:
            leave(blob, deferred)
        increment_version(self._written)
        return None
