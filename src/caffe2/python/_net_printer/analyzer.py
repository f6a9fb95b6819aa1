"""Blobs that are read before they are written, or written by steps that run at the same time.

Owned here: `Analyzer`, and what it does for each type. Who calls it: `net_printer`.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from caffe2.proto.caffe2_pb2 import OperatorDef
from caffe2.python._errors import require
from caffe2.python._net_printer.visitor import Visitor
from caffe2.python.checkpoint import Job
from caffe2.python.core import ExecutionStep, Net
from caffe2.python.task import Task, TaskGroup, WorkspaceType

#: blob -> how often it is written
_Blobs = defaultdict[str, int]


class Analyzer(Visitor):
    """Called with objects in the order in which they run, it follows which blobs there are, a node each."""

    PREFIXES_TO_IGNORE = {"distributed_ctx_init"}

    def __init__(self) -> None:
        self.workspaces: defaultdict[str, _Blobs] = defaultdict(lambda: defaultdict(int))
        self.workspace_ctx: list[_Blobs] = []

    @property
    def workspace(self) -> _Blobs:
        """The blobs there are now."""
        require(self.workspace_ctx, "analyze a task or a task group: other things have no workspace.")
        return self.workspace_ctx[-1]

    @contextlib.contextmanager
    def set_workspace(
        self, node: Any = None, ws: _Blobs | None = None, do_copy: bool = False
    ) -> Iterator[_Blobs]:
        """Use other blobs inside: those given, those of a node, or the current ones; or a copy of them."""
        if ws is None:
            ws = self.workspace if node is None else self.workspaces[str(node)]
        self.workspace_ctx.append(ws.copy() if do_copy else ws)
        yield self.workspace
        self.workspace_ctx.pop()

    def define_blob(self, blob: str) -> None:
        """A blob is written."""
        self.workspace[blob] += 1

    def need_blob(self, blob: str) -> None:
        """A blob is read.

        Raises:
            MisuseError: nothing has written it.
        """
        known = blob in self.workspace or blob.startswith(tuple(self.PREFIXES_TO_IGNORE))
        require(known, f"Blob undefined: {blob}; nothing writes it before it is read.")


@Analyzer.register(OperatorDef)
def analyze_op(analyzer: Analyzer, op: Any) -> None:
    """An operator."""
    for name in op.input:
        analyzer.need_blob(name)
    for name in op.output:
        analyzer.define_blob(name)


@Analyzer.register(Net)
def analyze_net(analyzer: Analyzer, net: Net) -> None:
    """A net."""
    for op in net.Proto().op:
        analyzer(op)


@Analyzer.register(ExecutionStep)
def analyze_step(analyzer: Analyzer, step: ExecutionStep) -> None:
    """A step with its substeps and nets."""
    proto = step.Proto()
    made_beside: set[str] = set()
    with analyzer.set_workspace(do_copy=proto.create_workspace):
        if proto.report_net:
            with analyzer.set_workspace(do_copy=True):
                analyzer(step.get_net(proto.report_net))
        for substep in [*step.Substeps(), *map(step.get_net, proto.network)]:
            with analyzer.set_workspace(do_copy=proto.concurrent_substeps) as inside:
                analyzer(substep)
                if proto.should_stop_blob:
                    analyzer.need_blob(proto.should_stop_blob)
            if proto.concurrent_substeps:
                made = set(inside) - set(analyzer.workspace)
                twice = ", ".join(sorted(made & made_beside))
                require(not twice, f"step '{step}': steps that run at the same time write the same: {twice}.")
                made_beside |= made
    for name in made_beside:
        analyzer.define_blob(name)


@Analyzer.register(Task)
def analyze_task(analyzer: Analyzer, task: Task) -> None:
    """A task."""
    with analyzer.set_workspace(do_copy=task.workspace_type() != WorkspaceType.GLOBAL):
        analyzer(task.get_step())


@Analyzer.register(TaskGroup)
def analyze_task_group(analyzer: Analyzer, tg: TaskGroup) -> None:
    """A group, one task a node."""
    for task in tg.tasks_by_node().tasks():
        with analyzer.set_workspace(node=task.node):
            analyzer(task)


@Analyzer.register(Job)
def analyze_job(analyzer: Analyzer, job: Job) -> None:
    """A job: what runs before the epochs, and an epoch."""
    analyzer(job.init_group)
    analyzer(job.epoch_group)
