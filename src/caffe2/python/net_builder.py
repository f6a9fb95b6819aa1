"""Steps, loops and conditions written down as ``with`` blocks.

Source: caffe2/python/net_builder.py. Builders are in `_net_builder`.

::

    with NetBuilder() as nb:
        c = ops.Const(5)
        with ops.loop():
            ops.stop_if(ops.LE([c, ops.Const(0)]))
            ops.Add([c, ops.Const(-1)], [c])
    workspace.RunPlan(core.to_execution_step(nb))
"""

from __future__ import annotations

from typing import Any

from caffe2.python._errors import require
from caffe2.python._net_builder import control_nets, steps
from caffe2.python._net_builder.builder import NetBuilder
from caffe2.python._net_builder.control_nets import RunElseNet as _RunElseNet
from caffe2.python._net_builder.control_nets import RunIfNet as _RunIfNet
from caffe2.python._net_builder.control_nets import RunWhileCondition as _RunWhileCondition
from caffe2.python._net_builder.control_nets import RunWhileNet as _RunWhileNet
from caffe2.python._net_builder.steps import Loop as _Loop
from caffe2.python._net_builder.steps import Reporter as _ReporterBuilder
from caffe2.python._net_builder.steps import RunIf as _RunIf
from caffe2.python._net_builder.steps import RunOnce as _RunOnce
from caffe2.python._net_builder.steps import Setup as _SetupBuilder
from caffe2.python._net_builder.steps import StopGuard as _StopGuard
from caffe2.python.task import Task, TaskGroup

__all__ = [
    "NetBuilder",
    "Operations",
    "_Loop",
    "_ReporterBuilder",
    "_RunElseNet",
    "_RunIf",
    "_RunIfNet",
    "_RunOnce",
    "_RunWhileCondition",
    "_RunWhileNet",
    "_SetupBuilder",
    "_StopGuard",
    "ops",
]


class Operations:
    """Operators and blocks for the current builder: ``ops.Add([a, b])``, ``with ops.loop(10): …``."""

    def net(self, net: Any = None, name: str | None = None) -> Any:
        """The net that operators are added to; or add a given net or step, or begin a new net of a given name.

        Raises:
            MisuseError: both are given.
        """
        require(name is None or net is None, "ops.net takes a net or a name, not both.")
        builder = NetBuilder.current()
        return builder.current_net(name=name) if net is None else builder.add(net)

    def __getattr__(self, op_type: str) -> Any:
        """Adds an operator to the current net: ``ops.Relu(x)``."""
        if op_type.startswith("__"):
            raise AttributeError(f"'Operations' has no attribute '{op_type}'.")
        if NetBuilder.current(required=False) is None:
            raise AttributeError(f"ops.{op_type}: no NetBuilder is active; use `with NetBuilder(): …`.")
        return getattr(self.net(), op_type)

    def task_group(self) -> TaskGroup:
        """A task group on the node 'local' as next part of the builder.

        A step cannot hold a task group, neither here nor in the original: `core.to_execution_step` refuses
        such a builder.
        """
        from caffe2.python import task

        with task.Cluster(), task.Node("local"):
            return NetBuilder.current().add(task.TaskGroup())

    # ---- steps -------------------------------------------------------------------------------------
    def stop(self) -> None:
        """End the current step here."""
        steps.stop()

    def stop_if(self, blob: Any) -> None:
        """End the current step here if a scalar bool blob is true."""
        steps.stop_if(blob)

    def loop(self, iters: Any = None, name: str | None = None) -> _Loop:
        """A step that repeats ``iters`` times (a number or a blob), or until `stop` or `stop_if` ends it.

        Inside, ``loop.iter()`` is the blob with the number of the round.
        """
        return NetBuilder.current().add(_Loop(iters, name=name))

    def stop_guard(self, has_stopped_blob: Any = None, name: str | None = None) -> _StopGuard:
        """A step after which ``guard.has_stopped()`` is a bool blob: was it ended by `stop` or `stop_if`?"""
        return NetBuilder.current().add(_StopGuard(has_stopped_blob=has_stopped_blob, name=name))

    def If(self, cond: Any, name: str | None = None) -> _RunIf:
        """A step that runs if a scalar bool blob is true.

        ``with ops.If(a) as c: …``, then ``with c.Elif(b) as c: …`` and ``with c.Else(): …``.
        """
        return NetBuilder.current().add(_RunIf(cond, name=name))

    # ---- control operators -------------------------------------------------------------------------
    def IfNet(self, cond: Any, name: str | None = None) -> _RunIfNet:
        """As `If`, by an `If` operator in the net itself."""
        return NetBuilder.current().add(_RunIfNet(cond, name=name))

    def Else(self, name: str | None = None) -> _RunElseNet:
        """The other branch of the `IfNet` just before it."""
        return _RunElseNet(name=name)

    def WhileNet(self, name: str | None = None) -> _RunWhileNet:
        """A loop by a `While` operator; it begins with a block of `Condition`."""
        return NetBuilder.current().add(_RunWhileNet(name=name))

    def Condition(self, name: str | None = None) -> _RunWhileCondition:
        """The condition of the `WhileNet` around it: the single output of its last operator."""
        return control_nets.RunWhileCondition(name=name)

    # ---- around tasks ------------------------------------------------------------------------------
    def _setup(self, key: str, kind: str, name: str | None = None) -> _SetupBuilder:
        setup = _SetupBuilder(kind, name)
        self.net().add_attribute(key, setup)
        return setup

    def task_init(self) -> _SetupBuilder:
        """What runs once before the task, whatever the number of its instances."""
        return self._setup(Task.TASK_SETUP, _SetupBuilder.INIT)

    def task_exit(self) -> _SetupBuilder:
        """What runs once after all instances of the task."""
        return self._setup(Task.TASK_SETUP, _SetupBuilder.EXIT)

    def task_instance_init(self) -> _SetupBuilder:
        """What runs before each instance of the task, after `task_init`."""
        return self._setup(Task.TASK_INSTANCE_SETUP, _SetupBuilder.INIT)

    def task_instance_exit(self) -> _SetupBuilder:
        """What runs after each instance of the task, before `task_exit`."""
        return self._setup(Task.TASK_INSTANCE_SETUP, _SetupBuilder.EXIT)

    def local_init(self) -> _SetupBuilder:
        """What runs once a node before all tasks of the group, for blobs that they share."""
        return self._setup(TaskGroup.LOCAL_SETUP, _SetupBuilder.INIT)

    def local_exit(self, name: str | None = None) -> _SetupBuilder:
        """What runs once a node after all tasks of the group."""
        return self._setup(TaskGroup.LOCAL_SETUP, _SetupBuilder.EXIT, name)

    def task_reporter(self, interval_ms: int = 1000, name: str | None = None) -> _ReporterBuilder:
        """What runs every ``interval_ms`` milliseconds while the task runs, and once after it."""
        return _ReporterBuilder(interval_ms, net=self.net(), name=name)

    def local_reporter(self, interval_ms: int = 1000, name: str | None = None) -> _ReporterBuilder:
        """What runs every ``interval_ms`` milliseconds while any task of the group runs, and once after."""
        return _ReporterBuilder(interval_ms, name=name)


ops = Operations()
