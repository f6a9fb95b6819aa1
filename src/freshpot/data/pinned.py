"""Batches on their way to a GPU: through pinned memory, so that the host does not wait for the copy.

Owned here: pinned memory, and knowing when it may be written again. Who calls it: what reads data in the
background (`Pinner`, around the source of a `Prefetcher`), and what uploads now and then (`to_device`, `copy_to`):
mirrors of blobs that users write to, blobs that are fed.

A copy from ordinary memory of the host's waits until the GPU has done all that it was given before. From pinned
memory it is only put in the queue; but then that memory must stay as it is until the GPU has read it. So each buffer
carries an event of its last copy, and whoever writes to it again waits for that. There are two buffers for each shape
that is uploaded now and then, so the host is one batch ahead at most where it makes them itself.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

#: bytes of a tensor from which on it is not worth pinning a copy, and of all buffers of a device together
_MOST, _MOST_IN_ALL = 1 << 26, 1 << 28


class Event(Protocol):
    """Something that the GPU comes to."""

    def synchronize(self) -> None:
        """Wait until the GPU has come to it."""


class Port(Protocol):
    """The way to one GPU."""

    def memory(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Pinned memory of the host's."""

    def upload(self, source: Tensor) -> tuple[Tensor, Event]:
        """Put a copy to the GPU in the queue: the new tensor there, and when ``source`` has been read."""

    def copy(self, target: Tensor, source: Tensor) -> Event:
        """The same, to a tensor that is there, after all that the GPU was given before."""


@functools.cache
def port_for(device: torch.device) -> Port | None:
    """The way to a device; None where there is no need of one."""
    return _Cuda(device) if device.type == "cuda" and torch.cuda.is_available() else None


class _Cuda:
    """New tensors are copied on a stream of their own, while the GPU computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def memory(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def upload(self, source: Tensor) -> tuple[Tensor, Event]:
        current, event = torch.cuda.current_stream(self._device), torch.cuda.Event()
        with torch.cuda.stream(self._stream):
            made = source.to(self._device, non_blocking=True)
            event.record(self._stream)
        current.wait_event(event)
        made.record_stream(current)
        return made, event

    def copy(self, target: Tensor, source: Tensor) -> Event:
        event = torch.cuda.Event()
        target.copy_(source, non_blocking=True)
        event.record(torch.cuda.current_stream(self._device))
        return event


class _Buffer:
    """Pinned memory, and the copy that read it last."""

    __slots__ = ("event", "memory")

    def __init__(self, memory: Tensor) -> None:
        self.memory = memory
        self.event: Event | None = None

    def fill(self, source: Tensor) -> Tensor:
        """Write to it, once that is allowed."""
        if self.event is not None:
            self.event.synchronize()
            self.event = None
        return self.memory.copy_(source)


# ---- now and then ----------------------------------------------------------------------------------
class _Buffers:
    """Two buffers for each shape that came more than once."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._known: OrderedDict[Any, deque[_Buffer]] = OrderedDict()
        self._bytes = 0

    def take(self, source: Tensor) -> _Buffer | None:
        """A buffer that holds a copy of ``source``; None if that is not worth it. Give it back with its event."""
        if not 0 < source.nbytes <= _MOST:
            return None
        key = (source.shape, source.dtype)
        with self._lock:
            ring = self._known.get(key)
            self._known[key] = deque() if ring is None else ring
            self._known.move_to_end(key)
            if ring is None:
                self._drop()
                return None
            buffer = ring.popleft() if len(ring) == 2 else None
            self._bytes += source.nbytes if buffer is None else 0
        if buffer is None:
            buffer = _Buffer(self.port.memory(source.shape, source.dtype))
        buffer.fill(source)
        return buffer

    def give_back(self, buffer: _Buffer, event: Event) -> None:
        """It may be written to after this event."""
        buffer.event = event
        with self._lock:
            ring = self._known.get((buffer.memory.shape, buffer.memory.dtype))
            if ring is not None and len(ring) < 2:
                ring.append(buffer)

    def _drop(self) -> None:
        """Let go of the shapes that were used longest ago, if there is too much; torch keeps memory until its event."""
        while len(self._known) > 256 or (self._bytes > _MOST_IN_ALL and len(self._known) > 1):
            _, ring = self._known.popitem(last=False)
            for buffer in ring:
                if buffer.event is not None:
                    buffer.event.synchronize()
                self._bytes -= buffer.memory.nbytes


