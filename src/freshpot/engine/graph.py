"""A net's work on a GPU as one graph: recorded once, then played with one launch a run.

Owned here: when steps are recorded and played, and which. Who calls it: `plan`, for the steps of one net; doors that
run several plans one after the other (a solver's forward and backward pass and its update), for those of all.

A GPU computes a small kernel faster than the host can ask for it. So steps whose memory stays where it is are handed
over together. The course of things:

1. some runs go as ever; it is noted which blobs hold other memory each time;
2. one run is *watched*: each step is called as ever, and what waits for the device, or takes something of the
   host's, is noted as running by itself: counters of iterations, schedules of learning rates, readers of databases …;
3. steps that run by themselves are moved before and behind the others where no blob forbids it; what is left in one
   stretch makes a piece, which is *captured* at the next run (`graph_piece`), and played from then on.

A piece is played only if its blobs hold what it was captured with, or what can be copied there. If not (another
shape, another device, a parameter that lies elsewhere), that run goes as ever; the piece is captured again where
memory moved, and all is watched again where shapes have changed for good; less and less often if it keeps happening.
Nothing else is assumed to stay: learning rates and iterations are inputs, random numbers go on, losses lie on the
device until somebody reads them.

``FRESHPOT_GRAPH``: ``1`` (the default), ``0``: everything runs as ever, ``verbose``: 1, and stderr hears what was
captured, what was not and why.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freshpot.engine import graph_record
from freshpot.engine.blob import Blob
from freshpot.engine.graph_piece import Given, Part, Piece, number_on, signature
from freshpot.engine.graph_record import Recorder, Watch
from freshpot.engine.kept import glance
from freshpot.errors import NetError

if TYPE_CHECKING:
    from freshpot.engine.plan import Plan

#: called with a plan and the error of one of its steps
Place = Callable[["Plan", NetError], None]

#: runs before steps are watched for the first time, and at most between two times
_FIRST_AFTER, _LAST_AFTER = 2, 4096
#: how often in a row a piece is captured again at once
_AT_ONCE_AGAIN = 4
#: runs in a row with other shapes after which they count as the new ones: the last batch of an epoch does not
_FOR_GOOD = 3
#: kernels from which on a piece is worth a launch of its own
_WORTH = 2

#: why nothing is captured any more in this process: a capture was lost
_given_up: str | None = None
#: one capture at a time in a process
_capturing = threading.Lock()


def of_plan(plan: Plan) -> Graph | None:
    """The graph of a plan's steps; None if they are not on a GPU that records, or it is switched off."""
    return of_plans([plan])


def of_plans(plans: Sequence[Plan], place: Place | None = None) -> Graph | None:
    """The graph of several plans that run one after the other, without any other work between.

    ``place`` is called with a plan and its error before that is raised.
    """
    if setting() == "0" or any(plan.workspace.inner for plan in plans):
        return None
    devices = {step.operator.device for plan in plans for step in plan.steps} - {_CPU}
    if len(devices) != 1:
        return None
    device = devices.pop()
    recorder = graph_record.recorder_for(device)
    return None if recorder is None else Graph(plans, device, recorder, place)


def setting() -> str:
    """What ``FRESHPOT_GRAPH`` says."""
    return os.environ.get("FRESHPOT_GRAPH", "1")


_CPU = torch.device("cpu")


