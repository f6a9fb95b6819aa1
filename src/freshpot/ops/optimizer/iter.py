"""Iteration counters."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from freshpot.net.schema import Port
from freshpot.ops._operator import Operator

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

_COUNT = Port("iter", doc="int64, one number >= 0; kept on the CPU")


class _Counting(Operator, abstract=True):
    """Shared by the counters."""

    gradient_stops = True
    own_blobs_only = True
    changes_in_place = True

    def infer(self, *inputs: Any) -> tuple[Tensor, ...]:
        return (torch.empty(1, dtype=torch.int64, device="meta"),)

    def count(self, blob: Blob) -> None:
        """Add 1 to the number in a blob."""
        value = blob.value
        if isinstance(value, Tensor) and value.dtype == torch.int32:
            value = blob.value = value.to(torch.int64)
        if not isinstance(value, Tensor) or value.dtype != torch.int64 or value.numel() != 1:
            self.refuse(f"blob '{blob.name}' must hold one int64 number: the iteration.")
        now = value.item()
        if not 0 <= now < 2**63 - 1:
            self.refuse(f"blob '{blob.name}' holds a number that is no iteration (negative, or too large).")
        value.fill_(now + 1)


class Iter(_Counting):
    """iter = iter + 1, in place; made with 0 first if there is no input and the blob is empty.

    Shapes:   iter: (1,) int64 -> iter: as it was
    Differs:  a count that was made as int32 goes on as int64; late versions of the original count on from
              whatever lay in memory, early ones as here.
    Source:   caffe2/sgd/iter_op.h
    """

    inputs = (Port("iter", optional=True),)
    outputs = (_COUNT,)
    must_inplace = ((0, 0),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        if not inputs and not isinstance(outputs[0].value, Tensor):
            outputs[0].value = torch.zeros(1, dtype=torch.int64)
        self.count(outputs[0])


class AtomicIter(_Counting):
    """iter = iter + 1, in place, while holding a mutex.

    Shapes:   mutex: from CreateMutex; iter: (1,) int64 -> iter: as it was
    Source:   caffe2/sgd/iter_op.h
    """

    inputs = (Port("mutex"), _COUNT)
    outputs = (_COUNT,)
    must_inplace = ((1, 0),)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        if not isinstance(inputs[0].value, type(threading.Lock())):
            self.refuse(f"blob '{inputs[0].name}' must hold a mutex; make it with CreateMutex.")
        with inputs[0].value:
            self.count(outputs[0])
