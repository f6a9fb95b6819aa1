"""`caffe.NCCL`: solvers in several processes that train one net, as BVLC's ``python/train.py`` makes them.

Owned here: the names that programs know. Who calls it: they do; the work is done in `_solver.several`. GPUs exchange by
NCCL, CPUs by Gloo.
"""

from __future__ import annotations

import os
from typing import Any

from caffe import _mode
from caffe._caffe import instance
from caffe._solver.several import TIMEOUT_S, Several
from freshpot.distributed import meeting
from freshpot.errors import ArgumentError

_PREFIX = "freshpot-"


class NCCL(instance):
    """This process's solver among several; give it to ``solver.add_callback``.

    Before, each process says what it is: ``caffe.set_solver_count``, ``set_solver_rank``.

    Args:
        solver: a solver; of the same net in each process.
        uid: what `new_uid` gave, the same in each process of this machine.

    Raises:
        ArgumentError: a uid that is none, or a rank that is not below the count.
        DistributedError: the other processes did not come.
    """

    def __init__(self, solver: Any, uid: bytes | str) -> None:
        path = os.fsdecode(uid)
        if not os.path.basename(path).startswith(_PREFIX):
            raise ArgumentError(
                f"caffe.NCCL: {uid!r} is no uid; call caffe.NCCL.new_uid() once, for all processes."
            )
        group = meeting.by_file(path, "caffe", _mode.solver_rank, _mode.solver_count, TIMEOUT_S)
        self._several = Several(group)
        self._net = solver._train

    @staticmethod
    def new_uid() -> bytes:
        """A name by which the processes find each other: made once, and handed to all."""
        return os.fsencode(meeting.new_place())

    def bcast(self) -> None:
        """Give all solvers the weights of rank 0.

        Raises:
            DistributedError: a solver was lost.
        """
        self._several.copy_weights(self._net)
