"""Functions of a program that run again and again in threads.

Source: caffe2/python/parallel_workers.py.

::

    coordinator = parallel_workers.init_workers(work, worker_name="train")   # work(worker_id)
    coordinator.start()
    …
    coordinator.stop()
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger("parallel_workers")
log.setLevel(logging.INFO)

#: seconds that `stop` waits for each thread: it may be blocked in reading a file
_PATIENCE = 5.0


class Metrics:
    """Sums of numbers by name, for external loggers with ``log(dict)``."""

    def __init__(self, external_loggers: Iterable[Any] | None) -> None:
        self._metrics: defaultdict[str, float] = defaultdict(int)
        self._external_loggers = list(external_loggers or ())

    def reset_metrics(self) -> None:
        """Begin anew."""
        self._metrics = defaultdict(int)

    def log_metrics(self) -> None:
        """Give the sums to the loggers; one that fails is passed over with a warning."""
        for logger in self._external_loggers:
            try:
                logger.log(dict(self._metrics))  # workers go on adding
            except Exception as error:
                log.warning("external logger %s failed: %s", type(logger).__name__, error)

    def put_metric(self, key: str, value: float, count: bool = True) -> None:
        """Add a number; ``key_count`` says how many were added."""
        self._metrics[key] += value
        if count:
            self._metrics[f"{key}_count"] += 1


class State:
    """What workers share: told when they start, when they stop, and when all have ended."""

    def start(self) -> None:
        """Before the threads start."""

    def stop(self) -> None:
        """When the threads are to end."""

    def cleanup(self) -> None:
        """When the threads have ended."""


class WorkerCoordinator:
    """The threads of one name.

    Args:
        worker_name: their name.
        worker_ids: the numbers of the workers.
        init_fun: called with this object and the global one before they start.
        state: what they share.
        shutdown_fun: called without arguments when they are to end.
    """

    def __init__(
        self,
        worker_name: str,
        worker_ids: list[int],
        init_fun: Callable[..., Any] | None,
        state: State | None = None,
        shutdown_fun: Callable[[], Any] | None = None,
    ) -> None:
        self._active = True
        self._started = False
        self._workers: list[threading.Thread] = []
        self._worker_name = worker_name
        self._worker_ids = worker_ids
        self._init_fun = init_fun
        self._state = state
        self._shutdown_fun = shutdown_fun

    def is_active(self) -> bool:
        """False once the threads are to end."""
        return self._active

    def init(self, global_coordinator: GlobalWorkerCoordinator) -> None:
        """Call ``init_fun``, unless the threads run already."""
        if self._init_fun and not self._started:
            self._init_fun(self, global_coordinator)

    def _start(self) -> None:
        if self._started:
            return
        self._active = self._started = True
        if self._state:
            self._state.start()
        for worker in self._workers:
            worker.daemon = True
            worker.start()

    def _stop(self, reason: str | None = None) -> None:
        self._active = False
        if reason is not None:
            log.error("workers '%s' end because of an error: %s", self._worker_name, reason)
        if self._shutdown_fun and self._started:
            self._shutdown_fun()
        if self._state:
            self._state.stop()
        self._started = False

    def _wait_finish(self, cleanup: Any = None) -> bool:
        for worker in self._workers:
            if worker.is_alive() and worker is not threading.current_thread():
                worker.join(_PATIENCE)
        alive = [worker.name for worker in self._workers if worker.is_alive()]
        if alive:
            log.warning("workers '%s': still running: %s", self._worker_name, ", ".join(alive))
        elif self._state:
            self._state.cleanup()
        return not alive

    def get_worker_ids(self) -> list[int]:
        """The numbers of the workers."""
        return self._worker_ids


class GlobalWorkerCoordinator:
    """All threads, whatever their names. They are stopped when the program ends."""

    def __init__(self) -> None:
        self._coordinators: list[WorkerCoordinator] = []
        self._fetcher_id_seq = 0
        self._worker_ids: list[int] = []
        self.register_shutdown_handler()

    def add(self, coordinator: WorkerCoordinator) -> None:
        """Add the threads of one name."""
        self._coordinators.append(coordinator)

    def get_new_worker_id(self) -> int:
        """A number that no worker has."""
        self._worker_ids.append(self._fetcher_id_seq)
        self._fetcher_id_seq += 1
        return self._worker_ids[-1]

    def get_worker_ids(self) -> list[int]:
        """The numbers of all workers."""
        return self._worker_ids

    def start(self) -> None:
        """Call the init functions one after the other, then start the threads."""
        for coordinator in self._coordinators:
            coordinator.init(self)
        for coordinator in self._coordinators:
            coordinator._start()

    def stop(self) -> bool:
        """End all threads; False if one does not end within five seconds."""
        return self._end(lambda coordinator: True)

    def stop_coordinator(self, worker_name: str) -> None:
        """End the threads of one name."""
        self._end(lambda coordinator: coordinator._worker_name == worker_name)

    def _end(self, chosen: Callable[[WorkerCoordinator], bool]) -> bool:
        ending = [coordinator for coordinator in self._coordinators if chosen(coordinator)]
        for coordinator in ending:
            coordinator._stop()
        ended = [coordinator._wait_finish() for coordinator in ending]
        self._coordinators = [coordinator for coordinator in self._coordinators if coordinator not in ending]
        return all(ended)

    def register_shutdown_handler(self) -> None:
        """End all threads when the program ends."""
        atexit.register(self.stop)


class Worker:
    """What a thread does, again and again: ``worker_fun(worker_id)``."""

    def __init__(
        self,
        coordinator: WorkerCoordinator,
        worker_id: int,
        worker_fun: Callable[..., Any],
        metrics: Metrics,
    ) -> None:
        self._coordinator = coordinator
        self._worker_id = worker_id
        self._worker_fun = worker_fun
        self._metrics = metrics
        self._start_time = 0.0

    def start(self) -> None:
        """Before each call."""
        self._start_time = time.time()

    def run(self) -> None:
        """The call."""
        self._worker_fun(self._worker_id)

    def handle_exception(self, e: Exception) -> None:
        """After a call that failed: log it, and end all threads of the name."""
        log.error("worker %d failed", self._worker_id, exc_info=e)
        self._coordinator._stop(f"Exception in worker {self._worker_id}: {e}")

    def finish(self) -> None:
        """After each call."""
        self._metrics.put_metric("worker_time", time.time() - self._start_time)
        self._metrics.log_metrics()


def run_worker(coordinator: WorkerCoordinator, worker: Worker) -> None:
    """The body of a thread."""
    while coordinator.is_active():
        worker.start()
        try:
            worker.run()
        except Exception as error:
            worker.handle_exception(error)
        finally:
            worker.finish()


def make_thread(name: str, coordinator: WorkerCoordinator, worker: Worker) -> threading.Thread:
    """A thread for a worker, not started."""
    return threading.Thread(target=run_worker, name=name, args=(coordinator, worker))


global_coordinator = GlobalWorkerCoordinator()


def init_workers(
    worker_fun: Callable[[int], Any],
    num_worker_threads: int = 2,
    worker_name: str = "train",
    init_fun: Callable[..., Any] | None = None,
    external_loggers: Iterable[Any] | None = None,
    shutdown_fun: Callable[[], Any] | None = None,
) -> GlobalWorkerCoordinator:
    """Make threads that call a function again and again, from ``start()`` to ``stop()``.

    If the function raises, the threads of that name end, and the error is logged.

    Args:
        worker_fun: called with the number of the worker.
        num_worker_threads: how many threads.
        worker_name: their name, for `GlobalWorkerCoordinator.stop_coordinator`.
        init_fun: called with the coordinator of these threads and the global one before they start.
        external_loggers: objects with ``log(dict)``, called after each call with the time spent.
        shutdown_fun: called when the threads are to end.

    Returns:
        the global coordinator, always the same.
    """
    ids = [global_coordinator.get_new_worker_id() for _ in range(num_worker_threads)]
    coordinator = WorkerCoordinator(worker_name, ids, init_fun, shutdown_fun=shutdown_fun)
    metrics = Metrics(external_loggers)
    coordinator._workers = [
        make_thread(
            f"parallel_workers worker id {i}", coordinator, Worker(coordinator, i, worker_fun, metrics)
        )
        for i in ids
    ]
    global_coordinator.add(coordinator)
    return global_coordinator
