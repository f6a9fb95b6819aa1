"""Several kernels one after the other, on the same threads, in one call.

Owned here: the machine code that goes through a list of kernels and lets threads meet between them. Who calls it:
engine/blocked. Threads wait for each other by looking at a counter, and let others work now and then: seldom where
each has a processor, since it is soon its turn again.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.native.build import HEADER, Kernel
from freshpot.native.call import _openmp
from freshpot.native.machine import Code, lanes

#: looks at the counter after which a thread lets others work: where each has a processor, and where not
_LOOKS, _FEW_LOOKS = 1 << 16, 1 << 8


class Task:
    """A kernel and what it works on. ``meets``: threads wait for each other after it."""

    def __init__(self, code: Code, arrays: Sequence[Tensor | None], numbers: Sequence[int]) -> None:
        self._code = code
        self._arrays = list(arrays)
        self.meets = True
        addresses = [0 if t is None else t.data_ptr() for t in arrays]
        _, *thread_of_how_many = _openmp() or (None, 0, 0)
        entries = [*thread_of_how_many, *addresses, *numbers]
        self.table = (ctypes.c_int64 * len(entries))(*entries)

    @property
    def address(self) -> int:
        """Of the code."""
        return self._code.address

    def give(self, slot: int, array: Tensor) -> None:
        """Let an array be another one."""
        self._arrays[slot] = array
        self.table[HEADER + slot] = array.data_ptr()


def _driver(k: Kernel) -> None:
    steps, counter, rest = k.array(0), k.array(1), k.array(2)
    count, looks = k.number(3), k.number(4)
    _, threads = k.threads()
    with k.loop(0, count) as i:
        entry = k.mul(i, 3)
        k.invoke(k.load_address(steps, entry), k.load_address(steps, k.add(entry, 1)))
        met = k.load_number(steps, k.add(entry, 2))
        with k.when(k.differs(met, 0)):
            k.meet(counter, k.mul(met, threads), rest, looks)


@functools.lru_cache(4)
def driver() -> Code:
    """The code that goes through a list: entries of three, a kernel, its table, and how often threads have met then."""
    kernel = Kernel("driver", lanes())
    _driver(kernel)
    return Code("driver", kernel.finish())


@functools.cache
def _rest() -> int:
    """The address of a function that lets other threads work."""
    found = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
    return found or 0


@functools.cache
def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Program:
    """Tasks that run one after the other."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = list(tasks)
        entries: list[int] = []
        met = 0
        for task in tasks:
            met += task.meets
            entries += [task.address, ctypes.addressof(task.table), met if task.meets else 0]
        self._steps = (ctypes.c_int64 * max(1, len(entries)))(*entries)
        self._counter = ctypes.c_int64(0)
        self._driver = driver()
        parallel, *thread_of_how_many = _openmp() or (None, 0, 0)
        self._parallel = parallel
        addresses = (ctypes.addressof(self._steps), ctypes.addressof(self._counter), _rest(), len(tasks))
        self._table = (ctypes.c_int64 * (HEADER + 5))(*thread_of_how_many, *addresses, _LOOKS)
        self._alone = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._driver.address)

    def run(self) -> None:
        """Run them all, on as many threads as PyTorch uses."""
        threads = torch.get_num_threads()
        self._counter.value = 0
        self._table[HEADER + 4] = _LOOKS if threads <= processors() else _FEW_LOOKS
        if threads > 1 and self._parallel is not None:
            self._parallel(self._driver.address, self._table, threads, 0)
        else:
            self._alone(self._table)
