"""Starting processes that work together with this one.

Owned here: starting them, noticing that one failed, and ending them. Who calls it: commands that train on
several devices of this machine. Processes that somebody else started (``torchrun``) meet by
`meeting.from_environment` alone.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

from freshpot.distributed.group import Group
from freshpot.errors import DistributedError

_LOOK_S = 0.05
#: seconds that the others have to come, to end by themselves, and to end when they are told to
_COME_S, _END_S, _TOLD_S = 300.0, 60.0, 5.0


@contextmanager
def with_others(
    name: str,
    command: Sequence[str],
    size: int,
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Group]:
    """The group of this process, rank 0, and ``size - 1`` others, which are started here and ended at last.

    Args:
        name: of the group; the others give the same to `meeting.from_environment`.
        command: what the others run; their environment says which they are, as ``torchrun``'s does.
        size: number of processes, this one among them.
        timeout_s: seconds to wait for the others, in each call.
        environment: variables to set for the others, beside.

    Raises:
        DistributedError: one of the others failed, or did not come.
    """
    if size == 1:
        yield Group(name, 0, 1)
        return
    store = dist.TCPStore(
        "127.0.0.1", 0, size, True, timeout=timedelta(seconds=timeout_s), wait_for_workers=False
    )
    others = [_start(command, rank, size, store.port, environment or {}) for rank in range(1, size)]
    try:
        _wait_until_here(name, store, others)
        yield Group(name, 0, size, store, timeout_s)
        _wait_for_end(name, others)
    finally:
        _end(others)


def say_here(name: str, store: dist.Store, rank: int) -> None:
    """Tell the process that started this one that it has come."""
    store.set(f"{name}/here/{rank}", "1")


def _start(
    command: Sequence[str], rank: int, size: int, port: int, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": size,
        "RANK": rank,
        "LOCAL_RANK": rank,
    }
    words = {key: str(value) for key, value in place.items()}
    return subprocess.Popen(command, env={**os.environ, **environment, **words}, stdin=subprocess.DEVNULL)


def _wait_until_here(name: str, store: dist.Store, others: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + _COME_S
    keys = [f"{name}/here/{rank}" for rank in range(1, len(others) + 1)]
    while not store.check(keys):
        _look(name, others)
        if time.monotonic() > end:
            raise DistributedError(f"group '{name}': not all processes came within {_COME_S:g} s.")
        time.sleep(_LOOK_S)


def _wait_for_end(name: str, others: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + _END_S
    while any(other.poll() is None for other in others) and time.monotonic() < end:
        time.sleep(_LOOK_S)
    _look(name, others)


def _look(name: str, others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Raise DistributedError if one failed."""
    for rank, other in enumerate(others, 1):
        if other.poll() not in (None, 0):
            raise DistributedError(
                f"group '{name}': process {rank} of {len(others) + 1} ended with status {other.returncode}; its "
                "own message stands above."
            )


def _end(others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Let those that still run end."""
    for other in others:
        if other.poll() is None:
            other.terminate()
    end = time.monotonic() + _TOLD_S
    for other in others:
        try:
            other.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()
