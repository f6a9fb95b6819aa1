"""Making machine code while a net is in use, a piece at a time, so that no run takes long.

Owned here: when it is time. Who calls it: operators for inference.
"""

from __future__ import annotations

import time

#: seconds of rest for a second of making code
_REST = 2.0
_rest_until = 0.0


def is_time() -> bool:
    """True if code may be made now: at most a third of the time goes into it."""
    return time.perf_counter() >= _rest_until


def spent(seconds: float) -> None:
    """So much time was spent."""
    global _rest_until
    _rest_until = time.perf_counter() + _REST * seconds