_buffers: dict[tuple[torch.device, Any], _Buffers] = {}


def _buffers_for(device: torch.device) -> _Buffers | None:
    port = port_for(device)
    return None if port is None else _buffers.setdefault((device, port), _Buffers(port))


def to_device(source: Tensor, device: torch.device) -> Tensor:
    """A copy of a tensor of the host's on a device; ``source`` may change at once."""
    buffers = _buffers_for(device) if source.device.type == "cpu" else None
    buffer = buffers.take(source) if buffers is not None else None
    if buffers is None or buffer is None:
        return source.to(device)
    made, event = buffers.port.upload(buffer.memory)
    buffers.give_back(buffer, event)
    return made


def copy_to(target: Tensor, source: Tensor) -> None:
    """Copy a tensor of the host's to one on a device; ``source`` may change at once."""
    buffers = _buffers_for(target.device)
    buffer = buffers.take(source) if buffers is not None else None
    if buffers is None or buffer is None:
        target.copy_(source)
        return
    buffers.give_back(buffer, buffers.port.copy(target, buffer.memory))


# ---- batches that are made in the background ---------------------------------------------------------
class Pinned:
    """A batch in pinned memory: arrays of numbers as tensors there, others as they are."""

    def __init__(self, pinner: Pinner, port: Port, parts: list[_Buffer | np.ndarray]) -> None:
        self._pinner = pinner
        self._port = port
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def upload(self) -> list[Any]:
        """The batch on the device. To be called once."""
        made: list[Any] = []
        for part in self._parts:
            if isinstance(part, _Buffer):
                tensor, part.event = self._port.upload(part.memory)
                self._pinner.give_back(part)
                made.append(tensor)
            else:
                made.append(part)
        return made

    def on_cpu(self) -> list[Any]:
        """The batch in ordinary memory of the host's, as arrays. To be called once."""
        made: list[Any] = []
        for part in self._parts:
            made.append(part.memory.numpy().copy() if isinstance(part, _Buffer) else part)
            if isinstance(part, _Buffer):
                self._pinner.give_back(part)
        return made


class Pinner:
    """The batches of ``source``: `Pinned` ones while they are to go to a GPU, else lists of arrays.

    Copies are made where it is iterated over: in the thread of a `Prefetcher`. It has as many buffers as batches are
    on their way.
    """

    def __init__(self, source: Iterable[Sequence[np.ndarray]]) -> None:
        self._source = source
        self._port: Port | None = None
        self._free: dict[Any, deque[_Buffer]] = {}

    def serve(self, device: torch.device) -> None:
        """From now on batches go to this device; those on their way may come as they are."""
        self._port = port_for(device)

    def __iter__(self) -> Iterator[Pinned | Sequence[np.ndarray]]:
        for arrays in self._source:
            port = self._port
            yield arrays if port is None else Pinned(self, port, [self._pin(port, array) for array in arrays])

    def _pin(self, port: Port, array: np.ndarray) -> _Buffer | np.ndarray:
        if not isinstance(array, np.ndarray) or array.dtype == object or not array.size:
            return array
        source = torch.from_numpy(array if array.flags.writeable else array.copy())
        free = self._free.setdefault((source.shape, source.dtype), deque())
        buffer = free.popleft() if free else _Buffer(port.memory(source.shape, source.dtype))
        buffer.fill(source)
        return buffer

    def give_back(self, buffer: _Buffer) -> None:
        """A buffer that is read, or will be at its event."""
        self._free.setdefault((buffer.memory.shape, buffer.memory.dtype), deque()).append(buffer)


def on_device(batch: Pinned | Sequence[Any], device: torch.device) -> list[Any]:
    """The arrays of a batch as tensors on a device; text as it is."""
    if isinstance(batch, Pinned):
        if device.type != "cpu":
            return batch.upload()
        batch = batch.on_cpu()
    return [_tensor(array, device) for array in batch]


def _tensor(array: Any, device: torch.device) -> Any:
    if array.dtype == object:
        return array
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    return tensor if device.type == "cpu" else to_device(tensor, device)
