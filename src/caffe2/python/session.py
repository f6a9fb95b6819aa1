"""Running tasks, groups of tasks, plans, steps and nets.

Source: caffe2/python/session.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python import core, workspace
from caffe2.python._errors import require
from caffe2.python.task import Cluster, Task, TaskGroup, TaskOutputList, WorkspaceType


class CompiledRunnable:
    """What `Session.compile` made, for sessions of that class to run."""

    def __init__(self, obj: Any, session_class: type[Session]) -> None:
        self.obj = obj
        self.session_class = session_class


class Session:
    """Base of sessions. A session keeps a workspace; blobs of global tasks stay in it between runs."""

    _compiled_cache: dict[Any, CompiledRunnable] = {}

    def __init__(self) -> None:
        self._open = True

    def is_open(self) -> bool:
        """True until it is closed."""
        return self._open

    @classmethod
    def compile(
        cls, runnable: Any, workspace_type: str | None = None, setup_net_list: Any = None
    ) -> CompiledRunnable:
        """Make something ready to run; the same object is compiled once.

        Args:
            runnable: a TaskGroup, Task, Plan, ExecutionStep, Net, or a list of steps or nets.
            workspace_type: a `WorkspaceType`; global by default for what is not a group.
            setup_net_list: for sessions that need nets of their own.

        Raises:
            MisuseError: compiled for another class of session; a plan without steps; a group with another
                workspace type.
        """
        if isinstance(runnable, CompiledRunnable):
            require(
                cls is runnable.session_class,
                f"compiled for {runnable.session_class.__name__}, cannot be run by {cls.__name__}.",
            )
            return runnable
        if runnable not in cls._compiled_cache:
            group = _as_group(runnable, workspace_type)
            made = CompiledRunnable(cls._compile_task_group(group, setup_net_list), session_class=cls)
            cls._compiled_cache[runnable] = made
        return cls._compiled_cache[runnable]

    def run(self, runnable: Any, workspace_type: str | None = None, setup_net_list: Any = None) -> None:
        """Compile, if it is not compiled yet, and run. Arguments as for `compile`.

        Raises:
            MisuseError: the session is closed, or there is nothing to run.
        """
        require(self.is_open(), "the session is closed.")
        require(runnable is not None, "there is nothing to run: got None.")
        self._run_compiled(self.compile(runnable, workspace_type, setup_net_list).obj)

    def close(self) -> None:
        """End the session."""
        if self.is_open():
            self._do_close()
            self._open = False

    def fetch_output(self, output: Any) -> Any:
        """For classes that derive from this one."""
        raise NotImplementedError(f"{type(self).__name__} does not define fetch_output.")

    def _run_compiled(self, task_group: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not define _run_compiled.")

    @classmethod
    def _compile_task_group(cls, task_group: TaskGroup, setup_net_list: Any = None) -> Any:
        return task_group

    def _do_close(self) -> None:
        """For classes that derive from this one."""

    def __enter__(self) -> Session:
        require(self._open, "the session is closed.")
        return self

    def __exit__(self, kind: Any = None, *args: Any) -> None:
        if kind is None:
            self.close()


def _as_group(runnable: Any, workspace_type: str | None) -> TaskGroup:
    """The group that runs what is given."""
    if isinstance(runnable, TaskGroup):
        _set_type(runnable, workspace_type)
        return runnable
    group = TaskGroup(workspace_type=workspace_type or WorkspaceType.GLOBAL)
    if isinstance(runnable, Task):
        group.add(runnable)
    elif isinstance(runnable, core.ExecutionStep):
        group.add(Task(step=runnable))
    elif isinstance(runnable, core.Plan):
        steps = runnable.Steps()
        require(steps, f"plan '{runnable}' has no steps.")
        group.add(Task(step=steps[0] if len(steps) == 1 else steps))
    else:
        group.add(Task(step=core.execution_step("runnable", runnable)))
    return group


def _set_type(group: TaskGroup, workspace_type: str | None) -> None:
    if workspace_type:
        has = group.workspace_type()
        require(
            not has or has == workspace_type,
            f"the group has workspace type '{has}', cannot run as '{workspace_type}'.",
        )
        group._workspace_type = workspace_type


#: a plan, what it hands back, and the type of its workspace
_Compiled = tuple[core.Plan, TaskOutputList, "str | None"]


class LocalSession(Session):
    """Runs everything in this process, whatever the nodes, at the same time where the tasks say so.

    Args:
        ws: a ``workspace.C.Workspace``; by default the current one.
    """

    def __init__(self, ws: Any = None) -> None:
        super().__init__()
        self._ws = ws or workspace.C.Workspace.current

    @classmethod
    def _compile_task_group(cls, task_group: TaskGroup, setup_net_list: Any = None) -> _Compiled:
        with Cluster():
            task = task_group.to_task()
        plan = core.Plan("task_group_plan")
        plan.AddStep(task.get_step())
        return plan, task.output_list(), task.workspace_type()

    def _run_compiled(self, compiled: _Compiled) -> None:
        plan, outputs, workspace_type = compiled
        names = [str(name) for name in outputs.names()]
        for name in names:
            # made here, so that they outlive a private workspace
            self._ws.create_blob(name)
        fetch: Callable[[Any], Any] = self._fetch_output
        outputs.set_values([core.BlobReference(name) for name in names], _fetch_func=fetch)
        private = workspace_type == WorkspaceType.PRIVATE
        (workspace.C.Workspace(self._ws) if private else self._ws).run(plan)

    def _fetch_output(self, output: Any) -> Any:
        return self._ws.blobs[str(output)].fetch()
