"""Processes that compute together.

Owned here: sums, copies and gatherings of tensors over all processes of a group, and what is said when one of them is
lost. Who calls it: see the package.

Every process makes the same calls in the same order; a call returns when this process has its result. Tensors of one
call have one element type and lie on one device; they may lie in memory in any order of axes.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from freshpot.errors import ArgumentError, DistributedError, NotSupportedError

#: element types that Gloo adds up; others travel as these
_TRAVELS_AS = {torch.bool: torch.uint8, torch.int16: torch.int32}
_REDUCTIONS = {
    "sum": dist.ReduceOp.SUM,
    "max": dist.ReduceOp.MAX,
    "min": dist.ReduceOp.MIN,
    "product": dist.ReduceOp.PRODUCT,
}

#: groups that were not left
_OPEN: weakref.WeakSet[Group] = weakref.WeakSet()


@atexit.register
def _leave_all() -> None:
    """Leave every group while Python still stands: threads of Gloo's let go of tensors, for which they need it."""
    for group in list(_OPEN):
        group.close()


class Group:
    """Some processes, each with a number; alone where ``store`` is None.

    Args:
        name: of the group, for messages and to keep it apart from others on the same store.
        rank: number of this process, from 0.
        size: how many there are.
        store: where they find each other (`meeting`).
        timeout_s: seconds to wait for the others, in each call.

    Raises:
        ArgumentError: a rank that is not below the size, or no store for several.
        DistributedError: the others did not come in time.
    """

    def __init__(
        self, name: str, rank: int, size: int, store: dist.Store | None = None, timeout_s: float = 1800.0
    ) -> None:
        if size < 1 or not 0 <= rank < size:
            raise ArgumentError(
                f"group '{name}': rank {rank} of {size} processes; ranks go from 0 to {max(size - 1, 0)}."
            )
        if size > 1 and store is None:
            raise ArgumentError(f"group '{name}': {size} processes need a place to find each other.")
        self.name = name
        self.rank = rank
        self.size = size
        self._store = store
        self._timeout = timedelta(seconds=timeout_s)
        self._backends: dict[str, Any] = {}
        if size > 1:
            _OPEN.add(self)
            self._backend("cpu")

    def _backend(self, kind: str) -> Any:
        """What carries tensors of a kind of device; made at the first call, by all processes alike."""
        if self._store is None:
            raise DistributedError(f"group '{self.name}' was left; make a new one.")
        if kind not in self._backends:
            make = {"cpu": self._gloo, "cuda": self._nccl}.get(kind)
            if make is None:
                raise NotSupportedError(f"group '{self.name}': tensors on '{kind}' are not sent.")
            store = dist.PrefixStore(f"{self.name}/{kind}", self._store)
            self._backends[kind] = self._guard("finding the others", lambda: make(store))
        return self._backends[kind]

    def _gloo(self, store: dist.Store) -> Any:
        if not dist.is_gloo_available():
            raise NotSupportedError("this PyTorch was built without Gloo, which several processes need.")
        return dist.ProcessGroupGloo(store, self.rank, self.size, self._timeout)

    def _nccl(self, store: dist.Store) -> Any:
        if not dist.is_nccl_available():
            raise NotSupportedError("this PyTorch was built without NCCL, which several GPUs need.")
        options = dist.ProcessGroupNCCL.Options()
        options._timeout = self._timeout
        return dist.ProcessGroupNCCL(store, self.rank, self.size, options)

    def _guard(self, doing: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (RuntimeError, ValueError) as error:
            if isinstance(error, (DistributedError, NotSupportedError, ArgumentError)):
                raise
            raise DistributedError(
                f"group '{self.name}', process {self.rank} of {self.size}: {doing} failed: {_reason(error)}. "
                "Another process stopped or made other calls; its own message says why."
            ) from error

    def _wait(self, doing: str, start: Callable[[Any], Any], kind: str) -> None:
        backend = self._backend(kind)
        self._guard(doing, lambda: start(backend).wait())

    # ---- together ------------------------------------------------------------------------------
    def all_reduce(self, tensors: Sequence[Tensor], scale: float = 1.0, op: str = "sum") -> None:
        """Make each tensor the sum of that of every process, times ``scale``; in place, all in one message.

        ``op``: "sum", or instead "max", "min", "product".

        Raises:
            DistributedError: a process was lost.
        """
        if not tensors:
            return
        if self.size == 1 and scale == 1.0:
            return
        flat = _flat(tensors)
        if self.size > 1:
            options = dist.AllreduceOptions()
            options.reduceOp = dist.ReduceOp(_REDUCTIONS[op])
            self._wait("adding up", lambda backend: backend.allreduce([flat], options), flat.device.type)
        if scale != 1.0:
            flat *= scale
        _unflatten(flat, tensors)

    def broadcast(self, tensors: Sequence[Tensor], root: int = 0) -> None:
        """Make each tensor that of process ``root``; in place, all in one message.

        Raises:
            ArgumentError: there is no such process.
            DistributedError: a process was lost.
        """
        self.need_rank(root, "root")
        if self.size == 1 or not tensors:
            return
        flat = _flat(tensors)
        options = dist.BroadcastOptions()
        options.rootRank = root
        self._wait("copying", lambda backend: backend.broadcast([flat], options), flat.device.type)
        if self.rank != root:
            _unflatten(flat, tensors)

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, by rank; of one shape.

        Raises:
            DistributedError: a process was lost.
        """
        if self.size == 1:
            return [tensor.clone()]
        flat = _flat([tensor])
        found = [torch.empty_like(flat) for _ in range(self.size)]
        self._wait("gathering", lambda backend: backend.allgather([found], [flat]), flat.device.type)
        return [part.reshape(tensor.shape).to(tensor.dtype) for part in found]

    def send(self, tensor: Tensor, to: int, tag: int = 0) -> None:
        """Send a tensor to process ``to``, which receives it.

        Raises:
            ArgumentError: there is no such process, or it is this one.
            DistributedError: a process was lost.
        """
        self._need_other(to, "to")
        flat = _flat([tensor])
        self._wait("sending", lambda backend: backend.send([flat], to, tag), flat.device.type)

    def receive(self, tensor: Tensor, source: int, tag: int = 0) -> None:
        """Fill a tensor with what process ``source`` sends: of this shape and type.

        Raises:
            ArgumentError: there is no such process, or it is this one.
            DistributedError: a process was lost.
        """
        self._need_other(source, "source")
        flat = _flat([tensor])
        self._wait("receiving", lambda backend: backend.recv([flat], source, tag), flat.device.type)
        _unflatten(flat, [tensor])

    def barrier(self) -> None:
        """Wait until every process has come here.

        Raises:
            DistributedError: a process was lost.
        """
        if self.size > 1:
            self._wait("waiting for the others", lambda backend: backend.barrier(), "cpu")

    def part(self, name: str, ranks: Sequence[int]) -> Group | None:
        """The group of some of the processes, numbered as they are listed; None for those that are not among them.

        Raises:
            ArgumentError: a rank that is none, or twice.
            DistributedError: the others did not come in time.
        """
        for rank in ranks:
            self.need_rank(rank, "a rank of a part")
        if len(set(ranks)) < len(ranks):
            raise ArgumentError(f"group '{name}': ranks {list(ranks)} name a process twice.")
        if self.rank not in ranks:
            return None
        return Group(
            name, list(ranks).index(self.rank), len(ranks), self._store, self._timeout.total_seconds()
        )

    def close(self) -> None:
        """Leave the group; it cannot be used any more."""
        self._backends.clear()
        self._store = None
        _OPEN.discard(self)

    # ---- what is asked for -----------------------------------------------------------------------
    def need_rank(self, rank: int, word: str) -> None:
        """Raise ArgumentError if there is no such process."""
        if not 0 <= rank < self.size:
            raise ArgumentError(f"group '{self.name}': {word} is {rank}; ranks go from 0 to {self.size - 1}.")

    def _need_other(self, rank: int, word: str) -> None:
        self.need_rank(rank, word)
        if rank == self.rank:
            raise ArgumentError(f"group '{self.name}': {word} is {rank}, this process itself.")


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    """All elements, one after the other, in memory of their own."""
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    return flat.to(_TRAVELS_AS.get(flat.dtype, flat.dtype))


def _unflatten(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    """Copy them back."""
    with torch.no_grad():
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))


def _reason(error: Exception) -> str:
    """The first line of an error, without the place in PyTorch's sources."""
    text = str(error).partition("\n")[0]
    return text.rpartition("] ")[2].rstrip(".") or type(error).__name__