class Graph:
    """The steps of some plans, on one device. ``run()`` runs them, or does nothing and returns False."""

    def __init__(
        self, plans: Sequence[Plan], device: torch.device, recorder: Recorder, place: Place | None = None
    ) -> None:
        self._name = " + ".join(dict.fromkeys(plan.name or "(no name)" for plan in plans))
        self._device = device
        self._recorder = recorder
        self._parts, self._failed = _parts(plans, place)
        self._wait = self._left = _FIRST_AFTER
        self._moves = self._strange = 0
        self._order: list[Part | Piece] | None = None
        #: what each blob held that a run began with, and those that moved
        self._held: dict[int, Any] = {}
        self._moved: dict[int, int] = {}
        self._first_read = _first_read(self._parts)
        self._lock = threading.Lock()

    @property
    def hopeless(self) -> bool:
        """True if nothing can be captured."""
        return self._left < 0

    @property
    def pieces(self) -> list[Piece]:
        """The pieces that there are, captured or not."""
        return [item for item in self._order or () if isinstance(item, Piece)]

    def run(self) -> bool:
        """Run the steps; False if they are to run as ever.

        Raises:
            NetError: as `Plan.run`.
        """
        if self._left < 0:
            return False
        if _given_up:
            self._forget()
            self._left = -1
            return False
        if not self._lock.acquire(False):
            return False
        try:
            self._note()
            if self._left > 0:
                self._left -= 1
                return False
            if self._order is None:
                self._watch()
                return True
            for item in self._order:
                if isinstance(item, Part):
                    self._run(item)
                else:
                    self._play(item)
            return True
        finally:
            self._lock.release()

    def _note(self) -> None:
        """See which blobs hold other memory than at the last run."""
        if self._order is not None:
            return
        for blob in self._first_read:
            now = glance(blob)
            before = self._held.get(id(blob), now)
            if before is not now and signature(before) == signature(now):
                self._moved[id(blob)] = self._moved.get(id(blob), 0) + 1
            self._held[id(blob)] = now

    def _run(self, part: Part) -> None:
        try:
            part.run()
        except Exception as error:
            self._failed(part, error)

    # ---- watching ----------------------------------------------------------------------------------
    def _watch(self) -> None:
        """Run all steps once, and see which can be captured."""
        self._held.clear()
        with self._recorder.aside():
            for part in self._parts:
                try:
                    self._watch_part(part)
                except Exception as error:
                    self._failed(part, error)
        self._order = self._pieces_of(_scheduled(self._parts))
        if not self.pieces:
            self._left = -1
        self._say_order()

    def _watch_part(self, part: Part) -> None:
        step = part.step
        if part.why is not None:
            part.run()
            return
        values = [blob.value for blob in step.inputs]
        part.seen = [signature(value) for value in values]
        part.why = part.why_not(values, self._device)
        if part.why is not None:
            part.deliver(*part.make(values))
            return
        given = [
            number_on(self._device, value) if part.is_number(k, value) else value
            for k, value in enumerate(values)
        ]
        with self._recorder.notices() as noticed, Watch(self._device) as watch:
            made, deferred = part.make(given)
        part.count = watch.count
        part.why = watch.why or next(iter(noticed), None)
        if part.why is None and not all(isinstance(value, Tensor) and not value.is_sparse for value in made):
            part.why = "it makes something else than tensors"
        part.deliver(made, deferred)

    def _pieces_of(self, groups: Iterable[list[Part]]) -> list[Part | Piece]:
        order: list[Part | Piece] = []
        for group in groups:
            if group[0].why is None and sum(part.count for part in group) >= _WORTH:
                order.append(Piece(group, self._device))
            else:
                order += group
        return order

    # ---- playing -----------------------------------------------------------------------------------
    def _play(self, piece: Piece) -> None:
        if self._order is None or (not piece.captured and not self._capture(piece)):
            for part in piece.parts:
                self._run(part)
            return
        given = piece.play()
        if given is None:
            self._strange = 0
            return
        if given.fits():
            self._capture_again(piece, given)
        else:
            self._strange += 1
        for part in piece.parts:
            self._run(part)
        if self._strange >= _FOR_GOOD:
            self._say(f"'{given.blob.name}' has another shape, type or device now: watched again")
            self._begin_again()

    def _capture_again(self, piece: Piece, given: Given) -> None:
        """A blob holds other memory than a piece was captured with: capture it again at the next run."""
        self._moves += 1
        self._moved[id(given.blob)] = self._moved.get(id(given.blob), 0) + 1
        self._say(f"'{given.blob.name}' lies elsewhere now: captured again")
        self._recorder.wait()
        piece.drop()
        if self._moves > _AT_ONCE_AGAIN:
            self._begin_again()

    def _begin_again(self) -> None:
        """Watch all again, later if that happens often."""
        self._moves += 1
        self._strange = 0
        if self._moves > _AT_ONCE_AGAIN:
            self._wait = min(2 * self._wait, _LAST_AFTER)
        self._forget()
        self._left = self._wait

    def _forget(self) -> None:
        """Drop the recordings, and what was seen of the steps."""
        if self.pieces:
            self._recorder.wait()
        for piece in self.pieces:
            piece.drop()
        self._order = None
        for part in self._parts:
            part.forget()

    def _capture(self, piece: Piece) -> bool:
        """Record a piece; False if that cannot be now."""
        global _given_up
        if not _capturing.acquire(False):
            return False
        try:
            moving = {key for key, times in self._moved.items() if times > 1}
            moving |= {id(blob) for part in self._parts if part.why for blob in part.step.outputs}
            captured = piece.capture(self._recorder, moving)
        except Exception as error:
            _given_up = f"a capture failed ({type(error).__name__}: {error})"
            self._say(f"{_given_up}; from now on everything runs as ever", always=True)
            self._left = -1
            piece.drop()
            return False
        finally:
            _capturing.release()
        if not captured:
            self._begin_again()
        return captured

    # ---- words -------------------------------------------------------------------------------------
    def _say(self, words: str, always: bool = False) -> None:
        if always or setting() == "verbose":
            print(f"freshpot graph: {self._name}: {words}", file=sys.stderr)

    def _say_order(self) -> None:
        alone = [f"{part.step.operator.op.type} ({part.why})" for part in self._parts if part.why]
        count = sum(len(piece.parts) for piece in self.pieces)
        self._say(
            f"{count} of {len(self._parts)} operators in {len(self.pieces)} graphs on {self._device}"
            + (f"; by themselves: {', '.join(dict.fromkeys(alone))}" if alone else "")
        )


