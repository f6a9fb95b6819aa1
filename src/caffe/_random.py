"""The random numbers of Caffe nets: one generator, seeded by `caffe.set_random_seed` and by solvers.

Owned here: the generator, and fillers that wait for somebody to look (`later`). Who calls it: fillers, dropout, data
layers.

A model's weights mostly overwrite what fillers drew. So a filler's numbers are drawn when somebody looks at them, or
when others are wanted that come after them: always in the order of the program, so a seed gives what it gave.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

_generator = torch.Generator()
_generator.seed()
#: True once the program chose what the generator begins with: before, nobody can tell which numbers were left out
_seeded = False
_lock = threading.RLock()
#: fillings that wait, in the order of the program
_waiting: deque[Waiting] = deque()
#: so many at most
_MOST = 4096

#: writes all of a tensor from a generator; how much it draws depends on the tensor's shape alone
Draw = Callable[[Tensor, torch.Generator], object]


class Waiting:
    """A filling that waits (a `freshpot.engine.blob.Filling`)."""

    __slots__ = ("_draw", "_memory", "_shape", "done")

    def __init__(self, draw: Draw, memory: Tensor) -> None:
        self._draw = draw
        self._shape = tuple(memory.shape)
        self._memory: weakref.ref[Tensor] | None = weakref.ref(memory)
        self.done = False

    def now(self) -> None:
        """Fill the memory, after all that waited before."""
        with _lock:
            while not self.done:
                _waiting.popleft().run()

    def drop(self) -> None:
        """The memory is written over."""
        with _lock:
            self._memory = None

    @property
    def wanted(self) -> Tensor | None:
        """The memory, if anybody may look at it."""
        return self._memory() if self._memory is not None else None

    def run(self) -> None:
        """Draw."""
        memory = self.wanted
        if memory is not None:
            self._draw(memory, _generator)
        elif _seeded:  # what comes after it depends on what it draws
            self._draw(torch.empty(self._shape), _generator)
        self.done = True


def later(draw: Draw, memory: Tensor) -> Waiting:
    """Let memory be filled when somebody looks (`Waiting.now`), with the numbers that are due at this moment."""
    with _lock:
        if len(_waiting) >= _MOST:
            _settle()
        made = Waiting(draw, memory)
        _waiting.append(made)
        return made


def _settle() -> None:
    while _waiting:
        _waiting.popleft().run()


def generator() -> torch.Generator:
    """The CPU generator that everything random in this package draws from."""
    with _lock:
        _settle()
    return _generator


def seed(value: int) -> None:
    """Start the generator from ``value``."""
    global _seeded
    with _lock:
        while _waiting and _waiting[-1].wanted is None:
            _waiting.pop().done = True
        _settle()
        _seeded = True
        _generator.manual_seed(value)
    torch.manual_seed(value)
