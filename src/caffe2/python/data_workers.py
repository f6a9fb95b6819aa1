"""Batches made by functions of a program in threads, while the net runs.

Source: caffe2/python/data_workers.py. Differs: what is left over from a batch comes first in the next; the
original put it back at the end of its buffer, and lost it if that was full.

::

    coordinator = data_workers.init_data_input_workers(
        model, ["data", "label"], fetch, batch_size=32          # fetch(worker_id, batch_size) -> two arrays
    )
    coordinator.start()
    workspace.RunNet(model.net)
    coordinator.stop()
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import core, scope, utils, workspace
from caffe2.python._errors import require
from caffe2.python.parallel_workers import (
    GlobalWorkerCoordinator,
    Metrics,
    State,
    Worker,
    WorkerCoordinator,
    make_thread,
)

log = logging.getLogger("data_workers")
log.setLevel(logging.INFO)

#: seconds between two lines of the log
LOG_INT_SECS = 60
#: batches that wait for the net, besides the arrays in the buffer
_BATCHES_AHEAD = 4
#: seconds after which a waiting thread looks whether it is to end
_NAP = 0.5

_Chunk = list[np.ndarray]


class BatchFeeder(State):
    """Cuts what the functions return into batches, and hands these to the net through queues.

    It adds an operator `DequeueBlobs` for each input to ``net``. Arguments as for
    `init_data_input_workers`.
    """

    def __init__(
        self,
        net: Any,
        input_blob_names: Sequence[str],
        batch_size: int,
        device_option: Any,
        namescope: str,
        input_source_name: str,
        queue: queue.Queue[_Chunk],
        metrics: Metrics,
        dont_rebatch: bool,
        batch_columns: Sequence[int] | None,
        timeout: float = 600,
    ) -> None:
        self._input_blob_names = input_blob_names
        self._batch_size = batch_size
        self._internal_queue = queue
        self._device_option = device_option
        self._namescope = namescope
        self._timeout = timeout
        self._input_source_name = input_source_name
        self._dont_rebatch = dont_rebatch
        self._metrics = metrics
        self._batch_columns = batch_columns or [0] * len(input_blob_names)
        self._left: _Chunk | None = None
        self._inputs = 0
        self._prev_seconds = time.time()
        self._queues = [self._make_queue(name) for name in input_blob_names]
        self._scratch = [f"{namescope}{name}_scratch_{input_source_name}" for name in input_blob_names]
        self._create_caffe2_ops(net)

    def _make_queue(self, blob: str) -> Any:
        name = f"{blob}_c2queue_{self._input_source_name}"
        op = core.CreateOperator("CreateBlobsQueue", [], [name], num_blobs=1, capacity=_BATCHES_AHEAD)
        workspace.RunOperatorOnce(op)
        return core.ScopedBlobReference(name)

    def _create_caffe2_ops(self, net: Any) -> None:
        for source, blob in zip(self._queues, self._input_blob_names, strict=True):
            net.DequeueBlobs(source, blob, timeout_secs=float(self._timeout))

    # ---- State -------------------------------------------------------------------------------------
    def start(self) -> None:
        self._inputs = 0
        self._prev_seconds = time.time()

    def stop(self) -> None:
        # a program may have emptied the workspace before it stops the threads
        for source in filter(workspace.HasBlob, self._queues):
            workspace.RunOperatorOnce(core.CreateOperator("CloseBlobsQueue", [source], []))
        self._log_speed()

    def cleanup(self) -> None:
        names = [*self._scratch, *(f"{name}_status" for name in self._scratch)]
        utils.ResetBlobs([name for name in names if workspace.HasBlob(name)])

    # ---- from the functions ------------------------------------------------------------------------
    def put(self, chunk: Any, coordinator: WorkerCoordinator) -> None:
        """Take what a function returned, waiting for room; None is passed over with a warning.

        Raises:
            MisuseError: not one numpy array for each input, or numbers of samples that differ.
        """
        if chunk is None:
            log.warning("a fetcher of '%s' returned None", self._input_source_name)
            return
        self._check(chunk)
        while coordinator.is_active():
            try:
                self._internal_queue.put(list(chunk), timeout=_NAP)
            except queue.Full:
                continue
            self._inputs += chunk[0].shape[self._batch_columns[0]]
            if time.time() - self._prev_seconds >= LOG_INT_SECS:
                self._log_speed()
            return

    def _check(self, chunk: Any) -> None:
        source, wanted = self._input_source_name, len(self._input_blob_names)
        require(
            len(chunk) == wanted, f"a fetcher of '{source}' returned {len(chunk)} arrays, expected {wanted}."
        )
        for array in chunk:
            kind = type(array).__name__
            require(
                isinstance(array, np.ndarray),
                f"a fetcher of '{source}' returned {kind}, expected numpy arrays.",
            )
        samples = {array.shape[column] for array, column in zip(chunk, self._batch_columns, strict=True)}
        require(
            self._dont_rebatch or len(samples) == 1,
            f"a fetcher of '{source}' returned arrays with different numbers of samples: {sorted(samples)}.",
        )

    # ---- to the net --------------------------------------------------------------------------------
    def _get(self, coordinator: WorkerCoordinator) -> _Chunk | None:
        if self._left is not None:
            left, self._left = self._left, None
            return left
        while coordinator.is_active():
            try:
                return self._internal_queue.get(timeout=_NAP)
            except queue.Empty:
                continue
        return None

    def _batch(self, coordinator: WorkerCoordinator) -> _Chunk | None:
        """The arrays of the next batch; None if the threads are to end."""
        if self._dont_rebatch:
            return self._get(coordinator)
        chunks: list[_Chunk] = []
        samples = 0
        while samples < self._batch_size:
            chunk = self._get(coordinator)
            if chunk is None:
                return None
            chunks.append(chunk)
            samples += chunk[0].shape[self._batch_columns[0]]
        whole = [
            np.concatenate(a, axis=c)
            for a, c in zip(zip(*chunks, strict=True), self._batch_columns, strict=True)
        ]
        if samples == self._batch_size:
            return whole
        cut = [np.split(a, [self._batch_size], c) for a, c in zip(whole, self._batch_columns, strict=True)]
        self._left = [rest for _, rest in cut]
        return [batch for batch, _ in cut]

    def _enqueue_batch(self, coordinator: WorkerCoordinator) -> None:
        """Hand one batch to the net, waiting for it."""
        batch = self._batch(coordinator)
        begun = time.time()
        if batch is None or not coordinator.is_active():
            return
        for source, name, array in zip(self._queues, self._scratch, batch, strict=True):
            workspace.FeedBlob(name, array, device_option=self._device_option)
            op = core.CreateOperator("SafeEnqueueBlobs", [source, name], [name, f"{name}_status"])
            op.device_option.CopyFrom(self._device_option)
            workspace.RunOperatorOnce(op)
        self._metrics.put_metric("enqueue_time", time.time() - begun)

    def _log_speed(self) -> None:
        now = time.time()
        seconds = now - self._prev_seconds
        speed, waiting = int(self._inputs / max(seconds, 1e-9)), self._internal_queue.qsize()
        log.info("%s/%s: %d inputs/sec", self._input_source_name, self._namescope, speed)
        for key, value in (("inputs_per_sec", speed), ("queue_size", waiting), ("time_elapsed", seconds)):
            self._metrics.put_metric(key, value, False)
        self._metrics.log_metrics()
        self._metrics.reset_metrics()
        self._inputs, self._prev_seconds = 0, now


class GlobalCoordinator(GlobalWorkerCoordinator):
    """All sources of data."""

    def __init__(self) -> None:
        super().__init__()
        self._queues: dict[str, queue.Queue[_Chunk]] = {}

    def get_queue(self, queue_name: str, max_buffered_batches: int) -> queue.Queue[_Chunk]:
        """The buffer of a source; the first caller says how many arrays it holds at most."""
        require(isinstance(max_buffered_batches, int), "max_buffered_batches must be a whole number.")
        return self._queues.setdefault(queue_name, queue.Queue(maxsize=max_buffered_batches))

    def reset_data_input(self, namescope: str, name: str, net: Any, batch_size: int) -> None:
        """Give another net the batches of a source, in another size."""
        for coordinator in self._coordinators:
            feeder = coordinator._state
            if coordinator._worker_name != name or not isinstance(feeder, BatchFeeder):
                continue
            if feeder._namescope == namescope:
                feeder._batch_size = batch_size
                feeder._create_caffe2_ops(net)


class DataWorker(Worker):
    """Calls ``fetch_fun(worker_id, batch_size)`` again and again."""

    def __init__(
        self,
        coordinator: WorkerCoordinator,
        worker_id: int,
        worker_fun: Callable[[int, int], Any],
        metrics: Metrics,
        batch_size: int,
        batch_feeder: BatchFeeder,
    ) -> None:
        super().__init__(coordinator, worker_id, worker_fun, metrics)
        self._batch_size = batch_size
        self._batch_feeder = batch_feeder

    def run(self) -> None:
        self._batch_feeder.put(self._worker_fun(self._worker_id, self._batch_size), self._coordinator)

    def finish(self) -> None:
        self._metrics.put_metric("fetcher_time", time.time() - self._start_time)


def enqueuer(coordinator: WorkerCoordinator, batch_feeder: BatchFeeder) -> None:
    """The body of the thread that hands batches to the net."""
    try:
        while coordinator.is_active():
            batch_feeder._enqueue_batch(coordinator)
    except Exception as error:
        # the net must not wait for batches that will not come
        coordinator._stop(f"Exception in enqueuer: {error}")
        raise


global_coordinator = GlobalCoordinator()


def get_worker_ids(num_workers: int) -> list[int]:
    """The numbers from 0."""
    return list(range(num_workers))


def init_data_input_workers(
    net: Any,
    input_blob_names: Sequence[str],
    fetch_fun: Callable[[int, int], Any],
    batch_size: int,
    num_worker_threads: int = 2,
    input_source_name: str = "train",
    max_buffered_batches: int = 800,
    init_fun: Callable[..., Any] | None = None,
    external_loggers: Iterable[Any] | None = None,
    dont_rebatch: bool = False,
    batch_columns: Sequence[int] | None = None,
    timeout: float = 600,
) -> GlobalCoordinator:
    """Feed a net with what a function returns, called in threads from ``start()`` to ``stop()``.

    If the function raises, the source is closed: the net runs as long as there are batches, then fails.

    Args:
        net: a Net or model helper; operators that read the inputs are added to it.
        input_blob_names: the inputs.
        fetch_fun: called with the number of the worker and ``batch_size``; returns an array for each
            input, with any number of samples, the same in all of them.
        batch_size: samples of a batch.
        num_worker_threads: how many threads call it.
        input_source_name: name of the source; sources of other names do not mix.
        max_buffered_batches: how many results of ``fetch_fun`` wait at most.
        init_fun: called with the coordinator of this source and the global one before the threads start.
        external_loggers: objects with ``log(dict)``.
        dont_rebatch: feed what the function returns as it is.
        batch_columns: for each input the dimension that counts samples; 0 if not given.
        timeout: seconds that the net waits for a batch.

    Returns:
        the global coordinator, always the same.
    """
    device = scope.CurrentDeviceScope() or caffe2_pb2.DeviceOption(device_type=caffe2_pb2.CPU)
    metrics = Metrics(external_loggers)
    feeder = BatchFeeder(
        net,
        input_blob_names,
        batch_size,
        device,
        scope.CurrentNameScope(),
        input_source_name,
        global_coordinator.get_queue(input_source_name, max_buffered_batches),
        metrics,
        dont_rebatch,
        batch_columns,
        timeout,
    )
    ids = [global_coordinator.get_new_worker_id() for _ in range(num_worker_threads)]
    coordinator = WorkerCoordinator(input_source_name, ids, init_fun, feeder)
    coordinator._workers = [
        make_thread(
            f"data_workers fetcher id {i}",
            coordinator,
            DataWorker(coordinator, i, fetch_fun, metrics, batch_size, feeder),
        )
        for i in ids
    ]
    name = f"Enqueuer {input_source_name} {scope.CurrentNameScope()}"
    coordinator._workers.append(threading.Thread(target=enqueuer, name=name, args=(coordinator, feeder)))
    global_coordinator.add(coordinator)
    return global_coordinator
