"""Builders of steps: loops, conditions, guards, what runs before, after and beside a task.

Owned here: the builders that `ops.loop`, `ops.If` and so on return. Who calls it: `net_builder`.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python._net_builder.builder import NetBuilder
from caffe2.python.task import Task, TaskGroup


def _net() -> core.Net:
    """The net that operators are added to now."""
    return NetBuilder.current().current_net()


def stop() -> None:
    """End the step of the current builder here."""
    stop_if(_net().Const(True))


def stop_if(blob: Any) -> None:
    """End the step of the current builder here if a bool blob is true."""
    NetBuilder.current().stop_if(blob)


class RunOnce(NetBuilder):
    """A step that runs once, and may be ended early."""

    def _finish(self) -> None:
        if self._stop_blob is not None:
            stop()


class StopGuard(RunOnce):
    """A step that remembers whether it was ended early."""

    def __init__(self, has_stopped_blob: Any = None, name: str | None = None) -> None:
        super().__init__(name)
        self._stopped = has_stopped_blob
        self._ran = False

    def __enter__(self) -> StopGuard:
        super().__enter__()
        self._stopped = _net().Const(True, blob_out=self._stopped)
        return self

    def _finish(self) -> None:
        self._ran = True
        _net().Const(False, blob_out=self._stopped)
        super()._finish()

    def has_stopped(self) -> Any:
        """The bool blob that is true after the step if it was ended early.

        Raises:
            MisuseError: the ``with`` block has not ended.
        """
        require(self._ran, f"builder '{self}': has_stopped() can be asked after the block, not before.")
        return self._stopped


class Loop(NetBuilder):
    """A step that repeats: ``iters`` times (a number or a blob), or until it is stopped."""

    def __init__(self, iters: Any = None, name: str | None = None) -> None:
        super().__init__(name, _stop_blob_required=True)
        self._num_iters: Any = None
        if iters is not None:
            self._inc = _net().Const(1)
            self._iter = _net().Const(0)
            self._num_iters = iters if isinstance(iters, core.BlobReference) else _net().Const(iters)

    def iter(self) -> Any:
        """The blob with the number of the round, from 0.

        Raises:
            MisuseError: the loop has no number of rounds.
        """
        require(
            self._num_iters is not None, f"loop '{self}' does not count its rounds: use ops.loop(number)."
        )
        return self._iter

    def __enter__(self) -> Loop:
        super().__enter__()
        if self._num_iters is not None:
            stop_if(_net().GE([self._iter, self._num_iters]))
        return self

    def _finish(self) -> None:
        if self._num_iters is not None:
            self.current_net().Add([self._iter, self._inc], [self._iter])


class RunIf(RunOnce):
    """A step that runs if a condition holds and, in a chain, no earlier one did."""

    def __init__(self, cond_blob: Any = None, name: str | None = None, _already_ran: Any = None) -> None:
        super().__init__(name)
        require(cond_blob or _already_ran, "ops.If wants a bool blob as condition.")
        self._is_else = cond_blob is None
        if self._is_else:
            self._skip = _already_ran
        elif _already_ran is None:
            self._skip = _net().Not(cond_blob)
            _already_ran = _net().Const(False)
        else:
            # the inner operator comes after the outer one's net is looked up, as its name shows
            self._skip = _net().Or([_already_ran, _net().Not(cond_blob)])
        self._already_ran = _already_ran

    def __enter__(self) -> RunIf:
        super().__enter__()
        stop_if(self._skip)
        _net().Const(True, blob_out=self._already_ran)
        return self

    def _chain(self, cond: Any, name: str | None) -> RunIf:
        require(not self._is_else, f"builder '{self}': nothing can follow an Else.")
        return NetBuilder.current().add(RunIf(cond, name=name or self.name, _already_ran=self._already_ran))

    def Elif(self, cond: Any, name: str | None = None) -> RunIf:
        """A step that runs if no step of the chain did so far and ``cond`` holds."""
        return self._chain(cond, name)

    def Else(self, name: str | None = None) -> RunIf:
        """A step that runs if no step of the chain did so far."""
        return self._chain(None, name)


class Setup(NetBuilder):
    """A step that runs before or after; kept as an attribute of a net until `task` asks for it."""

    INIT = "init"
    EXIT = "exit"

    def __init__(self, type: str, name: str | None = None) -> None:
        super().__init__(name)
        self.type = type

    def setup(self, net: core.Net) -> core.ExecutionStep | None:
        """The step, if it runs before."""
        return core.to_execution_step(self) if self.type == Setup.INIT else None

    def exit(self, net: core.Net) -> core.ExecutionStep | None:
        """The step, if it runs after."""
        return core.to_execution_step(self) if self.type == Setup.EXIT else None


class Reporter(NetBuilder):
    """A step that runs at intervals beside the task of ``net``, or without one beside the task group."""

    def __init__(self, interval_ms: int, net: core.Net | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self._net = net
        self.interval_ms = interval_ms

    def _finish(self) -> None:
        step = core.to_execution_step(self)
        step.RunEveryMillis(self.interval_ms)
        if self._net:
            self._net.add_attribute(Task.REPORT_STEP, step)
        else:
            TaskGroup.current().report_step(step, interval_ms=self.interval_ms)
