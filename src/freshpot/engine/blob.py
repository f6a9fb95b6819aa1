"""One named cell of a workspace.

Owned here: what a blob holds and how it is shared with the user. Who calls it: workspace, plan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class _Empty:
    """What a blob holds before anything was written to it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "nothing yet"


EMPTY = _Empty()


class Blob:
    """A named cell. ``value`` is a tensor, an array of strings, or any object (a database reader …).

    A plan rebinds ``value`` freely. Once memory was handed to the user (:meth:`share`), the blob is
    *pinned*: whatever is written to it goes into that same memory as long as shape and type stay,
    so that a view the user keeps stays true across runs.
    """

    __slots__ = ("_memory", "name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value: Any = EMPTY

    @property
    def empty(self) -> bool:
        """True if nothing was ever written to it."""
        return self.value is EMPTY

    @property
    def pinned(self) -> bool:
        """True if the user may hold a view of its memory."""
        return False

    def share(self) -> np.ndarray:
        """A numpy view of the blob's memory, valid as long as shape and type of the blob stay.

        Writing to the view writes to the blob. The blob must hold a CPU tensor.
        """
        self._memory = self.value.contiguous()
        del self.value
        self.__class__ = PinnedBlob
        return self._memory.numpy()


class PinnedBlob(Blob):
    """A blob whose memory the user may hold: writing keeps the memory where shape and type allow.

    A blob becomes one in place (`Blob.share`), so plans that are bound to it need not know.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        return self._memory

    @value.setter
    def value(self, new: Any) -> None:
        memory = self._memory
        if new is memory:
            return
        if (
            isinstance(new, torch.Tensor)
            and isinstance(memory, torch.Tensor)
            and new.shape == memory.shape
            and new.dtype == memory.dtype
            and new.device == memory.device
        ):
            memory.copy_(new)
        else:
            self._memory = new

    @property
    def pinned(self) -> bool:
        return True

    def share(self) -> np.ndarray:
        return self._memory.numpy()
