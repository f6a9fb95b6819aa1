"""A queue between a reader and those who consume what it reads.

Source: caffe2/python/record_queue.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.python import core, workspace
from caffe2.python._errors import require
from caffe2.python.dataio import Reader, Writer
from caffe2.python.schema import Field, Struct, from_column_list


class _QueueReader(Reader):
    def __init__(self, blobs_queue: Any, schema: Any, name: str | None = None) -> None:
        super().__init__(schema)
        self.blobs_queue = blobs_queue
        self.name = name

    def read(self, read_net: Any) -> tuple[Any, Any]:
        with core.NameScope(read_net.NextName(self.name)):
            status = read_net.NextName()
            *fields, status = read_net.SafeDequeueBlobs(
                self.blobs_queue, [*self._schema.field_names(), status]
            )
            return status, tuple(fields)


class _QueueWriter(Writer):
    def __init__(self, blobs_queue: Any, schema: Any) -> None:
        self.blobs_queue = blobs_queue
        self._fields = schema.field_names()

    def write(self, writer_net: Any, fields: Any) -> Any:
        if isinstance(fields, Field):
            fields = fields.field_blobs()
        writer_net.CheckDatasetConsistency(fields, [], fields=self._fields)
        status = writer_net.NextName()
        writer_net.SafeEnqueueBlobs([self.blobs_queue, *fields], [*fields, status])
        return status


class RecordQueue:
    """A queue that is made at once, in the current workspace.

    Args:
        fields: a Struct, or a list of columns' names.
        name: prefix of names that are made.
        capacity: records that it holds at most.
        enforce_unique_name: of no effect here.
        num_threads: threads that fill it.

    Raises:
        MisuseError: ``fields`` is something else.
    """

    def __init__(
        self,
        fields: Any,
        name: str | None = None,
        capacity: int = 1,
        enforce_unique_name: bool = False,
        num_threads: int = 1,
    ) -> None:
        require(
            isinstance(fields, (list, Struct)),
            f"fields are a Struct or a list of names, got {type(fields).__name__}.",
        )
        self.schema = from_column_list(fields) if isinstance(fields, list) else fields
        self.name = name or "queue"
        self.num_threads = num_threads
        init_net = core.Net(f"{self.name}/init_net")
        self.blobs_queue = init_net.CreateBlobsQueue(
            [],
            1,
            capacity=capacity,
            num_blobs=len(self.schema.field_names()),
            enforce_unique_name=enforce_unique_name,
        )
        workspace.RunNetOnce(init_net)
        self.writer = _QueueWriter(self.blobs_queue, self.schema)
        self.reader = _QueueReader(self.blobs_queue, self.schema, f"{self.name}_reader")
        exit_net = core.Net(f"{self.name}/exit_net")
        exit_net.CloseBlobsQueue(self.blobs_queue, 0)
        self.exit_step = core.execution_step(f"{exit_net}_close_step", exit_net)

    def build(
        self, reader: Reader, process: Callable[[Any, Any], Any] | None = None
    ) -> tuple[Reader, Any, Any, Any]:
        """Fill the queue from a reader.

        Args:
            reader: read by every thread.
            process: ``process(net, record)`` returns the record that goes into the queue.

        Returns:
            the queue's reader; the step that fills it, to run beside those that consume; the step that closes
            it; its schema.
        """
        steps = []
        for i in range(self.num_threads):
            read_net = core.Net(f"reader_{i}")
            should_stop, record = reader.read_record(read_net)
            write_net = core.Net(f"queue_writer{i}")
            if process:
                record = process(write_net, record)
            self.writer.write(write_net, record.field_blobs())
            steps.append(
                core.execution_step(
                    f"producer_{i}",
                    [
                        core.execution_step(f"reader_{i}", read_net),
                        core.execution_step(f"queue_writer{i}", write_net),
                    ],
                    should_stop_blob=should_stop,
                )
            )
        producers = core.execution_step("producers", steps, concurrent_substeps=True)
        return self.reader, producers, self.exit_step, self.schema
