"""Ends the process when something takes too long.

Source: caffe2/python/timeout_guard.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator

_LOG = logging.getLogger("timeout_guard")
#: seconds from the interrupt to the abort
_GRACE = 10.0


class WatcherThread(threading.Thread):
    """Waits; if it is not told in time that all is well, it interrupts the process, and aborts it
    ten seconds later.

    Args:
        timeout_secs: how long to wait.
    """

    def __init__(self, timeout_secs: float) -> None:
        super().__init__(daemon=True)
        self.timeout_secs = timeout_secs
        self.caller_thread = threading.current_thread()
        self._done = threading.Event()

    @property
    def completed(self) -> bool:
        """True once it was told that all is well."""
        return self._done.is_set()

    def complete(self) -> None:
        """Tell it that all is well."""
        self._done.set()

    def run(self) -> None:
        if self._done.wait(self.timeout_secs):
            return
        _LOG.error("Call did not finish in time. Timeout:%ss PID: %s", self.timeout_secs, os.getpid())
        threading.Thread(target=self._abort, daemon=True).start()
        print(f"Caller thread was: {self.caller_thread}\n{_stacks()}", flush=True)
        os.kill(os.getpid(), signal.SIGINT)

    def _abort(self) -> None:
        if not self._done.wait(_GRACE):
            print(_stacks(self.caller_thread.ident), flush=True)
            _LOG.error("Process did not end within %g s of the interrupt, aborting it", _GRACE)
            os.abort()


def _stacks(only: int | None = None) -> str:
    """What all threads, or one of them, are doing."""
    frames = sys._current_frames().items()
    chosen = [(ident, frame) for ident, frame in frames if only in (None, ident)]
    return "\n".join(f"# ThreadID: {i}\n{''.join(traceback.format_stack(frame))}" for i, frame in chosen)


@contextlib.contextmanager
def CompleteInTimeOrDie(timeout_secs: float) -> Iterator[None]:
    """Interrupt the process if the block takes longer than so many seconds."""
    watcher = WatcherThread(timeout_secs)
    watcher.start()
    try:
        yield
    finally:
        watcher.complete()


def EuthanizeIfNecessary(timeout_secs: float = 120) -> None:
    """Interrupt the process in so many seconds, if it still runs."""
    WatcherThread(timeout_secs).start()
