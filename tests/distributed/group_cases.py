"""What the processes of test_group.py compute: prints a table of results."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import torch

from freshpot.distributed import meeting
from freshpot.errors import DistributedError

rank, size, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
group = meeting.by_file(place, "cases", rank, size, 300)


def own(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.arange(6) + 10 * rank).to(dtype).reshape(2, 3)


def reduced(*tensors: torch.Tensor, scale: float = 1.0, op: str = "sum") -> Any:
    group.all_reduce(tensors, scale, op)
    return [t.tolist() for t in tensors]


def copied(root: int) -> Any:
    tensor = own()
    group.broadcast([tensor], root)
    return tensor.tolist()


def sent() -> Any:
    tensor = own()
    if rank == 0:
        group.send(tensor, 1, tag=5)
    elif rank == 1:
        group.receive(tensor, 0, tag=5)
    return tensor.tolist()


def another_at_the_place() -> Any:
    second, tensor = group.part("another", [size - 1, 0]), own()
    if second is None:
        return "not among them"
    second.all_reduce([tensor])
    return [second.rank, tensor.tolist()]


def left() -> str:
    group.barrier()
    group.close()
    try:
        group.barrier()
    except DistributedError as error:
        return str(error)
    return "nothing raised"


CASES: dict[str, Callable[[], Any]] = {
    "sum": lambda: reduced(own(), torch.full((2,), float(rank))),
    "half the sum": lambda: reduced(own(), scale=0.5),
    "sum of columns": lambda: reduced(own().t()),
    "sum of halves": lambda: reduced(own(torch.float16)),
    "sum of bytes": lambda: reduced(own(torch.uint8)),
    "product": lambda: reduced(own(), op="product"),
    "smallest": lambda: reduced(own(torch.int64), op="min"),
    "sum of nothing": lambda: reduced(),
    "copy": lambda: copied(0),
    "copy of the last": lambda: copied(size - 1),
    "gathered": lambda: [part.tolist() for part in group.all_gather(own(torch.bool))],
    "sent": sent,
    "a part at the place": another_at_the_place,
    "left": left,
}
print(json.dumps({name: call() for name, call in CASES.items()}))
