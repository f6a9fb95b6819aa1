"""One named cell of a workspace.

Owned here: what a blob holds and how it is shared with the user. Who calls it: workspace, plan.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def allow_deferred(self) -> None:
        """Let plans write a `Deferred` here from now on; nobody who reads will notice."""
        self._memory = self.value
        del self.value
        self.__class__ = LazyBlob

    def share(self) -> np.ndarray:
        """A numpy view of the blob's memory, valid as long as shape and type of the blob stay.

        Writing to the view writes to the blob. The blob must hold a CPU tensor.
        """
        self._memory = self.value.contiguous()
        del self.value
        self.__class__ = PinnedBlob
        return self._memory.numpy()


class Deferred:
    """A value that is computed when somebody looks at it: a kernel and what it is called with.

    What it is called with must not change until then, so whoever defers gives copies of what might.
    """

    __slots__ = ("_inputs", "_kernel", "_output")

    def __init__(self, kernel: Callable[..., Any], output: int, inputs: tuple[Any, ...]) -> None:
        self._kernel = kernel
        self._output = output
        self._inputs = inputs

    def compute(self) -> Any:
        """The value."""
        with torch.no_grad():
            return self._kernel(*self._inputs)[self._output]


class LazyBlob(Blob):
    """A blob that a plan may leave to be computed when somebody looks (`Deferred`).

    A blob becomes one in place (`Blob.allow_deferred`); reading ``value`` always gives a value.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        found = self._memory
        if isinstance(found, Deferred):
            found = self._memory = found.compute()
        return found

    @value.setter
    def value(self, new: Any) -> None:
        self._memory = new

    @property
    def empty(self) -> bool:
        return self._memory is EMPTY

    def allow_deferred(self) -> None:
        """It does already."""

    def share(self) -> np.ndarray:
        self._memory = self.value.contiguous()
        self.__class__ = PinnedBlob  # type: ignore[assignment]
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
        if isinstance(new, Deferred):
            new = new.compute()
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

    def allow_deferred(self) -> None:
        """Nothing to do: a pinned blob computes at once what it is given."""

    def share(self) -> np.ndarray:
        return self._memory.numpy()
