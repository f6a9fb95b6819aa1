"""Blobs on a device whose values the user sees, and writes, in the host's memory.

Owned here: the two sides of such a blob, which of them is newer, the copies between them, and moving blobs
from device to device. Who calls it: `Blob.share`, and doors whose users hold numpy views.

As in Caffe's SyncedMemory, nothing is copied before somebody looks. A host view that is handed out may be
written to unseen, so from then on the host's side counts as newer, until a kernel has read it. What is held
here, and was not there, is a view that the user *keeps*: `settle`, called before the user's code goes on,
brings it up to date and lets it count as newer again. So a kept view shows what was computed and takes what
is written, as on the CPU; it costs a copy each way. A view that was dropped costs nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.data.pinned import copy_to
from freshpot.engine.blob import Blob, Deferred, PinnedBlob, UnfilledBlob, view_of
from freshpot.ops.exposure import note_views

#: which side of a mirror is newer
HOST, DEVICE, NEITHER = "host", "device", "neither"

_CPU = torch.device("cpu")


class Mirror:
    """One memory with two sides: a tensor on the device, and the host's copy of it, made when asked for."""

    __slots__ = ("device", "host", "newer", "shared", "views")

    def __init__(self, device: Tensor) -> None:
        self.device = device
        #: flat, so that it outlives a change of shape
        self.host: Tensor | None = None
        self.newer = DEVICE
        #: True if several blobs are views of the device's side, which must stay where it is then
        self.shared = False
        #: the arrays over the host's side from which all the users' views are cut
        self.views: list[weakref.ref[np.ndarray]] = []

    @property
    def held(self) -> bool:
        """True if the user keeps a view."""
        self.views = [view for view in self.views if view() is not None]
        return bool(self.views)

    def upload(self) -> None:
        """Bring the device's side up to date."""
        if self.newer == HOST and self.host is not None:
            copy_to(self.device, self.host.view(self.device.shape))
            self.newer = NEITHER

    def download(self) -> Tensor:
        """Bring the host's side up to date; returns it, flat."""
        if self.host is None:
            self.host = torch.empty(self.device.numel(), dtype=self.device.dtype)
        if self.newer == DEVICE:
            self.host.view(self.device.shape).copy_(self.device)
            self.newer = NEITHER
        return self.host

    def view(self, shape: torch.Size) -> np.ndarray:
        """A view of the host's side, which counts as newer from now on."""
        host = self.download()
        self.newer = HOST
        return view_of(host.view(shape), self.views)


class MirroredBlob(Blob):
    """A blob on a device that was shown to the user. A blob becomes one in place, and a pinned one when it moves.

    Reading ``value`` gives the device's side, up to date; writing it rebinds that side, so unlike a pinned
    blob it costs no copy.
    """

    __slots__ = ()

    _mirror: Mirror

    @property
    def value(self) -> Any:
        mirror = self._mirror
        if mirror.newer == HOST:
            mirror.upload()
        return self._memory

    @value.setter
    def value(self, new: Any) -> None:
        mirror, memory = self._mirror, self._memory
        if isinstance(new, Deferred):
            new = new.compute()
        if new is not memory:
            new = new.to(memory.device)
            if new.shape != memory.shape or new.dtype != memory.dtype:
                self._memory = new
                self._mirror = Mirror(new)
                return
            if mirror.shared:
                memory.copy_(new)
            else:
                self._memory = mirror.device = new
        mirror.newer = DEVICE

    @property
    def peek(self) -> Any:
        return self._memory

    @property
    def writable(self) -> Any:
        value = self.value
        self._mirror.newer = DEVICE
        return value

    def on_cpu(self) -> Tensor:
        return self._mirror.download().view(self._memory.shape)

    @property
    def pinned(self) -> bool:
        return True

    @property
    def empty(self) -> bool:
        return False

    def allow_deferred(self) -> None:
        """Nothing to do: it computes at once what it is given."""

    def share(self) -> np.ndarray:
        return self._mirror.view(self._memory.shape)

    def reshape(self, dims: tuple[int, ...]) -> None:
        if self._memory.numel() == torch.Size(dims).numel():
            self._memory = self._memory.reshape(dims)
            if not self._mirror.shared:
                self._mirror.device = self._memory
        else:
            self._memory = self._memory.new_zeros(dims)
            self._mirror = Mirror(self._memory)

    def viewed_as(self, dims: tuple[int, ...]) -> Blob:
        mirror = self._mirror
        if not mirror.shared:
            self._memory = mirror.device = self.value.contiguous()
            mirror.shared = True
        made = Blob(self.name)
        return _put(made, mirror, self._memory.view(dims))


def _put(blob: Blob, mirror: Mirror, memory: Tensor) -> Blob:
    """Let a blob be mirrored."""
    if blob.__class__ is Blob:
        del blob.value
    blob._memory, blob._mirror = memory, mirror
    blob.__class__ = MirroredBlob
    return blob


def mirror(blob: Blob) -> None:
    """Let a blob that holds a tensor on a device be mirrored from now on."""
    memory = blob.value.contiguous()
    _put(blob, Mirror(memory), memory)


def settle(blobs: Iterable[Blob]) -> None:
    """Before the user's code goes on: the views that it keeps show what is there, and what it writes counts."""
    for blob in blobs:
        if blob.__class__ is MirroredBlob and blob._mirror.held:
            blob._mirror.download()
            blob._mirror.newer = HOST


def move(blobs: Iterable[Blob], device: torch.device) -> None:
    """Move tensors to a device. Views that the user keeps stay true, and blobs of one memory stay so."""
    mirrors: dict[int, Mirror] = {}
    for blob in blobs:
        if blob.empty or not isinstance(blob.peek, Tensor) or blob.peek.device == device:
            continue
        if blob.__class__ is MirroredBlob:
            _come_home(blob)
        if isinstance(blob, UnfilledBlob):
            blob.fill()
        if device == _CPU:
            if blob.__class__ is not PinnedBlob:
                blob.value = blob.value.to(device)
        elif blob.__class__ is PinnedBlob:
            _go_away(blob, device, mirrors)
        else:
            blob.value = blob.value.to(device)


def _come_home(blob: Blob) -> None:
    """A mirrored blob becomes one that is pinned to the host's side."""
    mirror, shape = blob._mirror, blob._memory.shape
    host = mirror.download()
    blob.__class__ = PinnedBlob
    blob._memory = host.view(shape)
    blob._views = mirror.views
    note_views(blob._memory, mirror.views)


def _go_away(blob: Blob, device: torch.device, mirrors: dict[int, Mirror]) -> None:
    """A pinned blob becomes mirrored; its memory is the host's side."""
    memory = blob._memory
    where = memory.untyped_storage().data_ptr()
    found = mirrors.get(where) if memory.numel() else None
    if found is None:
        found = Mirror(memory.to(device))
        found.host, found.newer = memory.view(-1), NEITHER
        mirrors[where] = found
        _put(blob, found, found.device)
    else:
        found.shared = True
        _put(blob, found, found.device.view(memory.shape))
    found.views = [*found.views, *blob._views]
    if found.held:
        found.newer = HOST
