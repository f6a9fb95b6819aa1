"""Readers that count, and readers that stop before their source does.

Owned here: those. Who calls it: `dataio`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from caffe2.python import core
from caffe2.python._dataio.base import Reader
from caffe2.python.schema import Struct


class CounterReader(Reader):
    """Reads 0, 1, 2 …, without end."""

    def __init__(self) -> None:
        super().__init__(schema=Struct(("iter", np.int64)))
        self.counter: Any = None
        self.should_stop: Any = None

    def setup_ex(self, global_init_net: Any, global_finish_net: Any) -> None:
        if self.counter is None:
            self.counter = global_init_net.CreateCounter([], init_count=0)
            self.should_stop = global_init_net.ConstantFill(
                [], shape=[], dtype=core.DataType.BOOL, value=False
            )

    def read_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, ...]:
        net = core.Net("limited_reader_counter")
        value = net.CountUp([self.counter], 1)
        return [net], self.should_stop, [value]


class ReaderWithLimitBase(Reader):
    """A reader that stops when its source does or a limit is reached; subclasses say which."""

    def __init__(self, reader: Reader) -> None:
        super().__init__(schema=reader._schema)
        self.reader = reader
        self.net = core.Net("reader_with_limit")
        self._data_finished = self.net.AddExternalInput(self.net.NextName("data_finished"))
        self.should_stop: Any = None

    def setup_ex(self, global_init_net: Any, global_finish_net: Any) -> None:
        global_init_net.ConstantFill(
            [], [self._data_finished], shape=[], value=False, dtype=core.DataType.BOOL
        )
        self.reader.setup_ex(global_init_net, global_finish_net)
        self.setup_limiter(global_init_net, global_finish_net)

    def read_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, ...]:
        before = core.Net("limited_reader_condition")
        should_stop = self.check_limiter_condition(before)
        nets, finished, fields = self.reader.read_ex(local_init_net, local_finish_net)
        self._set_schema(self.reader._schema)
        after = core.Net("limited_reader_post")
        # the limit was looked at already, right after `before`; from here on the blob speaks of the source
        after.Copy(finished, should_stop)
        after.Or([self._data_finished, finished], [self._data_finished])
        return [before, *nets, after], should_stop, fields

    def setup_limiter(self, global_init_net: Any, global_finish_net: Any) -> None:
        """Add what the limit needs, to run once before and after."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'setup_limiter'.")

    def check_limiter_condition(self, stop_condition_net: Any) -> Any:
        """Add what looks at the limit before each batch; returns the blob that says whether to stop."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'check_limiter_condition'.")

    def data_finished(self) -> Any:
        """The blob that says afterwards whether the source had nothing left."""
        return self._data_finished


def _never(net: Any) -> Any:
    return net.ConstantFill([], 1, shape=[], value=False, dtype=core.DataType.BOOL)


class ReaderWithLimit(ReaderWithLimitBase):
    """Stops after ``num_iter`` batches; None: only when the source does."""

    def __init__(self, reader: Reader, num_iter: int | None = 1) -> None:
        super().__init__(reader)
        self.counter: Any = None
        self.num_iter = num_iter
        if num_iter is not None:
            self.counter = self.net.AddExternalInput(self.net.NextName("counter"))

    def setup_limiter(self, global_init_net: Any, global_finish_net: Any) -> None:
        if self.num_iter is not None:
            global_init_net.CreateCounter([], [self.counter], init_count=int(self.num_iter))

    def check_limiter_condition(self, stop_condition_net: Any) -> Any:
        if self.num_iter is None:
            return _never(stop_condition_net)
        return stop_condition_net.CountDown([self.counter], 1)


def CountUntil(num_iter: int) -> ReaderWithLimit:
    """Reads 0 … num_iter - 1."""
    return ReaderWithLimit(CounterReader(), num_iter)


class ReaderWithTimeLimit(ReaderWithLimitBase):
    """Stops after ``duration`` seconds; None or 0: only when the source does."""

    def __init__(self, reader: Reader, duration: float | None = 0) -> None:
        super().__init__(reader)
        self.timer: Any = None
        self.duration = duration
        self.duration_ns_blob: Any = None

    def setup_limiter(self, global_init_net: Any, global_finish_net: Any) -> None:
        if self.duration is not None and self.duration > 0:
            self.timer = global_init_net.TimerBegin([], counter_name="epoch_timer")
            now = global_init_net.TimerGet(self.timer)
            self.duration_ns_blob = global_init_net.ConstantFill([now], value=int(self.duration * 10**9))
            global_finish_net.TimerEnd([self.timer], [])

    def check_limiter_condition(self, stop_condition_net: Any) -> Any:
        if not self.duration:
            return _never(stop_condition_net)
        elapsed = stop_condition_net.TimerGet(self.timer)
        return stop_condition_net.GE([elapsed, self.duration_ns_blob], str(self.should_stop))


class ReaderWithDelay(Reader):
    """Waits ``delay`` seconds before each batch; for tests."""

    def __init__(self, reader: Reader, delay: float) -> None:
        super().__init__(schema=reader._schema)
        self.reader = reader
        self.delay = delay

    def setup_ex(self, global_init_net: Any, global_finish_net: Any) -> None:
        self.reader.setup_ex(global_init_net, global_finish_net)

    def read_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, ...]:
        net = core.Net("reader_body")

        def sleep_op(*args: Any, **kwargs: Any) -> None:
            time.sleep(self.delay)

        net.Python(sleep_op)([], [])
        return ([net], *self.reader.read(net))
