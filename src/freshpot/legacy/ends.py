"""A program that ends its process: ``os._exit`` becomes the end of the program, so that the table is still printed.

Processes that the program has started end as they like.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

__all__ = ["told"]


@contextlib.contextmanager
def told() -> Iterator[None]:
    """While the block runs ``os._exit(n)`` raises ``SystemExit(n)`` in this process's main thread.

    In another thread, which has no way to end the program, the process ends as asked, and it is said why.
    """
    plain: Any = os._exit
    process = os.getpid()

    def leave(status: int = 0) -> None:
        if os.getpid() == process:
            if threading.current_thread() is threading.main_thread():
                raise SystemExit(status)
            print(f"freshpot: the program ended with os._exit({status}) in a thread", file=sys.stderr)
            sys.stdout.flush()
        plain(status)

    os._exit = leave  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = plain
