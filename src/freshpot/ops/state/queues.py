"""Queues: of records, one value a blob, and of rows that are put together to new batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError, KernelError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.sparse._rows import join
from freshpot.ops.tensor._clone import clone

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class Queue:
    """Items that threads hand over, at most ``capacity`` at a time. A closed queue can still be emptied."""

    #: whether a closed queue takes items as long as it has room
    takes_when_closed: ClassVar[bool] = False

    def __init__(self, capacity: int, width: int) -> None:
        self.capacity = capacity
        self.width = width
        self.closed = False
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()

    def put(self, items: Sequence[Any]) -> bool:
        """Append items, waiting for room; False if the queue is closed and does not take them."""
        for item in items:
            with self._changed:
                self._changed.wait_for(lambda: self.closed or len(self._items) < self.capacity)
                if self.closed and not (self.takes_when_closed and len(self._items) < self.capacity):
                    return False
                self._items.append(item)
                self._changed.notify_all()
        return True

    def take(self, count: int, timeout: float | None = None) -> list[Any]:
        """The first ``count`` items, waiting for them; fewer if the queue is closed, or time runs out."""
        taken: list[Any] = []
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while len(taken) < count:
                left = None if end is None else max(end - time.monotonic(), 0.0)
                self._changed.wait_for(lambda: self.closed or bool(self._items), left)
                if not self._items:
                    break
                taken.append(self._items.popleft())
                self._changed.notify_all()
        return taken

    def close(self) -> None:
        """Take no more items; wake all who wait."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class BlobsQueue(Queue):
    """A queue of records: lists of values, one for each blob."""

    original_type = "std::shared_ptr<caffe2::BlobsQueue>"
    takes_when_closed = True


class RebatchingQueue(Queue):
    """A queue of rows: lists of one row for each blob."""

    original_type = "std::unique_ptr<caffe2::RebatchingQueue>"


_SIZE = (
    Arg("capacity", int, 1, "items that it holds at most, > 0"),
    Arg("num_blobs", int, 1, "blobs of an item, > 0"),
)


class _Create(Operator, abstract=True):
    outputs = (Port("queue"),)
    args: ClassVar[tuple[Arg, ...]] = _SIZE
    gradient_stops = True
    kind: ClassVar[Callable[[int, int], Queue]]

    def setup(self) -> None:
        if self.capacity < 1 or self.num_blobs < 1:
            self.refuse("arguments 'capacity' and 'num_blobs' must be positive.", ArgumentError)

    def kernel(self) -> Any:
        return type(self).kind(self.capacity, self.num_blobs)


class CreateBlobsQueue(_Create):
    """A queue of records.

    Source:   caffe2/queue/queue_ops.h
    """

    args = (
        *_SIZE,
        Arg("enforce_unique_name", bool, False, "of no effect here: names of statistics"),
        Arg("field_names", [str], [], "names of the blobs, for statistics"),
    )
    kind = BlobsQueue


class CreateRebatchingQueue(_Create):
    """A queue of rows.

    Source:   caffe2/queue/rebatching_queue_ops.h
    """

    kind = RebatchingQueue


class _OnQueue(Operator, abstract=True):
    kind: ClassVar[type[Queue]] = BlobsQueue

    def queue(self, blob: Blob) -> Queue:
        """What the blob holds."""
        found = blob.value
        if not isinstance(found, self.kind):
            self.refuse(
                f"blob '{blob.name}' must hold a queue; make it with Create{self.kind.__name__}.",
                ArgumentError,
            )
        return found

    def need(self, found: int, wanted: int, what: str) -> None:
        """Refuse another number of blobs than the queue's items have."""
        if found != wanted:
            self.refuse(f"an item of the queue has {wanted} blobs, but there are {found} {what}.", ArityError)


def _record(blobs: Sequence[Blob]) -> list[Any]:
    copies = [clone(blob.value) for blob in blobs]
    return [blob.value if copy is None else copy for blob, copy in zip(blobs, copies, strict=True)]


_BLOBS = Port("blobs", many=True, at_least=0)
_PAIRS = tuple((i + 1, i) for i in range(64))


