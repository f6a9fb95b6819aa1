"""Queues read as if they were databases."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from freshpot.data.blocks import Block, Record
from freshpot.data.reader import DBReader
from freshpot.errors import ArgumentError, DataError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe
from freshpot.ops.state.queues import BlobsQueue


class QueueReader(DBReader):
    """Records out of a queue's items, in their order; each is read once.

    Args:
        queue: its items hold texts, or tensors of one text.
        key, value: which blob of an item is the key (-1: there is none) and which the value.
        timeout: seconds to wait for an item; None: for ever.

    Raises:
        DataError: from `read`: the queue is closed and empty, time ran out, or an item holds no text.
    """

    #: what is read is gone, so nothing is read before it is wanted
    reads_ahead = False

    def __init__(self, queue: BlobsQueue, key: int, value: int, timeout: float | None) -> None:
        self.db_type, self.source = "queue", "queue"
        self.num_shards, self.shard_id = 1, 0
        self._queue, self._places, self._timeout = queue, (key, value), timeout
        self._lock = threading.Lock()
        self._next: Record | None = None

    def _take(self) -> Record:
        if self._next is not None:
            record, self._next = self._next, None
            return record
        found = self._queue.take(1, self._timeout)
        if not found:
            why = "is closed and empty" if self._queue.closed else f"gave nothing for {self._timeout} s"
            raise DataError(f"the queue that is read as a database {why}.")
        key, value = self._places
        return (_text(found[0][key]) if key >= 0 else b""), _text(found[0][value])

    def read_block(self, count: int) -> Block:
        """The next ``count`` records together."""
        with self._lock:
            return Block.of([self._take() for _ in range(count)])

    def seek_to_first(self) -> None:
        """Nothing to do: a queue has no beginning."""

    def key(self) -> bytes:
        """The key of the record that :meth:`read` gives next."""
        with self._lock:
            self._next = self._take()
            return self._next[0]

    def close(self) -> None:
        """Nothing to do: the queue belongs to others."""


def _text(value: Any) -> bytes:
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.reshape(-1)[0]
    if not isinstance(value, (bytes, str)):
        raise DataError(f"an item of the queue holds {describe(value)}, expected text.")
    return value.encode() if isinstance(value, str) else value


class CreateBlobsQueueDB(Operator):
    """A reader of the records in a queue, for TensorProtosDBInput and others that read databases.

    Shapes:   queue of texts -> reader
    Raises:   ArgumentError if the input is no queue, or its items have no such blobs.
    Differs:  where the queue is closed and empty, or time runs out, reading fails; the original gives the last
              record again.
    Source:   caffe2/queue/queue_ops.cc, caffe2/queue/blobs_queue_db.h
    """

    inputs = (Port("queue"),)
    outputs = (Port("reader"),)
    args = (
        Arg("key_blob_index", int, -1, "which blob of an item is the key; -1: none"),
        Arg("value_blob_index", int, 0, "which blob of an item is the value"),
        Arg("timeout_secs", float, 0.0, "seconds to wait for an item; 0: for ever"),
    )
    gradient_stops = True

    def check(self, queue: Any) -> None:
        if not isinstance(queue, BlobsQueue):
            self.refuse("the input must hold a queue; make it with CreateBlobsQueue.", ArgumentError)
        if not (0 <= self.value_blob_index < queue.width and -1 <= self.key_blob_index < queue.width):
            self.refuse(
                f"items of the queue have {queue.width} blobs, but {self.key_blob_index} is to be the key and "
                f"{self.value_blob_index} the value.",
                ArgumentError,
            )

    def kernel(self, queue: BlobsQueue) -> Any:
        return QueueReader(queue, self.key_blob_index, self.value_blob_index, self.timeout_secs or None)
