"""Log lines in the form that Caffe's log has (glog), so that programs that parse logs work.

Owned here: the form and where lines go. Who calls it: everything in this package that reports progress.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, TextIO

from caffe import _mode

INFO, WARNING, ERROR, FATAL = range(4)

#: lines below this level are dropped; from Python only warnings are shown unless GLOG_minloglevel says
#: otherwise, the command line lowers it to INFO
level = int(os.environ.get("GLOG_minloglevel") or WARNING)  # noqa: SIM112 - the name glog reads
_stream: TextIO | None = None
_copy: TextIO | None = None


def set_level(lowest: int) -> None:
    """Drop lines below ``lowest`` from now on."""
    global level
    level = lowest


@contextlib.contextmanager
def written_to(stream: TextIO) -> Iterator[None]:
    """Let lines go to a stream of the caller's instead of standard error."""
    global _stream
    before, _stream = _stream, stream
    try:
        yield
    finally:
        _stream = before


@contextlib.contextmanager
def copied_to(folder: str, program: str) -> Iterator[None]:
    """Write lines to a file in ``folder`` too, named as glog names its files; "" for none.

    Raises:
        OSError: the file cannot be made.
    """
    global _copy
    if not folder:
        yield
        return
    stamp = time.strftime("%Y%m%d-%H%M%S")
    name = f"{program}.{platform.node() or 'unknown'}.{_user()}.log.INFO.{stamp}.{os.getpid()}"
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(f"Log file created at: {time.strftime('%Y/%m/%d %H:%M:%S')}\n")
        file.write(f"Running on machine: {platform.node()}\n")
        file.write("Log line format: [IWEF]mmdd hh:mm:ss.uuuuuu threadid file:line] msg\n")
        _copy = file
        try:
            yield
        finally:
            _copy = None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user on this system
        return "unknown"


def log(severity: int, where: str, message: str) -> None:
    """Write one record: ``I1121 08:17:06.123456  4711 net.cpp:86] message``.

    ``where`` is the file and line in the original that prints the same message.
    """
    if severity < level:
        return
    now = time.time()
    stamp = time.strftime("%m%d %H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1e6):06d}"
    thread = threading.get_native_id()
    line = f"{'IWEF'[severity]}{stamp} {thread:5d} {where}] {message.removesuffix(chr(10))}"
    print(line, file=_stream or sys.stderr, flush=True)
    if _copy is not None:
        print(line, file=_copy, flush=True)


def info(where: str, message: str) -> None:
    """Write an INFO record; of several solvers, the one of rank 0 does."""
    if _mode.solver_rank == 0:
        log(INFO, where, message)


def warning(where: str, message: str) -> None:
    """Write a WARNING record."""
    log(WARNING, where, message)


def error(where: str, message: str) -> None:
    """Write an ERROR record."""
    log(ERROR, where, message)


def text_of(message: Any) -> str:
    """A protobuf message as the original's log shows it: whole numbers in float fields without a point."""
    return re.sub(r"^( *\w+: -?\d+)\.0$", r"\1", str(message), flags=re.MULTILINE)
