"""What processes compute together, under Paddle's names.

Owned here: those functions. Who calls it: programs. Calls return when they are done; what they return for
``sync_op=False`` can be waited for. A process that is none of the group's does nothing in them.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Tensor, wrap
from freshpot.paddle.distributed._groups import Group, group_of

Tensors = list[Tensor]


class ReduceOp:
    """How values of several processes are joined."""

    SUM, MAX, MIN, PROD, AVG = range(5)


_WORDS = {
    ReduceOp.SUM: "sum",
    ReduceOp.MAX: "max",
    ReduceOp.MIN: "min",
    ReduceOp.PROD: "product",
    ReduceOp.AVG: "sum",
}


class task:
    """A call that is done."""

    def wait(self, timeout: Any = None) -> bool:
        """True."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    def synchronize(self) -> None:
        """Nothing to wait for."""


_Call = TypeVar("_Call", bound=Callable[..., Any])


def _of_members(call: _Call) -> _Call:
    """A function that does nothing in a process that is none of the group's, as the original's do."""

    @functools.wraps(call)
    def checked(*args: Any, **keywords: Any) -> Any:
        group = next((a for a in (*args, *keywords.values()) if isinstance(a, Group)), None)
        return None if group is not None and group.rank < 0 else call(*args, **keywords)

    return cast(_Call, checked)


def _joined(value: torch.Tensor, op: int, group: Group) -> torch.Tensor:
    """What all processes' values give together."""
    if op not in _WORDS:
        raise ArgumentError(f"there is no ReduceOp {op}. Known: SUM, MAX, MIN, PROD, AVG.")
    made = value.detach().clone()
    group.processes.all_reduce([made], 1.0 / group.nranks if op == ReduceOp.AVG else 1.0, _WORDS[op])
    return made


def _put(tensor: Tensor, value: torch.Tensor) -> None:
    """Let a tensor hold other values where it is."""
    with torch.no_grad():
        tensor.data_.copy_(value.reshape(tensor.data_.shape))


@_of_members
def all_reduce(
    tensor: Tensor, op: int = ReduceOp.SUM, group: Group | None = None, sync_op: bool = True
) -> task:
    """Make a tensor what all processes' give together, in each of them.

    Raises:
        ArgumentError: no such op.
        DistributedError: a process was lost. (So in all calls of this module.)
    """
    _put(tensor, _joined(tensor.data_, op, group_of(group)))
    return task()


@_of_members
def reduce(
    tensor: Tensor, dst: int, op: int = ReduceOp.SUM, group: Group | None = None, sync_op: bool = True
) -> task:
    """The same in process ``dst`` only; in others the tensor stays as it is."""
    found = group_of(group)
    root = found.number_of(dst, "dst")
    made = _joined(tensor.data_, op, found)
    if found.rank == root:
        _put(tensor, made)
    return task()


@_of_members
def broadcast(tensor: Tensor, src: int, group: Group | None = None, sync_op: bool = True) -> task:
    """Make a tensor that of process ``src``."""
    found = group_of(group)
    made = tensor.data_.detach().clone()
    found.processes.broadcast([made], found.number_of(src, "src"))
    _put(tensor, made)
    return task()


@_of_members
def all_gather(
    tensor_list: Tensors, tensor: Tensor, group: Group | None = None, sync_op: bool = True
) -> task:
    """Append the values of all processes to a list, or fill it where it has tensors."""
    made = group_of(group).processes.all_gather(tensor.data_.detach())
    if tensor_list:
        if len(tensor_list) != len(made):
            raise ArgumentError(
                f"tensor_list has {len(tensor_list)} tensors; the group has {len(made)} processes."
            )
        for target, value in zip(tensor_list, made, strict=True):
            _put(target, value)
    else:
        tensor_list.extend(wrap(value) for value in made)
    return task()


@_of_members
def gather(
    tensor: Tensor,
    gather_list: Tensors | None = None,
    dst: int = 0,
    group: Group | None = None,
    sync_op: bool = True,
) -> task:
    """`all_gather` to process ``dst`` only."""
    found = group_of(group)
    root = found.number_of(dst, "dst")
    made: Tensors = []
    all_gather(made, tensor, found)
    if found.rank == root:
        if gather_list is None:
            raise ArgumentError("gather_list must be a list in process dst.")
        gather_list[:] = made
    return task()


@_of_members
def scatter(
    tensor: Tensor,
    tensor_list: Sequence[Tensor] | None = None,
    src: int = 0,
    group: Group | None = None,
    sync_op: bool = True,
) -> task:
    """This process's part of the list of process ``src``, into ``tensor``."""
    found = group_of(group)
    root = found.number_of(src, "src")
    stacked = torch.stack([tensor.data_.detach()] * found.nranks)
    if found.rank == root:
        parts = list(tensor_list or ())
        if len(parts) != found.nranks:
            raise ArgumentError(
                f"tensor_list has {len(parts)} tensors; the group has {found.nranks} processes."
            )
        stacked = torch.stack([part.data_.detach().to(tensor.data_.dtype) for part in parts])
    found.processes.broadcast([stacked], root)
    _put(tensor, stacked[found.rank])
    return task()


@_of_members
def reduce_scatter(
    tensor: Tensor,
    tensor_list: Sequence[Tensor],
    op: int = ReduceOp.SUM,
    group: Group | None = None,
    sync_op: bool = True,
) -> task:
    """Into ``tensor``: what all processes' tensors of this process's number in the lists give together."""
    found = group_of(group)
    parts = tensor_list.chunk(found.nranks) if isinstance(tensor_list, Tensor) else list(tensor_list)
    _need(parts, found)
    _put(tensor, _joined(torch.stack([part.data_ for part in parts]), op, found)[found.rank])
    return task()


