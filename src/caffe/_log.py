"""Log lines in the form that Caffe's log has (glog), so that programs that parse logs work.

Owned here: the form and where lines go. Who calls it: everything in this package that reports progress.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TextIO

INFO, WARNING, ERROR, FATAL = range(4)

#: lines below this level are dropped; from Python only warnings are shown unless GLOG_minloglevel says
#: otherwise, the command line lowers it to INFO
level = int(os.environ.get("GLOG_minloglevel") or WARNING)  # noqa: SIM112 - the name glog reads
_stream: TextIO | None = None


def set_level(lowest: int) -> None:
    """Drop lines below ``lowest`` from now on."""
    global level
    level = lowest


def log(severity: int, where: str, message: str) -> None:
    """Write one record: ``I1121 08:17:06.123456  4711 net.cpp:86] message``.

    ``where`` is the file and line in the original that prints the same message.
    """
    if severity < level:
        return
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1e6):06d}"
    thread = threading.get_native_id()
    print(f"{'IWEF'[severity]}{stamp} {thread:5d} {where}] {message}", file=_stream or sys.stderr, flush=True)


def info(where: str, message: str) -> None:
    """Write an INFO record."""
    log(INFO, where, message)


def warning(where: str, message: str) -> None:
    """Write a WARNING record."""
    log(WARNING, where, message)


def error(where: str, message: str) -> None:
    """Write an ERROR record."""
    log(ERROR, where, message)