def _parts(plans: Sequence[Plan], place: Place | None) -> tuple[list[Part], Callable[[Part, Exception], Any]]:
    """The steps of the plans, and whom to tell of a step that failed."""
    parts: list[Part] = []
    owners: dict[int, Plan] = {}
    later = [{id(b) for s in plan.steps for b in (*s.inputs, *s.outputs)} for plan in plans]
    for i, plan in enumerate(plans):
        deferring = plan.deferring()
        for step in plan.steps:
            shorter = deferring(step)
            if shorter is not None and any(id(step.outputs[-1]) in ids for ids in later[i + 1 :]):
                shorter = None
            parts.append(Part(step, shorter, plan.workspace))
            owners[id(parts[-1])] = plan

    def failed(part: Part, error: Exception) -> Any:
        try:
            owners[id(part)].fail(part.step, error)
        except NetError as explained:
            if place is not None:
                place(owners[id(part)], explained)
            raise

    return parts, failed


def _first_read(parts: Sequence[Part]) -> list[Blob]:
    """Blobs whose values a run begins with."""
    found: dict[int, Blob] = {}
    written: set[int] = set()
    for part in parts:
        found |= {id(b): b for b in part.step.inputs if id(b) not in written}
        written |= {id(b) for b in part.step.outputs}
    return list(found.values())


def _scheduled(parts: Sequence[Part]) -> list[list[Part]]:
    """The steps in an order that computes the same, those that are captured together as far as may be.

    Each list holds steps that are captured, or one that is not.
    """
    first, rest = _apart(parts)
    last, middle = _apart(rest[::-1])
    groups: list[list[Part]] = [[part] for part in first]
    for part in middle[::-1]:
        if part.why is None and groups and groups[-1][0].why is None:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups + [[part] for part in last[::-1]]


def _apart(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """Steps that are not captured and may as well run before all that stand before them here; and the others."""
    first: list[Part] = []
    rest: list[Part] = []
    read: set[int] = set()
    written: set[int] = set()
    closed = False
    for part in parts:
        ins, outs = ({id(b) for b in blobs} for blobs in (part.step.inputs, part.step.outputs))
        closed = closed or part.stays
        if (
            part.why is not None
            and not closed
            and ins.isdisjoint(written)
            and outs.isdisjoint(written)
            and outs.isdisjoint(read)
        ):
            first.append(part)
        else:
            rest.append(part)
            read |= ins
            written |= outs
    return first, rest
