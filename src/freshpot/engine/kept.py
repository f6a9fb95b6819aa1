"""Blobs that keep their memory from run to run.

Owned here: knowing whether anybody else may hold a blob's memory. Who calls it: workspaces (feeding), the
runs of plans in memory of their own (`static`) and of recordings on a GPU (`graph`), doors that copy values out.

Memory may be written again only if nobody relies on what it held. So a `KeptBlob` notices who reads it:
whoever reads ``value`` may keep the tensor, and from then on the memory is theirs too; the next run or feed
takes fresh memory. What copies a value and lets go of it at once reads through `glance`, which counts for nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from freshpot.engine.blob import EMPTY, Blob, Deferred, LazyBlob, PinnedBlob


class KeptBlob(LazyBlob):
    """A blob that gives its memory up as soon as somebody reads or writes ``value``.

    ``_own`` is its memory while that is nobody else's: the tensor, if a plan made it, which alone may write
    to it again; the array over which the tensor lies, if it was fed, which feeding writes to again.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        self._own = None
        found = self._memory
        if isinstance(found, Deferred):
            found = self._memory = found.compute()
        return found

    @value.setter
    def value(self, new: Any) -> None:
        self._own = None
        self._memory = new

    @property
    def peek(self) -> Any:
        found = self._memory
        return found.like if isinstance(found, Deferred) and found.like is not None else glance(self)

    def on_cpu(self) -> torch.Tensor:
        return glance(self).cpu()

    def share(self) -> np.ndarray:
        self._own = None
        return super().share()


class PlayedBlob(KeptBlob):
    """A blob that holds memory of a recording on a GPU (`graph`), which the next run writes to again.

    So whoever reads ``value`` gets a copy, which the blob holds from then on; and with that, or with any other value,
    it is a `KeptBlob` again until the recording is played.
    """

    __slots__ = ()

    @property
    def value(self) -> Any:
        found = self._memory
        if isinstance(found, torch.Tensor):
            found = found.clone()
        self.value = found
        return found

    @value.setter
    def value(self, new: Any) -> None:
        _own_again(self).value = new

    def share(self) -> np.ndarray:
        return _own_again(self).share()  # of a tensor on a device only copies get out


def _own_again(blob: Blob) -> Blob:
    """The blob, no longer a recording's."""
    blob.__class__ = KeptBlob
    return blob


def play_into(blob: Blob, value: Any) -> None:
    """Let a blob hold memory of a recording's."""
    if isinstance(blob, KeptBlob) or keep(blob):
        blob.__class__ = PlayedBlob
        blob._memory, blob._own = value, None
    else:
        blob.value = value  # the user sees it: it is a mirror


def keep(blob: Blob) -> bool:
    """Make a blob a `KeptBlob`; False if it cannot become one, because the user holds its memory."""
    if isinstance(blob, (KeptBlob, PinnedBlob)):
        return isinstance(blob, KeptBlob)
    if type(blob) is Blob:
        slot = Blob.__dict__["value"]
        blob._memory = slot.__get__(blob)
        blob.__class__ = KeptBlob
        blob._memory = slot.__get__(blob)  # what another thread may just have written
        slot.__delete__(blob)
    elif type(blob) is LazyBlob:
        blob.__class__ = KeptBlob
    return isinstance(blob, KeptBlob)


def glance(blob: Blob) -> Any:
    """What a blob holds, for somebody who copies it and lets go of it before anything runs."""
    if isinstance(blob, KeptBlob) and blob._memory.__class__ is not Deferred:
        return blob._memory
    return blob.value


def disown(blob: Blob) -> None:
    """A blob was overwritten where it is: its owner must not count on what it wrote there."""
    if not blob._renewed:
        blob._own = None


def copied(blob: Blob) -> np.ndarray | None:
    """A copy of what a blob holds, if that is a tensor on the CPU or a GPU; else None."""
    own = blob._own
    if own.__class__ is np.ndarray:
        return own.copy()
    found = glance(blob)
    if not isinstance(found, torch.Tensor) or found.requires_grad:
        return None
    if found.device.type != "cpu":
        return found.cpu().numpy()
    return found.numpy().copy() if found.__class__ is torch.Tensor else None


def feed_again(blob: Blob, array: np.ndarray) -> bool:
    """Copy an array into the memory that was fed before, if nobody else holds it and the array is alike."""
    own = blob._own
    if own.__class__ is np.ndarray and own.dtype is array.dtype and own.shape == array.shape:
        own[...] = array
        return True
    return False


def feed_kept(blob: Blob, tensor: torch.Tensor) -> None:
    """Put a fed CPU tensor, which nobody else holds, into a blob, for `feed_again`."""
    if isinstance(blob, KeptBlob) or (blob.value is EMPTY and keep(blob)):
        blob.value = tensor
        blob._own = tensor.numpy()
    else:
        blob.value = tensor
