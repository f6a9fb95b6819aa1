"""Whether a net's parameters are what they were, for many at a time.

Owned here: `Watch`. Who calls it: `lowering`, at each run. What it cannot tell at once is left to the nodes' `Refresh`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from freshpot.engine.blob import Blob
from freshpot.engine.blocked.kinds import Refresh
from freshpot.ops.exposure import exposed, version


class Watch:
    """The parameters of a net's nodes.

    Args:
        refreshes: what brings the nodes up to date with them.
    """

    def __init__(self, refreshes: Sequence[Refresh]) -> None:
        self._refreshes = refreshes
        self._ready = False
        #: blobs, and what they held: handing out a view counts as writing (`ops.exposure`)
        self._known: list[tuple[Blob, Tensor, int]] = []
        #: of nodes with parameters that may be written to unseen
        self._unsure: list[Refresh] = []

    def unchanged(self) -> bool:
        """True if nothing changed since `refresh`; False: that is not sure."""
        if not self._ready:
            return False
        for blob, tensor, at in self._known:
            if blob.value is not tensor or tensor._version != at:
                return False
        return all(refresh() for refresh in self._unsure)

    def refresh(self) -> bool:
        """Bring all nodes up to date; False if one cannot be."""
        self._ready = False
        if not all(refresh() for refresh in self._refreshes):
            return False
        self._known, self._unsure = [], []
        for refresh in self._refreshes:
            held: list[tuple[Blob, Any]] = [(blob, blob.value) for blob in refresh.blobs]
            if any(version(tensor) is None or exposed(tensor) for _, tensor in held):
                self._unsure.append(refresh)
            else:
                self._known += [(blob, tensor, tensor._version) for blob, tensor in held]
        self._ready = True
        return True