@_of_members
def alltoall(
    in_tensor_list: Sequence[Tensor] | Tensors,
    out_tensor_list: Tensors,
    group: Group | None = None,
    sync_op: bool = True,
) -> task:
    """Send tensor i of a list to process i; the other list gets what they send."""
    found = group_of(group)
    given = list(in_tensor_list) or list(out_tensor_list)
    target = (
        out_tensor_list if in_tensor_list else in_tensor_list
    )  # early releases had them the other way round
    _need(given, found)
    rows = found.processes.all_gather(torch.stack([part.data_.detach() for part in given]))
    made = [wrap(row[found.rank].clone()) for row in rows]
    target[:] = made  # type: ignore[index]
    return task()


@_of_members
def alltoall_single(
    in_tensor: Tensor,
    out_tensor: Tensor,
    in_split_sizes: Sequence[int] | None = None,
    out_split_sizes: Sequence[int] | None = None,
    group: Group | None = None,
    sync_op: bool = True,
) -> task:
    """The same with parts of one tensor, along axis 0; of sizes that are given, or all alike."""
    found = group_of(group)
    rows, count = in_tensor.data_.shape[0], found.nranks
    sizes = list(in_split_sizes) if in_split_sizes else [rows // count] * count
    if len(sizes) != count or sum(sizes) != rows:
        raise ArgumentError(f"in_split_sizes {sizes} must be {count} numbers that add up to {rows} rows.")
    parts = in_tensor.data_.detach().split(sizes)
    found_sizes = found.processes.all_gather(torch.tensor([rows, *sizes]))
    most = max(int(row[0]) for row in found_sizes)
    padded = in_tensor.data_.new_zeros((most, *in_tensor.data_.shape[1:]))
    padded[:rows] = torch.cat(parts)
    made = []
    for row, values in zip(found_sizes, found.processes.all_gather(padded), strict=True):
        ends = [0, *row[1:].cumsum(0).tolist()]
        made.append(values[ends[found.rank] : ends[found.rank + 1]])
    _put(out_tensor, torch.cat(made))
    return task()


def _need(parts: Sequence[Any], group: Group) -> None:
    if len(parts) != group.nranks:
        raise ArgumentError(f"the list has {len(parts)} tensors; the group has {group.nranks} processes.")


@_of_members
def send(tensor: Tensor, dst: int = 0, group: Group | None = None, sync_op: bool = True) -> task:
    """Send a tensor to process ``dst``, which receives it."""
    found = group_of(group)
    found.processes.send(tensor.data_.detach(), found.number_of(dst, "dst"))
    return task()


@_of_members
def recv(tensor: Tensor, src: int = 0, group: Group | None = None, sync_op: bool = True) -> task:
    """Fill a tensor with what process ``src`` sends."""
    found = group_of(group)
    made = torch.empty_like(tensor.data_.detach())
    found.processes.receive(made, found.number_of(src, "src"))
    _put(tensor, made)
    return task()


@_of_members
def isend(tensor: Tensor, dst: int, group: Group | None = None) -> task:
    """`send`; what it returns is done already."""
    return send(tensor, dst, group)


@_of_members
def irecv(tensor: Tensor, src: int | None = None, group: Group | None = None) -> task:
    """`recv`; what it returns is done already."""
    return recv(tensor, src or 0, group)


@_of_members
def barrier(group: Group | None = None) -> None:
    """Wait until every process of the group has come here."""
    group_of(group).processes.barrier()


def wait(tensor: Tensor, group: Group | None = None, use_calc_stream: bool = True) -> None:
    """Nothing: calls return when they are done."""


# ---- objects ---------------------------------------------------------------------------------------
def _gathered(obj: Any, group: Group) -> list[Any]:
    """The objects of all processes. They come from the program's own processes, so they are pickled, as ever."""
    data = torch.frombuffer(bytearray(pickle.dumps(obj)), dtype=torch.uint8)
    sizes = [int(size) for size in group.processes.all_gather(torch.tensor([data.numel()]))]
    padded = torch.zeros(max(sizes), dtype=torch.uint8)
    padded[: data.numel()] = data
    rows = group.processes.all_gather(padded)
    return [pickle.loads(bytes(row[:size].numpy())) for row, size in zip(rows, sizes, strict=True)]


@_of_members
def all_gather_object(object_list: list[Any], obj: Any, group: Group | None = None) -> None:
    """Append the objects of all processes to a list."""
    object_list.extend(_gathered(obj, group_of(group)))


@_of_members
def broadcast_object_list(object_list: list[Any], src: int, group: Group | None = None) -> None:
    """Make a list that of process ``src``."""
    found = group_of(group)
    root = found.number_of(src, "src")
    object_list[:] = _gathered(object_list if found.rank == root else None, found)[root]


@_of_members
def scatter_object_list(
    out_object_list: list[Any],
    in_object_list: list[Any] | None = None,
    src: int = 0,
    group: Group | None = None,
) -> None:
    """This process's object of the list of process ``src``."""
    found = group_of(group)
    root = found.number_of(src, "src")
    given = _gathered(list(in_object_list or ()) if found.rank == root else None, found)[root]
    if len(given) % found.nranks:
        raise ArgumentError(
            f"in_object_list has {len(given)} objects; the group has {found.nranks} processes."
        )
    share = len(given) // found.nranks
    out_object_list[:] = given[found.rank * share :][:share]
