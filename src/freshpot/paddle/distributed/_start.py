"""``paddle.distributed.spawn``: a function in several processes.

Owned here: starting them. Who calls it: programs. ``launch`` is ``torchrun``'s work.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.multiprocessing

from freshpot.errors import ArgumentError, DeviceError, NotSupportedError


def spawn(
    func: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = -1,
    join: bool = True,
    daemon: bool = False,
    **options: Any,
) -> Any:
    """Call a function in several processes of this machine, which find each other by ``init_parallel_env``.

    Args:
        func: it must be found under its name in a module, or in the program that was started.
        args: what it is called with.
        nprocs: how many processes; -1: one a GPU, or one.
        join: wait until all have ended. Else what is returned has ``join()``.
        daemon: they end with this process.
        options: ``backend``, ``gpus`` …: of no effect here.

    Raises:
        ArgumentError: fewer than one process.
        torch.multiprocessing.ProcessRaisedException: the function failed in a process; it shows how.
    """
    count = max(1, torch.cuda.device_count()) if nprocs == -1 else nprocs
    if count < 1:
        raise ArgumentError(f"paddle.distributed.spawn: nprocs is {nprocs}; give at least 1, or -1.")
    if count == 1:
        func(*args)
        return None
    place = f"127.0.0.1:{_free_port()}"
    # A program that `freshpot run` runs cannot be imported by another process, so that one must begin as a copy of it.
    copied = func.__module__ == "__main__" and getattr(sys.modules["__main__"], "__spec__", None) is None
    copied = copied and not os.path.isfile(getattr(sys.modules["__main__"], "__file__", "") or "")
    if copied and torch.cuda.is_initialized():
        raise DeviceError(
            "paddle.distributed.spawn: this program cannot be imported by other processes, and a process that uses a "
            "GPU cannot be copied. Start it with torchrun."
        )
    threads = max(1, torch.get_num_threads() // count)
    return torch.multiprocessing.start_processes(
        _begin,
        (func, args, count, place, 1 if copied else threads),
        nprocs=count,
        join=join,
        daemon=daemon,
        start_method="fork" if copied else "spawn",
    )


def _begin(
    rank: int, func: Callable[..., Any], args: tuple[Any, ...], count: int, place: str, threads: int
) -> None:
    """What a process does."""
    told = {
        "PADDLE_TRAINER_ID": rank,
        "PADDLE_TRAINERS_NUM": count,
        "PADDLE_MASTER": place,
        "LOCAL_RANK": rank,
    }
    os.environ.update({key: str(value) for key, value in told.items()})
    torch.set_num_threads(threads)
    func(*args)


def _free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(*args: Any, **keywords: Any) -> NoReturn:
    """Not done.

    Raises:
        NotSupportedError: always; ``torchrun`` starts processes.
    """
    raise NotSupportedError(
        "paddle.distributed.launch is not done here: start the processes with torchrun, "
        "torchrun --nproc-per-node 2 --no-python freshpot run PROGRAM"
    )
