"""Timers and clocks."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator


class Timer:
    """When it began, and whether it still runs."""

    def __init__(self) -> None:
        self.began = time.perf_counter_ns()
        self.running = True


class TimerBegin(Operator):
    """A timer that runs.

    Shapes:   none -> timer
    Source:   caffe2/operators/stats_ops.cc
    """

    outputs = (Port("timer"),)
    args = (Arg("counter_name", str, "", "name for the time in statistics; the output's name if not given"),)

    def kernel(self) -> Any:
        return Timer()


class _OnTimer(Operator, abstract=True):
    """An operator on a timer that runs."""

    inputs = (Port("timer"),)

    def elapsed(self, timer: Any, end: bool) -> Tensor:
        """Nanoseconds since it began, (1,) int64."""
        if not isinstance(timer, Timer):
            self.refuse("the input must hold a timer; make it with TimerBegin.", ArgumentError)
        if not timer.running:
            self.refuse("the timer was ended before.", ArgumentError)
        timer.running = not end
        return torch.tensor([time.perf_counter_ns() - timer.began])


class TimerEnd(_OnTimer):
    """Stop a timer.

    Source:   caffe2/operators/stats_ops.cc
    """

    def kernel(self, timer: Any) -> tuple[Tensor, ...]:
        self.elapsed(timer, end=True)
        return ()


class TimerGet(_OnTimer):
    """nanos = nanoseconds since the timer began.

    Shapes:   timer -> nanos: (1,) int64
    Source:   caffe2/operators/stats_ops.cc
    """

    outputs = (Port("nanos"),)

    def kernel(self, timer: Any) -> Tensor:
        return self.elapsed(timer, end=False)


class TimerGetAndEnd(_OnTimer):
    """nanos = nanoseconds since the timer began; stops it.

    Shapes:   timer -> nanos: (1,) int64
    Source:   caffe2/operators/stats_ops.cc
    """

    outputs = (Port("nanos"),)

    def kernel(self, timer: Any) -> Tensor:
        return self.elapsed(timer, end=True)


class WallClockTime(Operator):
    """time = nanoseconds since the start of 1970.

    Shapes:   none -> time: () int64
    Source:   caffe2/operators/utility_ops.h
    """

    outputs = (Port("time"),)

    def kernel(self) -> Tensor:
        return torch.tensor(time.time_ns())
