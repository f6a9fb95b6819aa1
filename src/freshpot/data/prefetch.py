"""Making the next batches in a background thread while the current one is used.

Called by the operators and layers that read data, around any iterable of batches. Owned here: the threads that run,
which end before Python does: one that comes back from PyTorch's code into a Python that is gone aborts the process.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from freshpot.errors import DataError

__all__ = ["Prefetcher"]

T = TypeVar("T")

#: How long to wait for the thread's last batch when closing, for those of all threads when Python ends, and between
#: looks at whether a thread still lives.
_PATIENCE_S, _LAST_PATIENCE_S = 5.0, 30.0
_LOOK_S = 1.0

#: the threads that run, and what they fill
_RUNNING: dict[threading.Thread, _Line[Any]] = {}


class Prefetcher(Generic[T]):
    """Iterates over ``source`` in a thread of its own, ``depth`` items ahead, in the source's order.

    An error in the source is raised where the consumer is, after the items before it, and again at each
    further request. The thread ends with :meth:`close`, with the ``with`` block, when the prefetcher is
    garbage collected, and when the interpreter exits.

    Args:
        source: any iterable; it is only used by the thread.
        depth: items made ahead, >= 1.

    Raises:
        DataError: ``depth`` < 1; or, from ``next``, the thread is gone (the process was forked).
    """

    def __init__(self, source: Iterable[T], depth: int = 2) -> None:
        if depth < 1:
            raise DataError(f"depth {depth}: a prefetcher holds 1 item at least")
        self._line: _Line[T] = _Line(depth)
        # Neither the thread nor the finalizer may refer to self: then it would never be collected.
        self._thread = threading.Thread(
            target=_produce, args=(source, self._line), name="freshpot-prefetch", daemon=True
        )
        self._finalizer = weakref.finalize(self, _stop, self._line, self._thread, _PATIENCE_S)
        self._finalizer.atexit = False  # all are stopped together
        _forget([thread for thread in list(_RUNNING) if thread.ident is not None])
        _RUNNING[self._thread] = self._line
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        return self._line.get(self._thread)

    def close(self) -> None:
        """End the thread; ``next`` then raises StopIteration. May be called twice."""
        self._finalizer()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Line(Generic[T]):
    """The items between the two threads, and how it all ended."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._items: deque[T] = deque()
        self.unlock()
        self._stopped = False
        self._error: BaseException | None = None

    def unlock(self) -> None:
        """Nobody else looks at it: that is so when it is made, and in a forked child."""
        # The lock is reentrant: a finalizer may run, and stop the line, in whichever thread holds it.
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Wait for room, then add an item. False: stop producing."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or len(self._items) < self._depth)
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()
            return not self._stopped

    def end(self, error: BaseException | None) -> None:
        """No more items follow; ``error`` says why if that was not foreseen."""
        with self._changed:
            self._error = self._error or error
            self._stopped = True
            self._changed.notify_all()

    def drop(self) -> None:
        """Forget the items and end."""
        with self._changed:
            self._items.clear()
            self._error = None
            self.end(None)

    def get(self, producer: threading.Thread) -> T:
        with self._changed:
            while not self._items and not self._stopped:
                if not self._changed.wait(_LOOK_S) and not producer.is_alive():
                    raise DataError("the prefetching thread is gone; was the process forked? make a new one")
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            raise StopIteration


def _produce(source: Iterable[Any], line: _Line[Any]) -> None:
    error: BaseException | None = None
    try:
        for item in source:
            if not line.put(item):
                break
            del item  # or this thread keeps the last batch alive
    except BaseException as caught:  # whatever it is, the consumer must hear of it
        error = caught
    line.end(error)


def _stop(line: _Line[Any], thread: threading.Thread, patience_s: float) -> None:
    line.drop()
    if thread.is_alive() and thread is not threading.current_thread():
        thread.join(patience_s)
    _forget([thread])


def _forget(threads: Iterable[threading.Thread]) -> None:
    """Forget those of these threads that have ended."""
    for thread in threads:
        if not thread.is_alive():
            _RUNNING.pop(thread, None)


@atexit.register
def _stop_all() -> None:
    """End the threads, of prefetchers that are gone too."""
    running, end = list(_RUNNING.items()), time.monotonic() + _LAST_PATIENCE_S
    for _, line in running:
        line.drop()
    for thread, line in running:
        _stop(line, thread, max(0.0, end - time.monotonic()))


def _forked() -> None:
    """In a forked child none of the threads is there; one of them may have held its line's lock."""
    for line in _RUNNING.values():
        line.unlock()
    _RUNNING.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
