"""``paddle.distributed``: processes that train together, each with a part of the data.

Processes are started by ``spawn``, by ``torchrun``, or by whoever sets Paddle's variables (``PADDLE_TRAINER_ID``,
``PADDLE_TRAINERS_NUM``, ``PADDLE_TRAINER_ENDPOINTS``); they exchange by Gloo between CPUs and NCCL between GPUs.
"""

from __future__ import annotations

from typing import Any

from freshpot.paddle._missing import missing
from freshpot.paddle.distributed._collectives import (
    ReduceOp,
    all_gather,
    all_gather_object,
    all_reduce,
    alltoall,
    alltoall_single,
    barrier,
    broadcast,
    broadcast_object_list,
    gather,
    irecv,
    isend,
    recv,
    reduce,
    reduce_scatter,
    scatter,
    scatter_object_list,
    send,
    wait,
)
from freshpot.paddle.distributed._data_parallel import DataParallel
from freshpot.paddle.distributed._groups import (
    ParallelEnv,
    destroy_process_group,
    get_backend,
    get_group,
    get_rank,
    get_world_size,
    init_parallel_env,
    is_available,
    is_initialized,
    new_group,
)
from freshpot.paddle.distributed._start import launch, spawn

__all__ = [
    "DataParallel", "ParallelEnv", "ReduceOp", "all_gather", "all_gather_object", "all_reduce", "alltoall",
    "alltoall_single", "barrier", "broadcast", "broadcast_object_list", "destroy_process_group", "gather",
    "get_backend", "get_group", "get_rank", "get_world_size", "init_parallel_env", "irecv", "is_available",
    "is_initialized", "isend", "launch", "new_group", "recv", "reduce", "reduce_scatter", "scatter",
    "scatter_object_list", "send", "spawn", "wait",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    raise missing("distributed", name, __all__)
