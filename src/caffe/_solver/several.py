"""Several solvers, a process each, that train one net: each with a part of the data, all with one update.

Owned here: what they exchange: weights at the start, the sums of diffs, whether to stop. Who calls it: `solver`, and
`NCCL`, which programs know. The original's `parallel.cpp` does the same between threads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from caffe import _mode
from caffe._net.net import CaffeNet
from freshpot.distributed.group import Group
from freshpot.engine.blob import Blob
from freshpot.engine.kept import KeptBlob, disown, glance

#: seconds that a solver waits for another one, which may be testing meanwhile; one that is lost is noticed at once
TIMEOUT_S = 24 * 3600.0
#: what a request may be; a number stands for it where it is sent
REQUESTS = NONE, STOP, SNAPSHOT = "none", "stop", "snapshot"


class Several:
    """This solver among those of a group; the one of rank 0 logs, tests and snapshots."""

    def __init__(self, group: Group, asks: bool = False) -> None:
        self._group = group
        self._asks = asks
        _mode.set_solver_count(group.size)
        _mode.set_solver_rank(group.rank)
        _mode.set_multiprocess(True)

    def copy_weights(self, net: CaffeNet) -> None:
        """Give every solver the weights of rank 0.

        Raises:
            DistributedError: a solver was lost.
        """
        net.follow_mode()
        self._group.broadcast([entry.blob.data_cell.writable for entry in net.learnable])
        net.site.finish()

    def mean_diffs(self, net: CaffeNet) -> None:
        """Make each parameter's diff the mean of all solvers'.

        Raises:
            DistributedError: a solver was lost.
        """
        cells = []
        for entry in net.learnable:
            entry.blob.make_diff()
            cells.append(entry.blob.diff_cell)
        self._group.all_reduce([_memory(cell) for cell in cells], 1.0 / self._group.size)
        for cell in cells:
            if isinstance(cell, KeptBlob):
                disown(cell)

    def agree(self, request: str) -> str:
        """What rank 0 was asked for: all do it at the same iteration.

        Raises:
            DistributedError: a solver was lost.
        """
        if not self._asks:
            return request
        number = torch.tensor([REQUESTS.index(request)])
        self._group.broadcast([number])
        return REQUESTS[int(number)]

    def finish(self) -> None:
        """Wait for the others at the end of training.

        Raises:
            DistributedError: a solver was lost.
        """
        self._group.barrier()


def _memory(cell: Blob) -> Tensor:
    """A blob's memory, to be written to where it is."""
    return glance(cell) if isinstance(cell, KeptBlob) else cell.writable
