"""Where a net computes: its blobs follow `caffe.set_mode_cpu` and `set_mode_gpu`.

Owned here: moving a net's blobs to the device of the mode, and views that users keep of them there. Who calls it:
`_net.net` and its layers, the solvers.

The mode counts at each pass and each update, as in the original. A net is made on the CPU, where its fillers
draw (so a seed gives the same weights everywhere), and moves when it first runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from caffe import _mode
from freshpot.engine import Workspace, mirror
from freshpot.engine.blob import Blob as Cell
from freshpot.net.op import Device

_numbers = itertools.count(1)
#: goes up when the blobs of any net moved or were linked to another net's: nets look after theirs then
_changes = 0


def blobs_changed() -> None:
    """Note that a net's blobs may be on another device than the net: it was linked to another net's, or moved."""
    global _changes
    _changes = next(_numbers)


class Site:
    """The device that a net is on."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._checked = 0
        self._calls = 0
        self.device: torch.device = torch.device("cpu")
        #: the same as operators are told it; None: the CPU
        self.option: Device | None = None
        #: blobs that stay on the CPU, since only the CPU reads them
        self.on_host: set[str] = set()

    def is_right(self) -> bool:
        """True if the net is where the mode wants it."""
        return self.device == _mode.place and self._checked == _changes

    def follow(self, shapeless: Iterable[torch.Tensor]) -> bool:
        """Move the blobs to the mode's device, but for those without a shape; True if the device is another now."""
        before, self.device, self.option = self.device, _mode.place, _mode.operators_device()
        left_out = {id(value) for value in shapeless}
        moving = [
            blob
            for blob in self._workspace.blobs()
            if blob.name not in self.on_host and id(blob.peek) not in left_out
        ]
        if before != self.device:
            blobs_changed()
        mirror.move(moving, self.device)
        self._checked = _changes
        return before != self.device

    @contextmanager
    def one_call(self) -> Iterator[None]:
        """Around many passes between which no code of the user's runs, but where `settle` is called."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self.finish()

    def finish(self) -> None:
        """At the end of a pass: `settle`, unless more passes follow."""
        if not self._calls:
            self.settle()

    def settle(self, blobs: Iterable[Cell] | None = None) -> None:
        """Before the user's code goes on: views that the user keeps (of these blobs, or any) show what is there."""
        if self.device.type != "cpu":
            mirror.settle(self._workspace.blobs() if blobs is None else blobs)
