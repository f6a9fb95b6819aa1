"""Counters that several nets may share."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator


class Counter:
    """A number that threads may change."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._count = count

    def add(self, step: int) -> int:
        """Change the number; returns what it was."""
        with self._lock:
            before, self._count = self._count, self._count + step
            return before

    def reset(self, count: int) -> int:
        """Set the number; returns what it was."""
        with self._lock:
            before, self._count = self._count, count
            return before

    @property
    def count(self) -> int:
        """The number."""
        with self._lock:
            return self._count


_INIT = Arg("init_count", int, 0, "number to start with, >= 0")


class CreateCounter(Operator):
    """A new counter.

    Shapes:   none -> counter
    Source:   caffe2/operators/counter_ops.h
    """

    outputs = (Port("counter"),)
    args = (_INIT,)

    def setup(self) -> None:
        if self.init_count < 0:
            self.refuse(f"argument 'init_count' must be >= 0, got {self.init_count}.", ArgumentError)

    def kernel(self) -> Any:
        return Counter(self.init_count)


class _OnCounter(Operator, abstract=True):
    """An operator on a counter."""

    inputs = (Port("counter"),)

    def check(self, counter: Any) -> None:
        if not isinstance(counter, Counter):
            self.refuse("the input must hold a counter; make it with CreateCounter.", ArgumentError)


class CountUp(_OnCounter):
    """Add 1; previous_count = the number before.

    Shapes:   counter -> previous_count: () int64
    Source:   caffe2/operators/counter_ops.h
    """

    outputs = (Port("previous_count"),)

    def kernel(self, counter: Counter) -> Tensor:
        return torch.tensor(counter.add(1))


class CountDown(_OnCounter):
    """Take 1 away; done = whether the number was 0 or less before.

    Shapes:   counter -> done: () bool
    Source:   caffe2/operators/counter_ops.h
    """

    outputs = (Port("done"),)

    def kernel(self, counter: Counter) -> Tensor:
        return torch.tensor(counter.add(-1) <= 0)


class CheckCounterDone(_OnCounter):
    """done = whether the number is 0 or less.

    Shapes:   counter -> done: () bool
    Source:   caffe2/operators/counter_ops.h
    """

    outputs = (Port("done"),)

    def kernel(self, counter: Counter) -> Tensor:
        return torch.tensor(counter.count <= 0)


class ResetCounter(_OnCounter):
    """Set the number; previous_value = the number before.

    Shapes:   counter -> previous_value: () int64, optional
    Source:   caffe2/operators/counter_ops.h
    """

    outputs = (Port("previous_value", optional=True),)
    args = (_INIT,)

    def setup(self) -> None:
        if self.init_count < 0:
            self.refuse(f"argument 'init_count' must be >= 0, got {self.init_count}.", ArgumentError)

    def kernel(self, counter: Counter) -> Tensor:
        return torch.tensor(counter.reset(self.init_count))


class RetrieveCount(_OnCounter):
    """count = the number.

    Shapes:   counter -> count: () int64
    Source:   caffe2/operators/counter_ops.h
    """

    outputs = (Port("count"),)

    def kernel(self, counter: Counter) -> Tensor:
        return torch.tensor(counter.count)
