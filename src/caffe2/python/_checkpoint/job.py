"""A job: groups of tasks that run before, in each epoch of, and after a training.

Owned here: `Job`. Who calls it: `checkpoint`.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import context, core
from caffe2.python._errors import require
from caffe2.python.task import Task, TaskGroup, TaskOutput, WorkspaceType


class Job(context.Managed):
    """Groups of tasks for a `JobRunner`; inside ``with Job() as job:`` tasks go to the epoch group.

    Args:
        init_group: runs once, first: parameters, lists of files. Its blobs stay.
        epoch_group: runs again and again, until a stop condition is true after it.
        download_group: runs once after that.
        exit_group: runs once, last.
        stop_conditions: outputs of tasks.
        nodes_to_checkpoint: by default those that the init group uses.
    """

    def __init__(
        self,
        init_group: Any = None,
        epoch_group: Any = None,
        download_group: Any = None,
        exit_group: Any = None,
        stop_conditions: list[Any] | None = None,
        nodes_to_checkpoint: Any = None,
    ) -> None:
        self.init_group = init_group or TaskGroup(workspace_type=WorkspaceType.GLOBAL)
        self.epoch_group = epoch_group or TaskGroup()
        self.download_group = download_group or TaskGroup()
        self.exit_group = exit_group or TaskGroup()
        self.stop_conditions = stop_conditions or []
        self._nodes_to_checkpoint = nodes_to_checkpoint

    def nodes_to_checkpoint(self) -> Any:
        """Names of the nodes whose blobs are saved."""
        return self._nodes_to_checkpoint or self.init_group.used_nodes()

    def compile(self, session_class: Any) -> None:
        """Make the groups ready for sessions of a class."""
        self._nodes_to_checkpoint = self.nodes_to_checkpoint()
        self.init_group = session_class.compile(self.init_group)
        self.epoch_group = session_class.compile(self.epoch_group)
        self.download_group = session_class.compile(self.download_group)
        self.exit_group = session_class.compile(self.exit_group)

    def __enter__(self) -> Job:
        super().__enter__()
        self.epoch_group.__enter__()
        return self

    def __exit__(self, *args: Any) -> None:
        self.epoch_group.__exit__()
        super().__exit__(*args)

    def add_stop_condition(self, output: Any) -> None:
        """Stop after an epoch in which this blob, or output of a task, is true.

        Raises:
            MisuseError: it is something else.
        """
        if isinstance(output, core.BlobReference):
            output = Task(outputs=[output], group=self.epoch_group).outputs()[0]
        require(
            isinstance(output, TaskOutput),
            f"a stop condition is a blob or a task's output, got {type(output).__name__}.",
        )
        self.stop_conditions.append(output)


def epoch_limiter(job: Job, num_epochs: int) -> None:
    """Stop a job after so many epochs."""
    with job.init_group:
        init_net = core.Net("epoch_counter_init")
        counter = init_net.CreateCounter([], init_count=num_epochs - 1)
        Task(step=init_net)
    with job.epoch_group:
        epoch_net = core.Net("epoch_countdown")
        finished = epoch_net.CountDown(counter)
        output = Task(step=epoch_net, outputs=finished).outputs()[0]
    job.add_stop_condition(output)
