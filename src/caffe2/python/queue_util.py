"""Queues as pipes, and operators around queues.

Source: caffe2/python/queue_util.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from caffe2.python import core, dataio
from caffe2.python._errors import require
from caffe2.python.task import TaskGroup

logger = logging.getLogger(__name__)


class _QueueReader(dataio.Reader):
    def __init__(self, wrapper: QueueWrapper, num_dequeue_records: int = 1) -> None:
        require(wrapper.schema() is not None, "a queue needs a schema to be read from.")
        super().__init__(wrapper.schema())
        self._wrapper = wrapper
        self._num_dequeue_records = num_dequeue_records

    def setup_ex(self, init_net: Any, exit_net: Any) -> None:
        exit_net.CloseBlobsQueue([self._wrapper.queue()], 0)

    def read_ex(self, local_init_net: Any, local_finish_net: Any) -> tuple[Any, ...]:
        self._wrapper._new_reader(local_init_net)
        net = core.Net("dequeue")
        names = self.schema().field_names()
        fields, status = dequeue(
            net,
            self._wrapper.queue(),
            len(names),
            field_names=names,
            num_records=self._num_dequeue_records,
        )
        return [net], status, fields

    def read(self, net: Any) -> tuple[Any, Any]:
        nets, _, fields = self.read_ex(net, None)
        return nets, fields


class _QueueWriter(dataio.Writer):
    def __init__(self, wrapper: QueueWrapper) -> None:
        self._wrapper = wrapper

    def setup_ex(self, init_net: Any, exit_net: Any) -> None:
        exit_net.CloseBlobsQueue([self._wrapper.queue()], 0)

    def write_ex(self, fields: Any, local_init_net: Any, local_finish_net: Any, status: Any) -> list[Any]:
        self._wrapper._new_writer(self.schema(), local_init_net)
        net = core.Net("enqueue")
        enqueue(net, self._wrapper.queue(), fields, status)
        return [net]


class QueueWrapper(dataio.Pipe):
    """A queue's blob as a pipe; readers and writers close it when they end."""

    def __init__(self, handler: Any, schema: Any = None, num_dequeue_records: int = 1) -> None:
        super().__init__(schema, TaskGroup.LOCAL_SETUP)
        self._queue = handler
        self._num_dequeue_records = num_dequeue_records

    def reader(self) -> _QueueReader:
        """A reader. Raises MisuseError while the schema is not known."""
        return _QueueReader(self, num_dequeue_records=self._num_dequeue_records)

    def writer(self) -> _QueueWriter:
        return _QueueWriter(self)

    def queue(self) -> Any:
        """The queue's blob."""
        return self._queue


class Queue(QueueWrapper):
    """A queue of its own, made when the tasks that use it are set up.

    Args:
        capacity: records that it holds at most.
        schema: what it holds; else what the first writer writes.
        name: prefix of the blob's name.
        num_dequeue_records: records that are read together.
    """

    def __init__(
        self, capacity: int, schema: Any = None, name: str = "queue", num_dequeue_records: int = 1
    ) -> None:
        net = core.Net(name)  # makes the blob's name unique
        handler = net.AddExternalInput(net.NextName("handler"))
        super().__init__(handler, schema, num_dequeue_records=num_dequeue_records)
        self.capacity = capacity
        self._setup_done = False

    def setup(self, global_init_net: Any) -> None:
        require(bool(self._schema), "this queue does not have a schema: nothing is written to it.")
        self._setup_done = True
        names = self._schema.field_names()
        global_init_net.CreateBlobsQueue(
            [], [self._queue], capacity=self.capacity, num_blobs=len(names), field_names=names
        )


def enqueue(net: Any, queue: Any, data_blobs: Sequence[Any], status: Any = None) -> Any:
    """Append blobs as one record; returns the blob that says whether they were not."""
    if status is None:
        status = net.NextName("status")
    blobs: list[Any] = []
    for blob in data_blobs:
        if blob in blobs:
            logger.warning("Need to copy blob %s to enqueue", blob)
            blob = net.Copy(blob)
        blobs.append(blob)
    return net.SafeEnqueueBlobs([queue, *blobs], [*blobs, status])[-1]


def dequeue(
    net: Any,
    queue: Any,
    num_blobs: int,
    status: Any = None,
    field_names: Sequence[str] | None = None,
    num_records: int = 1,
) -> tuple[list[Any], Any]:
    """Take records; returns their blobs, and the blob that says whether there were none.

    Raises:
        MisuseError: there are not as many names as blobs.
    """
    if field_names is not None:
        require(len(field_names) == num_blobs, f"{len(field_names)} names are given for {num_blobs} blobs.")
        names = [net.NextName(name) for name in field_names]
    else:
        names = [net.NextName("data", i) for i in range(num_blobs)]
    if status is None:
        status = net.NextName("status")
    *blobs, status = net.SafeDequeueBlobs(queue, [*names, status], num_records=num_records)
    return blobs, status


def close_queue(step: Any, *queues: Any) -> Any:
    """A step that closes queues after another step."""
    net = core.Net("close_queue_net")
    for queue in queues:
        net.CloseBlobsQueue([queue], 0)
    return core.execution_step(f"{net}_wraper_step", [step, core.execution_step(f"{net}_step", net)])
