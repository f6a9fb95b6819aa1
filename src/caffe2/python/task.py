"""Tasks and groups of tasks: steps to run at the same time, on named nodes, and what they hand back.

Source: caffe2/python/task.py. Nodes are in `_task.nodes`, outputs in `_task.outputs`, what runs before and
after in `_task.setup`. A `session` runs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from caffe2.python import context, core
from caffe2.python._errors import require
from caffe2.python._task.nodes import Cluster, Node, WorkspaceType
from caffe2.python._task.outputs import TaskOutput, TaskOutputList
from caffe2.python._task.setup import SetupNets, add_setup_steps, get_setup_nets

if TYPE_CHECKING:
    from caffe2.python.net_builder import NetBuilder

__all__ = [
    "Cluster",
    "Node",
    "SetupNets",
    "Task",
    "TaskGroup",
    "TaskOutput",
    "TaskOutputList",
    "WorkspaceType",
    "add_setup_steps",
    "final_output",
    "get_setup_nets",
]


class TaskGroup(context.Managed):
    """Tasks that start together. The group has ended when the last of them has.

    Tasks made while it is current are part of it. Those of one node can share blobs.

    Args:
        workspace_type: a `WorkspaceType` for all tasks; if not given, that of the first task that has one,
            else private.
    """

    LOCAL_SETUP = "local_setup"

    def __init__(self, workspace_type: str | None = None) -> None:
        self._tasks: list[Task] = []
        self._tasks_to_add: list[Task] = []
        self._already_used = False
        self._report_nets: dict[str, tuple[core.Net, float]] = {}
        self._report_steps: list[tuple[str, core.ExecutionStep]] = []
        self._workspace_type = workspace_type
        self._tasks_by_node: tuple[TaskGroup, dict[str, str]] | None = None
        self._remote_nets: list[Any] = []

    def add_remote_net(self, net: Any) -> None:
        """Keep a net with the group."""
        self._remote_nets.append(net)

    def remote_nets(self) -> list[Any]:
        """The nets kept with the group."""
        return self._remote_nets

    def add(self, task: Task) -> None:
        """Add a task.

        Raises:
            MisuseError: the group was compiled or run already, or the task's workspace type is another.
        """
        require(not self._already_used, f"the group was used already; task '{task.name}' comes too late.")
        mine, other = self._workspace_type, task._workspace_type
        require(
            mine is None or other is None or mine == other,
            f"task '{task.name}' wants workspace type '{other}', its group has '{mine}'.",
        )
        task._workspace_type = other or mine or WorkspaceType.PRIVATE
        self._workspace_type = mine or task._workspace_type
        task._notify_used()
        self._tasks.append(task)

    def tasks(self) -> list[Task]:
        """The tasks. None can be added afterwards."""
        for task in self._tasks_to_add:
            self.add(task)
        self._tasks_to_add = []
        self._already_used = True
        return self._tasks

    def num_registered_tasks(self) -> int:
        """How many tasks there are; more can be added."""
        return len(self._tasks_to_add) + len(self._tasks)

    def used_nodes(self) -> list[str]:
        """The nodes of the tasks, in the order in which they first come up."""
        return list(dict.fromkeys(task.node for task in self._tasks + self._tasks_to_add))

    def report_step(self, step: Any = None, node: Any = None, interval_ms: int = 1000) -> None:
        """Run a step every ``interval_ms`` milliseconds while tasks of a node run, and once after them."""
        step = core.to_execution_step(step)
        step.RunEveryMillis(interval_ms)
        self._report_steps.append((str(node or Node.current(node)), step))

    def report_net(self, net: core.Net | None = None, node: Any = None, report_interval: int = 5) -> core.Net:
        """The net that runs every ``report_interval`` seconds; made if there is none.
        `report_step` is the newer way.

        Raises:
            MisuseError: the node has one already.
        """
        node = str(node or Node.current(node))
        require(net is None or node not in self._report_nets, f"node '{node}' has a report net already.")
        if node not in self._report_nets:
            self._report_nets[node] = (net or core.Net(f"{node}/reporter"), report_interval)
        return self._report_nets[node][0]

    def tasks_by_node(self, node_remap: Callable[[str], str] | None = None) -> TaskGroup:
        """A group with one task a node, which runs all tasks of that node.

        Args:
            node_remap: node -> node to use in its place.

        Raises:
            MisuseError: called again with other nodes.
        """
        nodes = {task.node: node_remap(task.node) if node_remap else task.node for task in self.tasks()}
        if self._tasks_by_node is not None:
            grouped, before = self._tasks_by_node
            require(before == nodes, "the tasks of the group were put on other nodes already.")
            return grouped
        for node, (net, seconds) in self._report_nets.items():
            self.report_step(net, node=node, interval_ms=int(seconds * 1000))
        self._report_nets = {}
        tasks: dict[str, list[Task]] = defaultdict(list)
        for task in self.tasks():
            tasks[nodes[task.node]].append(task)
        reports: dict[str, list[core.ExecutionStep]] = defaultdict(list)
        for node, step in self._report_steps:
            require(node in nodes, f"a report step was added for node '{node}', which has no task.")
            reports[nodes[node]].append(step)
        grouped = TaskGroup()
        for node, of_node in tasks.items():
            self._group(node, of_node, reports[node], grouped)
        self._tasks_by_node = (grouped, nodes)
        return grouped

    def _group(
        self, node: str, tasks: list[Task], reports: list[core.ExecutionStep], group: TaskGroup
    ) -> None:
        """Add one task to ``group`` that runs all ``tasks`` of a node."""
        own_steps = [task.get_step() for task in tasks]
        inits, exits = get_setup_nets(TaskGroup.LOCAL_SETUP, own_steps + reports, self)
        for task, step in zip(tasks, own_steps, strict=True):
            step.SetCreateWorkspace(task.workspace_type() == WorkspaceType.PRIVATE)
        steps = reports + own_steps
        body = steps[0]
        if len(steps) > 1:
            body = core.execution_step(f"{node}:body", steps, concurrent_substeps=True)
        is_global = any(task.workspace_type() == WorkspaceType.GLOBAL for task in tasks)
        Task(
            node=node,
            step=add_setup_steps(body, inits, exits, node),
            outputs=[output for task in tasks for output in task.outputs()],
            name="grouped_by_node",
            group=group,
            workspace_type=WorkspaceType.GLOBAL if is_global else WorkspaceType.PRIVATE,
        )

    def to_task(self, node: Any = None) -> Task:
        """One task, on ``node``, that runs all tasks of the group."""
        name = str(Node.current(node))
        tasks = self.tasks_by_node(lambda _: name).tasks()
        return tasks[0] if tasks else Task()

    def workspace_type(self) -> str | None:
        """The `WorkspaceType` of its tasks."""
        return self._workspace_type

    def __repr__(self) -> str:
        return (
            f"TaskGroup(tasks={self._tasks + self._tasks_to_add}, workspace_type={self.workspace_type()},"
            f" remote_nets={self.remote_nets()})"
        )


class Task(context.Managed):
    """A step, and what to hand back when it has run. It is added to the current group and node.

    As a context it is a net builder: what `net_builder.ops` makes inside is its step.

    Args:
        step: what to run: a step, a net, a net builder or a list of these.
        outputs: blobs, records or lists of blobs to hand back.
        workspace_type: a `WorkspaceType`.
        group, node: instead of the current ones.
        name: its name; by default that of the step.
        num_instances: how many copies to run at the same time, each in a workspace of its own.
    """

    TASK_SETUP = "task_setup"
    TASK_INSTANCE_SETUP = "task_instance_setup"
    REPORT_STEP = "report_step"
    _global_names_used: set[str] = set()

    @staticmethod
    def _get_next_name(node: str, group: TaskGroup | None, name: str) -> str:
        if group is None:
            used = Task._global_names_used
        else:
            used = {task.name for task in group._tasks_to_add}
        base = made = f"{node}/{name}"
        number = 0
        while made in used:
            number += 1
            made = f"{base}:{number}"
        return made

    def __init__(
        self,
        step: Any = None,
        outputs: Any = None,
        workspace_type: str | None = None,
        group: TaskGroup | None = None,
        node: Any = None,
        name: str | None = None,
        num_instances: int | None = None,
    ) -> None:
        if not name and isinstance(step, core.ExecutionStep):
            name = step.Proto().name
        self.node = str(Node.current(None if node is None else Node(node)))
        self.group: TaskGroup | None = TaskGroup.current(group, required=False)
        self.name = Task._get_next_name(self.node, self.group, name or "task")
        if self.group is not None:
            self.group._tasks_to_add.append(self)
        self._already_used = False
        self._step: core.ExecutionStep | None = None
        self._step_with_setup: core.ExecutionStep | None = None
        self._outputs: list[TaskOutput] = []
        self._net_builder: NetBuilder | None = None
        self._pipeline: Any = None
        self._is_pipeline_context = False
        self._workspace_type = workspace_type
        self._num_instances = num_instances
        if step is not None:
            self.set_step(step)
        if outputs is not None:
            self.add_outputs(outputs)

    def __enter__(self) -> Task:
        from caffe2.python import net_builder

        self._assert_not_used()
        require(self._step is None, f"task '{self.name}' has a step already.")
        super().__enter__()
        if self.group is not None:
            # tasks come in the order in which their blocks end
            self.group._tasks_to_add.remove(self)
        self._net_builder = net_builder.NetBuilder(_fullname=self.name)
        self._net_builder.__enter__()
        return self

    def __exit__(self, kind: Any = None, *args: Any) -> None:
        super().__exit__(kind, *args)
        builder, self._net_builder = self._net_builder, None
        if builder is not None:
            builder.__exit__(kind, *args)
        if kind is None:
            self.set_step(builder)
        if self.group is not None:
            self.group._tasks_to_add.append(self)

    def workspace_type(self) -> str | None:
        """Its `WorkspaceType`, once it is part of a group."""
        return self._workspace_type

    def _assert_not_used(self) -> None:
        require(not self._already_used, f"task '{self.name}' was used already; change it before.")

    def add_output(self, output: Any) -> TaskOutput:
        """Hand back a blob, a record or a list of blobs."""
        self._assert_not_used()
        made = output if isinstance(output, TaskOutput) else TaskOutput(output)
        self._outputs.append(made)
        return made

    def add_outputs(self, outputs: Any) -> Any:
        """`add_output` for each item of a list; returns what it returned."""
        self._assert_not_used()
        if type(outputs) not in (list, tuple):
            return self.add_output(outputs)
        return [self.add_output(output) for output in outputs]

    def set_step(self, step: Any) -> None:
        """What to run: a step, a net, a net builder or a list of these."""
        self._assert_not_used()
        self._step = core.to_execution_step(step)

    def get_step(self) -> core.ExecutionStep:
        """The step with what runs before, after and beside it. It cannot be changed afterwards."""
        if self._step_with_setup is None:
            step = self._step
            self._step_with_setup = core.execution_step(self.name, []) if step is None else self._full(step)
        return self._step_with_setup

    def _full(self, step: core.ExecutionStep) -> core.ExecutionStep:
        reports = _unused_reports(step)
        task_init, task_exit = get_setup_nets(Task.TASK_SETUP, [step, *reports], self)
        init, exits = get_setup_nets(Task.TASK_INSTANCE_SETUP, [step, *reports], self)
        if not self._outputs:
            task_exit.append(self._dummy_output())
        if reports:
            step = core.execution_step(f"{self.name}:body", [*reports, step])
        step = add_setup_steps(step, init, exits, f"{self.name}:instance")
        if self._num_instances and self._num_instances > 1:
            step.SetCreateWorkspace(True)
            # the name is the original's, which forgot to put the task's name into it
            step = core.execution_step("%s:parallel", [step], num_concurrent_instances=self._num_instances)
        return add_setup_steps(step, task_init, task_exit, self.name)

    def _dummy_output(self) -> core.Net:
        """A net that makes something to hand back, so that every task has an output."""
        net = core.Net(f"{self.name}:output")
        self.add_output(net.ConstantFill([], 1, dtype=core.DataType.INT32, value=0))
        return net

    def output_list(self) -> TaskOutputList:
        """Its outputs, for a session to fill in."""
        return TaskOutputList(self._outputs)

    def outputs(self) -> list[TaskOutput]:
        """Its outputs."""
        return self._outputs

    def _notify_used(self) -> None:
        self.get_step()
        self._already_used = True

    def __repr__(self) -> str:
        return f"Task(name={self.name}, node={self.node}, outputs={self.outputs()})"


def _unused_reports(step: core.ExecutionStep) -> list[Any]:
    """Report steps among the attributes of a step's nets that no task has taken yet."""
    found = []
    for report in step.get_all_attributes(Task.REPORT_STEP):
        if not hasattr(report, "_report_step_used"):
            report._report_step_used = True
            if not report.Proto().run_every_ms:
                report.RunEveryMillis(1000)
            found.append(report)
    return found


def final_output(blob_or_record: Any) -> TaskOutput:
    """Hand back a blob or a record when the current task has run; without one, a task is made for it."""
    task = Task.current(required=False) or Task()
    return task.add_output(blob_or_record)
