"""One named cell of a workspace.

Owned here: what a blob holds and how it is shared with the user. Who calls it: workspace, plan.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from freshpot.ops.exposure import exposed, note_views, same_memory

if TYPE_CHECKING:
    from freshpot.engine.mirror import Mirror

#: bytes from which on memory is fresh pages, and what tensors are aligned to
_PAGES, _ALIGNED = 1 << 17, 64


def zeros(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Zeros on the CPU that take no memory of the machine's until somebody touches them, if they are many."""
    size = math.prod(shape) * dtype.itemsize
    if size < _PAGES:
        return torch.zeros(shape, dtype=dtype)
    room = np.zeros(size + _ALIGNED, np.uint8)  # fresh pages, which PyTorch would write zeros to
    begin = -room.__array_interface__["data"][0] % _ALIGNED
    return torch.from_numpy(room[begin : begin + size]).view(dtype).view(shape)


def _zeros_as(like: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    """Zeros of like's type, where it is."""
    return zeros(dims, like.dtype) if like.is_cpu else like.new_zeros(dims)


class Filling(Protocol):
    """What is to be written to a blob's memory, unless it is written over before."""

    def now(self) -> None:
        """Write it, if it is not written yet; from several threads at once, too."""

    def drop(self) -> None:
        """It will never be seen."""


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
    so that a view the user keeps stays true across runs. On a device other than the CPU the memory that
    is handed out is a mirror of the blob's (`engine.mirror`).
    """

    __slots__ = ("_filling", "_memory", "_mirror", "_own", "_renewed", "_views", "name", "value")

    #: of an `UnfilledBlob`: who fills its memory
    _filling: Filling
    _memory: Any
    _mirror: Mirror
    #: of a `KeptBlob`: its memory, as long as nobody else may hold it
    _own: Any
    #: of a `KeptBlob`: True if whoever owns its memory writes it anew in every run and relies on nothing in it
    _renewed: bool
    #: the arrays over pinned memory from which all the users' views are cut
    _views: list[weakref.ref[np.ndarray]]

    def __init__(self, name: str) -> None:
        self.name = name
        self._own = None
        self._renewed = False
        self.value: Any = EMPTY

    @property
    def empty(self) -> bool:
        """True if nothing was ever written to it."""
        return self.value is EMPTY

    def clear(self) -> None:
        """Hold nothing."""
        self.value = EMPTY

    @property
    def pinned(self) -> bool:
        """True if the user may hold a view of its memory."""
        return False

    @property
    def peek(self) -> Any:
        """The value, for its shape, type and device alone: the numbers may be out of date."""
        return self.value

    def on_cpu(self) -> torch.Tensor:
        """The value as a CPU tensor, to be read at once: it is no copy where it is there already."""
        return self.value.cpu()

    @property
    def writable(self) -> Any:
        """The value, for somebody who changes it in place."""
        return self.value

    @property
    def overwritten(self) -> Any:
        """The value, for somebody who writes to all of it in place: what it held need not be there."""
        return self.writable

    def reshape(self, dims: tuple[int, ...]) -> None:
        """Change a tensor's shape: what it holds stays where the count stays, else it becomes zeros."""
        old = self.value
        self.value = old.reshape(dims) if old.numel() == math.prod(dims) else _zeros_as(old, dims)

    def viewed_as(self, dims: tuple[int, ...]) -> Blob:
        """A blob over the same memory, which stays where it is from now on, in another shape of that count."""
        self.share()
        return self.viewed_as(dims)  # by now it is of another class

    def allow_deferred(self) -> None:
        """Let plans write a `Deferred` here from now on; nobody who reads will notice."""
        self._memory = self.value
        del self.value
        self.__class__ = LazyBlob

    def hold(self, deferred: Deferred) -> bool:
        """Hold a value that is computed when somebody looks; False if the user holds the memory, which follows now."""
        self.allow_deferred()
        return self.hold(deferred)  # by now it is of another class

    def leave(self, kernel: Callable[..., Any], inputs: tuple[Any, ...]) -> None:
        """Leave the value, which is like the first input, to be computed when somebody looks: what the kernel makes
        first of the inputs, which must not change until then."""
        self.allow_deferred()
        self.value = Deferred(kernel, 0, inputs, like=inputs[0])

    def share(self) -> np.ndarray:
        """A numpy view of the blob's memory, valid as long as shape and type of the blob stay.

        Writing to the view writes to the blob. The blob must hold a tensor.
        """
        memory = self.value
        if memory.device.type == "cpu":
            self._pin(memory.contiguous())
        else:
            from freshpot.engine.mirror import mirror

            mirror(self)
        return self.share()

    def _pin(self, memory: torch.Tensor) -> None:
        if self.__class__ is Blob:
            del self.value
        self._memory, self._views = memory, []
        self.__class__ = PinnedBlob


class Deferred:
    """A value that is computed when somebody looks at it: a kernel and what it is called with.

    What it is called with must not change until then, so whoever defers gives copies of what might. ``like``: a
    tensor of the value's shape and type, for those who ask for nothing else.
    """

    __slots__ = ("_inputs", "_kernel", "_output", "like")

    def __init__(
        self,
        kernel: Callable[..., Any],
        output: int,
        inputs: tuple[Any, ...],
        like: torch.Tensor | None = None,
    ) -> None:
        self.like = like
        self._kernel = kernel
        self._output = output
        self._inputs = inputs

    def compute(self) -> Any:
        """The value."""
        with torch.no_grad():
            return self._kernel(*self._inputs)[self._output]


def _zeros(like: torch.Tensor, dims: tuple[int, ...]) -> tuple[torch.Tensor]:
    return (_zeros_as(like, dims),)


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

    @property
    def peek(self) -> Any:
        found = self._memory
        return found.like if isinstance(found, Deferred) and found.like is not None else self.value

    def allow_deferred(self) -> None:
        """It does already."""

    def reshape(self, dims: tuple[int, ...]) -> None:
        like = self._memory.like if isinstance(self._memory, Deferred) else None
        if like is None or like.numel() == math.prod(dims):
            super().reshape(dims)
        else:  # what was not computed is not wanted any more
            self.value = Deferred(_zeros, 0, (like, dims), like=like.new_zeros(()).expand(dims))

    def hold(self, deferred: Deferred) -> bool:
        if self._memory is not deferred:
            self.value = deferred
        return True


def view_of(memory: torch.Tensor, views: list[weakref.ref[np.ndarray]]) -> np.ndarray:
    """A numpy view of a CPU tensor. ``views`` tells later if the user keeps this one, or a part of it."""
    root = next((found for view in views if (found := view()) is not None), None)
    if root is None:
        root = memory.numpy()
        views[:] = [weakref.ref(root)]
    note_views(memory, views)
    return root.reshape(memory.shape)


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
            self._memory = new.contiguous() if isinstance(new, torch.Tensor) else new
            self._views = []

    @property
    def pinned(self) -> bool:
        return True

    def allow_deferred(self) -> None:
        """Nothing to do: a pinned blob computes at once what it is given."""

    def hold(self, deferred: Deferred) -> bool:
        """A pinned blob whose views are all gone is pinned no more."""
        if self.__class__ is not PinnedBlob or exposed(self._memory) or any(view() for view in self._views):
            return False
        self.__class__ = LazyBlob  # type: ignore[assignment]
        self.value = deferred
        return True

    def reshape(self, dims: tuple[int, ...]) -> None:
        if self._memory.numel() == math.prod(dims):
            old, self._memory = self._memory, self._memory.reshape(dims)
            same_memory(old, self._memory)  # so views of it stay true
        else:
            self._memory, self._views = _zeros_as(self._memory, dims), []

    def viewed_as(self, dims: tuple[int, ...]) -> Blob:
        made = Blob(self.name)
        made._pin(self._memory.view(dims))
        same_memory(self._memory, made._memory)
        return made

    def share(self) -> np.ndarray:
        memory = self._memory
        if memory.device.type != "cpu":  # a net on a device wrote to it
            return super().share()
        return view_of(memory, self._views)


class UnfilledBlob(PinnedBlob):
    """A pinned blob whose memory is filled when somebody looks at it; if it is written over before, never."""

    __slots__ = ()

    def fill(self) -> None:
        """Let the memory hold what it shall."""
        self._filling.now()
        self.__class__ = PinnedBlob  # type: ignore[assignment]

    def _written_over(self) -> None:
        if self.__class__ is UnfilledBlob:
            self._filling.drop()
            self.__class__ = PinnedBlob  # type: ignore[assignment]

    @property
    def value(self) -> Any:
        self.fill()
        return self.value

    @value.setter
    def value(self, new: Any) -> None:
        self._written_over()
        self.value = new

    @property
    def peek(self) -> Any:
        return self._memory

    @property
    def overwritten(self) -> Any:
        self._written_over()
        return self.writable

    def hold(self, deferred: Deferred) -> bool:
        self._written_over()
        return self.hold(deferred)

    def reshape(self, dims: tuple[int, ...]) -> None:
        self.fill()
        self.reshape(dims)

    def viewed_as(self, dims: tuple[int, ...]) -> Blob:
        self.fill()
        return self.viewed_as(dims)

    def share(self) -> np.ndarray:
        self.fill()
        return self.share()


def leave_unfilled(blob: Blob, filling: Filling) -> None:
    """Let a blob that is pinned to memory, whose views nobody holds, be filled when somebody looks."""
    blob._filling = filling
    blob.__class__ = UnfilledBlob
