"""``caffe train`` in several processes: started here for ``-gpu 0,1``, or by ``torchrun``.

Owned here: which processes there are. Who calls it: `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from caffe import _mode
from caffe._solver.several import TIMEOUT_S, Several
from freshpot.distributed import launch, meeting
from freshpot.distributed.group import Group
from freshpot.errors import ArgumentError

_NAME = "caffe train"
_COMMAND = (sys.executable, "-m", "caffe._cli")
#: what the solvers of other ranks are told: rank 0 logs, draws and listens to signals
_QUIET = {
    "progress": False,
    "csv": "",
    "plot": "",
    "tensorboard": "",
    "log_dir": "",
    "sigint_effect": "none",
    "sighup_effect": "none",
}


@contextmanager
def solvers(flags: dict[str, Any], gpus: Sequence[int]) -> Iterator[Several | None]:
    """This process's place among the solvers; None if it trains alone.

    Raises:
        ArgumentError: one GPU twice.
        DistributedError: another solver failed or was lost.
    """
    if len(set(gpus)) < len(gpus):
        raise ArgumentError(f"-gpu {','.join(map(str, gpus))}: name each GPU once.")
    before = _mode.solver_count, _mode.solver_rank, _mode.multiprocess, torch.get_num_threads()
    try:
        if meeting.number("WORLD_SIZE", default=1) > 1:
            yield _joined(meeting.from_environment(_NAME, TIMEOUT_S), flags)
        elif len(gpus) > 1:
            words = ["train", *(f"--{name}={value}" for name, value in {**flags, **_QUIET}.items())]
            threads = {"OMP_NUM_THREADS": str(_threads(len(gpus)))}
            with launch.with_others(_NAME, [*_COMMAND, *words], len(gpus), TIMEOUT_S, threads) as group:
                torch.set_num_threads(_threads(len(gpus)))
                yield _joined(group, flags)
        else:
            yield None
    finally:
        _mode.solver_count, _mode.solver_rank, _mode.multiprocess = before[:3]
        torch.set_num_threads(before[3])


def place_on_machine() -> int:
    """Number of this process among those of this machine."""
    return meeting.number("LOCAL_RANK", default=0)


def _joined(group: Group, flags: dict[str, Any]) -> Several:
    if group.rank > 0:
        flags.update(_QUIET)
    return Several(group, asks=True)


def _threads(processes: int) -> int:
    """Threads for each process."""
    return max(1, torch.get_num_threads() // processes)
