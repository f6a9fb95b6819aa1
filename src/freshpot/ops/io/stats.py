"""Statistics: named sums that operators add to and programs read (`workspace.GetStats`)."""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import STRING, Arg, Port
from freshpot.ops._operator import Operator


class Statistic(NamedTuple):
    """One published number; ``time`` in nanoseconds since 1970."""

    name: bytes
    value: int
    time: int


class StatRegistry:
    """Named sums that threads may add to."""

    original_type = "std::unique_ptr<caffe2::StatRegistry>"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[bytes, int] = {}

    def add(self, name: bytes, amount: int) -> None:
        """Add to a sum, which starts at 0."""
        with self._lock:
            self._sums[name] = self._sums.get(name, 0) + amount

    def clear(self) -> None:
        """Forget all sums."""
        with self._lock:
            self._sums.clear()

    def publish(self, *, reset: bool = False) -> list[Statistic]:
        """All sums, the newest name first; with ``reset`` they become 0, and none that is added is lost."""
        with self._lock:
            found = [Statistic(name, value, time.time_ns()) for name, value in reversed(self._sums.items())]
            if reset:
                self._sums = dict.fromkeys(self._sums, 0)
        return found


#: the registry of operators that name no other
PROCESS = StatRegistry()


class StatRegistryCreate(Operator):
    """A new registry of statistics.

    Shapes:   none -> handle
    Source:   caffe2/operators/stats_ops.cc
    """

    outputs = (Port("handle"),)

    def kernel(self) -> StatRegistry:
        return StatRegistry()


class _OnRegistry(Operator, abstract=True):
    """An operator on a registry, the last input; on the process's if that is left out."""

    def check_handle(self, handle: Any = PROCESS) -> None:
        """Refuse what is no registry."""
        if not isinstance(handle, StatRegistry):
            self.refuse("handle must hold a registry; make it with StatRegistryCreate.", ArgumentError)


class StatRegistryUpdate(_OnRegistry):
    """Add each value to the sum of its key.

    Shapes:   keys: any, text; values: int64, as many; handle -> none
    Raises:   ShapeError if there are not as many values as keys; ArgumentError if handle is no registry.
    Source:   caffe2/operators/stats_ops.cc
    """

    inputs = (Port("keys", STRING), Port("values", ("int64",)), Port("handle", optional=True))

    def check(self, keys: Any, values: Tensor, *handle: Any) -> None:
        self.check_handle(*handle)
        if keys.size != values.numel():
            self.refuse(f"there are {keys.size} keys and {values.numel()} values.")

    def kernel(self, keys: Any, values: Tensor, registry: StatRegistry = PROCESS) -> tuple[()]:
        for name, amount in zip(keys.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True):
            registry.add(name, amount)
        return ()


class StatRegistryExport(_OnRegistry):
    """Keys, values and times of all sums; times in nanoseconds since 1970.

    Shapes:   handle -> keys: (N,) text; values: (N,) int64; timestamps: (N,) int64
    Raises:   ArgumentError if handle is no registry.
    Differs:  the newest key comes first, always; the original's order is that of a hash table.
    Source:   caffe2/operators/stats_ops.cc
    """

    inputs = (Port("handle", optional=True),)
    outputs = (Port("keys"), Port("values"), Port("timestamps"))
    args = (Arg("reset", bool, True, "1: the sums start again at 0"),)

    def check(self, *handle: Any) -> None:
        self.check_handle(*handle)

    def kernel(self, registry: StatRegistry = PROCESS) -> tuple[Any, ...]:
        found = registry.publish(reset=self.reset)
        keys = np.empty(len(found), dtype=object)
        keys[:] = [each.name for each in found]
        values = torch.tensor([each.value for each in found], dtype=torch.int64)
        return keys, values, torch.tensor([each.time for each in found], dtype=torch.int64)
