"""Operators that several processes run together, each one of its own net: sums, copies, gatherings.

What carries the tensors is `freshpot.distributed`; a world of one process needs nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from freshpot.distributed import meeting
from freshpot.distributed.group import Group
from freshpot.errors import ArgumentError, DistributedError, ShapeError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.io.store import FileStore
from freshpot.ops.tensor._clone import clone

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class CommonWorld:
    """The processes that work together."""

    original_type = "std::shared_ptr<::gloo::Context>"

    def __init__(self, group: Group) -> None:
        self.group = group


class _Reporting(Operator, abstract=True):
    """An operator that says in a blob that another process was lost, beside raising an error."""

    args: ClassVar[tuple[Arg, ...]] = (
        Arg("status_blob", str, "", "a blob that is set to [1] (int32) if another process is lost"),
        Arg("timeout_ms", int, 30000, "milliseconds to wait for the others: that of the world counts"),
    )
    remembers = True
    gradient_stops = True

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        try:
            self.together(inputs, outputs)
        except DistributedError:
            if self.status_blob:
                ws.create(self.status_blob).value = torch.ones(1, dtype=torch.int32)
            raise

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        """What is done with the others."""
        raise NotImplementedError


class CreateCommonWorld(_Reporting):
    """The processes that are given one store, or that ``torchrun`` started; each says which it is.

    Worlds on one store are told apart by their operators' names.

    Shapes:   a store, unless torchrun started the processes -> comm_world
    Raises:   ArgumentError for a rank that is not below the size, or several processes without a place to meet;
              DistributedError if the others do not come in time.
    Source:   caffe2/contrib/gloo/common_world_ops.h
    """

    inputs = (Port("kv_handler", optional=True),)
    outputs = (Port("comm_world"),)
    args = (
        *_Reporting.args,
        Arg("size", int, 1, "number of processes"),
        Arg("rank", int, 0, "this one's number, from 0"),
        Arg("sync", bool, False, "of no effect: calls return when they are done"),
        Arg("transport", str, "", "of no effect: Gloo's own choice, or NCCL between GPUs"),
        Arg("interface", str, "", "of no effect; GLOO_SOCKET_IFNAME names one"),
        Arg("mpi_rendezvous", bool, False, "of no effect: without a store, torchrun's environment is used"),
    )

    def setup(self) -> None:
        if self.size < 1 or not 0 <= self.rank < self.size:
            self.refuse(
                f"rank {self.rank} of {self.size} processes: ranks go from 0 to size - 1.", ArgumentError
            )

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        outputs[0].value = CommonWorld(self._meet(inputs[0].value if inputs else None))

    def _meet(self, store: Any) -> Group:
        name, timeout = self.op.name or "", self.timeout_ms / 1000
        if self.size == 1:
            return Group(name, 0, 1)
        if isinstance(store, FileStore):
            file = "world-" + hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
            return meeting.by_file(store.folder / file, name, self.rank, self.size, timeout)
        if store is not None:
            self.refuse("the input must hold a store; make it with FileStoreHandlerCreate.", ArgumentError)
        group = meeting.from_environment(name, timeout)
        if (group.size, group.rank) != (self.size, self.rank):
            self.refuse(
                f"it asks for rank {self.rank} of {self.size} processes and gives no store, and the environment says "
                f"rank {group.rank} of {group.size}: give a store (FileStoreHandlerCreate), or start the processes "
                "with torchrun.",
                ArgumentError,
            )
        return group


class _InWorld(_Reporting, abstract=True):
    """An operator of which every process of a world runs one."""

    args: ClassVar[tuple[Arg, ...]] = (
        *_Reporting.args,
        Arg("gpu_direct", bool, False, "of no effect"),
    )

    def group(self, blob: Blob) -> Group:
        """What the blob holds."""
        if not isinstance(blob.value, CommonWorld):
            self.refuse("the first input must hold a world; make it with CreateCommonWorld.", ArgumentError)
        return blob.value.group

    def alike(self, X: Sequence[Tensor]) -> None:
        """Refuse blobs of one process that differ in shape."""
        for i, more in enumerate(X):
            if more.shape != X[0].shape:
                self.refuse(
                    f"inputs 1 and {i + 1} have shapes {tuple(X[0].shape)} and {tuple(more.shape)}; they must be "
                    "alike.",
                    ShapeError,
                )


class CloneCommonWorld(_InWorld):
    """A second world of the same processes.

    Source:   caffe2/contrib/gloo/common_world_ops.h
    """

    inputs = (Port("existing_comm_world"),)
    outputs = (Port("comm_world"),)

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        outputs[0].value = CommonWorld(self.group(inputs[0]))


class DestroyCommonWorld(_InWorld):
    """Leave a world, and those that were cloned from it.

    Source:   caffe2/contrib/gloo/common_world_ops.h
    """

    inputs = (Port("common_world"),)
    outputs = (Port("common_world"),)
    must_inplace = ((0, 0),)

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        self.group(inputs[0]).close()


class Barrier(_InWorld):
    """Wait until every process has come here.

    Raises:   DistributedError if one is lost, or does not come in time.
    Source:   caffe2/contrib/gloo/barrier_ops.h
    """

    inputs = (Port("comm_world"),)

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        self.group(inputs[0]).barrier()


_MANY_INPLACE = tuple((i + 1, i) for i in range(64))


class _Many(_InWorld, abstract=True):
    """Blobs that are the same everywhere afterwards; several blobs of one process are combined, too."""

    inputs = (Port("comm_world_and_X", many=True, at_least=2),)
    outputs = (Port("Y", many=True),)
    inplace = ANY_PAIR
    must_inplace = _MANY_INPLACE

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        group = self.group(inputs[0])
        X = [blob.value for blob in inputs[1:]]
        self.alike(X)
        made = self.combined(group, X)
        for blob, value in zip(outputs, X, strict=True):
            blob.value = made.to(value.device, copy=True)

    def combined(self, group: Group, X: list[Tensor]) -> Tensor:
        """What every blob becomes."""
        raise NotImplementedError

    def infer(self, world: Any, *X: Tensor) -> tuple[Tensor, ...]:
        return X


class Allreduce(_Many):
    """Y = the sum of all X, of every process.

    Shapes:   comm_world; X: any, alike -> as X, in place
    Raises:   DistributedError if a process is lost.
    Source:   caffe2/contrib/gloo/allreduce_ops.h
    """

    def combined(self, group: Group, X: list[Tensor]) -> Tensor:
        total = _sum(X)
        group.all_reduce([total])
        return total


class Broadcast(_Many):
    """Y = the first X of the process ``root``.

    Shapes:   comm_world; X: any, alike -> as X, in place
    Raises:   ArgumentError if there is no such process; DistributedError if one is lost.
    Source:   caffe2/contrib/gloo/broadcast_ops.h
    """

    args = (*_InWorld.args, Arg("root", int, 0, "the process that gives"))

    def combined(self, group: Group, X: list[Tensor]) -> Tensor:
        made = clone(X[0])
        group.broadcast([made], self.root)
        return made


class Reduce(_InWorld):
    """Y = the sum of every process's X, on the process ``root``; elsewhere Y is this process's X.

    Shapes:   comm_world; X: any -> Y: as X
    Raises:   ArgumentError if there is no such process; DistributedError if one is lost.
    Source:   caffe2/operators/communicator_op.cc; no engine of the original's has it but MPI
    """

    inputs = (Port("comm_world"), Port("X"))
    outputs = (Port("Y"),)
    args = (*_InWorld.args, Arg("root", int, 0, "the process that gets the sum"))

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        group, X = self.group(inputs[0]), inputs[1].value
        group.need_rank(self.root, "root")
        total = clone(X)
        group.all_reduce([total])
        outputs[0].value = total if group.rank == self.root else clone(X)

    def infer(self, world: Any, X: Tensor) -> tuple[Tensor, ...]:
        return (X,)


class Allgather(_InWorld):
    """Y = every process's X, one after the other.

    Shapes:   comm_world; X: any, several, alike -> Y: (elements of all X of all processes,)
    Raises:   DistributedError if a process is lost.
    Source:   caffe2/contrib/gloo/allgather_ops.h
    """

    inputs = (Port("comm_world"), Port("X", many=True))
    outputs = (Port("Y"),)

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        group = self.group(inputs[0])
        X = [blob.value for blob in inputs[1:]]
        self.alike(X)
        outputs[0].value = torch.cat(group.all_gather(torch.stack(X).reshape(-1)))


class ReduceScatter(_InWorld):
    """Parts of the sum of all X of every process: part r, of ``counts[r]`` elements, goes to process r.

    The part stands at the beginning of Y; what follows there is this process's own.

    Shapes:   comm_world; X: any, several, alike; counts: (number of processes,) int32 -> as X …, counts, in place
    Raises:   ShapeError if the counts are not one a process, or are more elements than there are;
              DistributedError if a process is lost.
    Source:   caffe2/contrib/gloo/reduce_scatter_ops.h
    """

    inputs = (Port("comm_world_X_and_counts", many=True, at_least=3),)
    outputs = (Port("Y_and_counts", many=True, at_least=2),)
    inplace = ANY_PAIR
    must_inplace = _MANY_INPLACE

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        group = self.group(inputs[0])
        X, counts = [blob.value for blob in inputs[1:-1]], [int(n) for n in inputs[-1].value.reshape(-1)]
        self.alike(X)
        if len(counts) != group.size or min(counts) < 0 or sum(counts) > X[0].numel():
            self.refuse(
                f"counts {counts} must be one for each of {group.size} processes, and {X[0].numel()} in all at most.",
                ShapeError,
            )
        total = _sum(X)
        group.all_reduce([total])
        part = total.reshape(-1)[sum(counts[: group.rank]) :][: counts[group.rank]]
        for blob, value in zip(outputs, X, strict=False):
            made = clone(value).contiguous()
            made.view(-1)[: len(part)] = part
            blob.value = made

    def infer(self, world: Any, *X: Tensor) -> tuple[Tensor, ...]:
        return X


class SendTensor(_InWorld):
    """Send X to process ``dst``, which runs ReceiveTensor.

    Shapes:   comm_world; X: any
    Raises:   ArgumentError if there is no such process; DistributedError if one is lost.
    Source:   caffe2/operators/communicator_op.cc; no engine of the original's has it but MPI
    """

    inputs = (Port("comm_world"), Port("X"), Port("dst", optional=True), Port("tag", optional=True))
    args = (
        *_InWorld.args,
        Arg("dst", int, 0, "the process that receives; the input dst counts instead if it is there"),
        Arg("tag", int, 0, "a number that parts messages; the input tag counts instead if it is there"),
        Arg("raw_buffer", bool, False, "of no effect"),
    )

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        to, tag = _numbers(inputs[2:], (self.dst, self.tag))
        self.group(inputs[0]).send(inputs[1].value, to, tag)


class ReceiveTensor(_InWorld):
    """Y = what process ``src`` sends; Y says how much that is.

    Shapes:   comm_world; Y: as what is sent -> Y, src: (1,) int32, tag: (1,) int32
    Raises:   ArgumentError if there is no such process; DistributedError if one is lost.
    Source:   caffe2/operators/communicator_op.cc; no engine of the original's has it but MPI
    """

    inputs = (Port("comm_world"), Port("Y"), Port("src", optional=True), Port("tag", optional=True))
    outputs = (Port("Y"), Port("src"), Port("tag"))
    inplace = ((1, 0), (2, 1), (3, 2))
    must_inplace = ((1, 0),)
    args = (
        *_InWorld.args,
        Arg("src", int, 0, "the process that sends; the input src counts instead if it is there"),
        Arg("tag", int, 0, "a number that parts messages; the input tag counts instead if it is there"),
        Arg("raw_buffer", bool, False, "of no effect"),
    )

    def together(self, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        source, tag = _numbers(inputs[2:], (self.src, self.tag))
        made = torch.empty_like(inputs[1].value)
        self.group(inputs[0]).receive(made, source, tag)
        numbers = (torch.tensor([n], dtype=torch.int32) for n in (source, tag))
        for blob, value in zip(outputs, (made, *numbers), strict=False):
            blob.value = value


def _sum(X: Sequence[Tensor]) -> Tensor:
    """The sum, in memory of its own."""
    total = clone(X[0])
    for more in X[1:]:
        total += more.to(total.device)
    return total


def _numbers(blobs: Sequence[Blob], given: tuple[int, int]) -> tuple[int, int]:
    """Two numbers, of blobs where those are there."""
    found = [int(blob.value.reshape(-1)[0]) for blob in blobs]
    first, second = *found, *given[len(found) :]
    return first, second