class EnqueueBlobs(_OnQueue):
    """Append a record, waiting for room.

    Raises:   KernelError if the queue is closed and full.
    Differs:  the blobs keep their values; the original leaves them empty.
    Source:   caffe2/queue/queue_ops.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("queue_and_blobs", many=True, at_least=0),)
    outputs = (_BLOBS,)
    inplace = ANY_PAIR
    must_inplace = _PAIRS

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        if not inputs:
            self.refuse("takes a queue and blobs, got none.", ArityError)
        queue = self.queue(inputs[0])
        self.need(len(inputs) - 1, queue.width, "inputs after the queue")
        if not queue.put([_record(inputs[1:])]):
            self.refuse(f"queue '{inputs[0].name}' is closed and full.", KernelError)


class SafeEnqueueBlobs(_OnQueue):
    """Append a record, waiting for room; status = whether it was not, as the queue is closed and full.

    Differs:  the blobs keep their values; the original leaves them empty.
    Source:   caffe2/queue/queue_ops.h
    """

    inputs = EnqueueBlobs.inputs
    outputs = (_BLOBS,)
    inplace = ANY_PAIR
    must_inplace = _PAIRS

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        if not inputs or not outputs:
            self.refuse("takes a queue and blobs, and makes a status.", ArityError)
        queue = self.queue(inputs[0])
        self.need(len(inputs) - 1, queue.width, "inputs after the queue")
        self.need(len(outputs) - 1, queue.width, "outputs before the status")
        outputs[-1].value = torch.tensor(not queue.put([_record(inputs[1:])]))


class DequeueBlobs(_OnQueue):
    """Take the first record, waiting for one.

    Raises:   KernelError if the queue is closed and empty, or time runs out.
    Source:   caffe2/queue/queue_ops.h
    """

    inputs = (Port("queue"),)
    outputs = (Port("blobs", many=True),)
    args = (Arg("timeout_secs", float, 0.0, "seconds to wait; 0: for ever"),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        queue = self.queue(inputs[0])
        self.need(len(outputs), queue.width, "outputs")
        taken = queue.take(1, self.timeout_secs or None)
        if not taken:
            why = "is closed and empty" if queue.closed else f"gave nothing for {self.timeout_secs} s"
            self.refuse(f"queue '{inputs[0].name}' {why}.", KernelError)
        for blob, value in zip(outputs, taken[0], strict=True):
            blob.value = value


class SafeDequeueBlobs(_OnQueue):
    """Take the first records, waiting for them; status = whether the queue is closed and had none.

    Several records are joined along the first dimension. Without a record the blobs stay as they are.

    Source:   caffe2/queue/queue_ops.h
    """

    inputs = (Port("queue", many=True, at_least=0),)
    outputs = (Port("blobs_and_status", many=True, at_least=0),)
    args = (Arg("num_records", int, 1, "how many, > 0"),)

    def setup(self) -> None:
        if self.num_records < 1:
            self.refuse(f"argument 'num_records' must be positive, got {self.num_records}.", ArgumentError)
        if self.num_inputs != 1 or not self.num_outputs:
            self.refuse("takes one queue, and makes blobs and a status.", ArityError)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        queue = self.queue(inputs[0])
        self.need(len(outputs) - 1, queue.width, "outputs before the status")
        taken = queue.take(self.num_records)
        for blob, *values in zip(outputs[:-1], *taken, strict=True) if taken else ():
            if len(values) > 1 and any(len(v.shape) < 1 for v in values):
                self.refuse(f"'{blob.name}': only values with a first dimension can be joined.")
            blob.value = values[0] if len(values) == 1 else join(values)
        outputs[-1].value = torch.tensor(not taken)


class WeightedSampleDequeueBlobs(_OnQueue):
    """Take the first record of a queue that is chosen at random; status = whether it is closed and empty.

    Raises:   ArgumentError if there is not one weight, >= 0, a queue, or none is positive.
    Source:   caffe2/queue/queue_ops.h
    """

    inputs = (Port("queues", many=True),)
    outputs = (Port("blobs_and_status", many=True, at_least=2),)
    args = (
        Arg("weights", [float], [], "how likely each queue is; none: all alike"),
        Arg("table_idx_blob", int, -1, "output that becomes the number of the queue; -1: none"),
    )
    gradient_stops = True

    def setup(self) -> None:
        weights = self.weights or [1.0] * self.num_inputs
        if len(weights) != self.num_inputs or min(weights) < 0 or sum(weights) <= 0:
            self.refuse(
                f"argument 'weights' must be {self.num_inputs} numbers >= 0, not all 0.", ArgumentError
            )
        if self.table_idx_blob >= self.num_outputs - 1:
            self.refuse(f"argument 'table_idx_blob' must be below {self.num_outputs - 1}.", ArgumentError)
        self.chances = torch.tensor(weights, device=self.device)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        chosen = int(torch.multinomial(self.chances, 1, generator=self.generator))
        queue = self.queue(inputs[chosen])
        self.need(len(outputs) - 1, queue.width, "outputs before the status")
        taken = queue.take(1)
        for blob, value in zip(outputs[:-1], taken[0], strict=True) if taken else ():
            blob.value = value
        if self.table_idx_blob >= 0:
            outputs[self.table_idx_blob].value = torch.tensor([chosen], dtype=torch.int32)
        outputs[-1].value = torch.tensor(not taken)


class CloseBlobsQueue(_OnQueue):
    """Close a queue: it takes no more records, and what it holds can still be taken.

    Source:   caffe2/queue/queue_ops.h
    """

    inputs = (Port("queue"),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        self.queue(inputs[0]).close()


class CloseRebatchingQueue(CloseBlobsQueue):
    """Close a queue of rows: it takes no more, and what it holds can still be taken.

    Source:   caffe2/queue/rebatching_queue_ops.h
    """

    kind = RebatchingQueue


class EnqueueRebatchingQueue(_OnQueue):
    """Append one row, or the rows of a batch, waiting for room.

    Raises:   KernelError if the queue is closed; ShapeError if batches are not equally long.
    Source:   caffe2/queue/rebatching_queue_ops.h
    """

    inputs = (Port("queue"), Port("tensor", many=True))
    args = (Arg("enqueue_batch", bool, False, "1: the first dimension counts rows"),)
    kind = RebatchingQueue

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        queue = self.queue(inputs[0])
        self.need(len(inputs) - 1, queue.width, "inputs after the queue")
        record = _record(inputs[1:])
        rows = [record]
        if self.enqueue_batch:
            if len({v.shape[:1] for v in record}) != 1 or not len(record[0].shape):
                self.refuse("all tensors of a batch must have the same number of rows.")
            rows = [[_row(v, i) for v in record] for i in range(record[0].shape[0])]
        if not queue.put(rows):
            self.refuse(f"queue '{inputs[0].name}' is closed.", KernelError)


def _row(value: Any, i: int) -> Any:
    return value[i] if isinstance(value, Tensor) else value[i : i + 1].reshape(value.shape[1:])


class DequeueRebatchingQueue(_OnQueue):
    """Take rows, waiting for them, as one batch; fewer if the queue is closed.

    Shapes:   queue, a tensor that is not looked at -> (up to num_elements, ...) for each blob of an item
    Raises:   KernelError if the queue is closed and empty.
    Source:   caffe2/queue/rebatching_queue_ops.h
    """

    inputs = (Port("queue"),)
    outputs = (Port("batch", many=True),)
    args = (Arg("num_elements", int, 1, "rows to take"),)
    gradient_stops = True
    kind = RebatchingQueue

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        queue = self.queue(inputs[0])
        self.need(len(outputs), queue.width, "outputs")
        taken = queue.take(self.num_elements)
        if not taken:
            self.refuse(f"queue '{inputs[0].name}' is closed and empty.", KernelError)
        for blob, *rows in zip(outputs, *taken, strict=True):
            blob.value = torch.stack(rows) if isinstance(rows[0], Tensor) else np.stack(rows)
