"""What the processes of test_paddle.py compute: each writes its results to a file of a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import freshpot.paddle as paddle

dist = paddle.distributed


class Numbers(paddle.io.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> int:
        return index


def own() -> Any:
    return paddle.to_tensor(np.arange(4, dtype="float32").reshape(2, 2) + 10 * dist.get_rank())


def changed(call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    tensor = own()
    call(tensor, *args, **keywords)
    return tensor.tolist()


def listed(call: Callable[..., Any], *args: Any, first: bool = True) -> Any:
    made: list[Any] = []
    call(*((made, *args) if first else (*args, made)))
    return [t.tolist() if isinstance(t, paddle.Tensor) else t for t in made]


def message(send: Any, receive: Any) -> Any:
    tensor = own()
    work = send(tensor, dst=1) if dist.get_rank() == 0 else receive(tensor, src=0)
    work.wait()
    return tensor.tolist()


def objects() -> Any:
    made = [{"a": dist.get_rank()}]
    dist.broadcast_object_list(made, src=1)
    return made


def parts() -> Any:
    both, second = dist.new_group([0, 1]), dist.new_group([1])
    return [
        str(both),
        second.rank,
        second.is_member(),
        dist.get_world_size(second),
        changed(dist.all_reduce, group=second),
    ]


def sampled() -> Any:
    plain = paddle.io.DistributedBatchSampler(Numbers(), 2)
    mixed = paddle.io.DistributedBatchSampler(Numbers(), 2, shuffle=True, drop_last=True)
    mixed.set_epoch(1)
    return [list(plain), [[int(i) for i in batch] for batch in mixed]]


def split() -> Any:
    rank = dist.get_rank()
    given, made = paddle.arange(3) + 10 * rank, paddle.zeros([2 if rank == 0 else 4], "int64")
    dist.alltoall_single(given, made, [1, 2], [1, 1] if rank == 0 else [2, 2])
    return made.tolist()


def trained() -> Any:
    """Weights at the start and gradients: joined, without joining, joined again."""
    paddle.seed(dist.get_rank())
    layer = paddle.nn.Linear(2, 2)
    model = paddle.DataParallel(layer)
    begun, found = layer.weight.tolist(), []
    for joins in (True, False, True):
        if joins:
            model(own()).sum().backward()
        else:
            layer.clear_gradients()
            with model.no_sync():
                model(own()).sum().backward()
        found.append(layer.weight.grad.tolist())
    return [begun, found, list(model.state_dict())]


CASES: dict[str, Callable[[], Any]] = {
    "sum": lambda: changed(dist.all_reduce),
    "max": lambda: changed(dist.all_reduce, op=dist.ReduceOp.MAX),
    "product": lambda: changed(dist.all_reduce, op=dist.ReduceOp.PROD),
    "mean": lambda: changed(dist.all_reduce, op=dist.ReduceOp.AVG),
    "all_gather": lambda: listed(dist.all_gather, own()),
    "gather": lambda: listed(lambda made: dist.gather(own(), made, dst=0)),
    "broadcast": lambda: changed(dist.broadcast, src=1),
    "reduce": lambda: changed(dist.reduce, dst=0),
    "scatter": lambda: changed(dist.scatter, [own(), own() + 100] if dist.get_rank() == 0 else [], src=0),
    "reduce_scatter": lambda: changed(dist.reduce_scatter, [own(), own() + 1]),
    "alltoall": lambda: listed(dist.alltoall, [own(), own() + 1], first=False),
    "alltoall_single": split,
    "sent": lambda: message(dist.send, dist.recv),
    "sent later": lambda: message(dist.isend, dist.irecv),
    "objects": objects,
    "all objects": lambda: listed(dist.all_gather_object, {"r": dist.get_rank()}),
    "scattered objects": lambda: listed(
        lambda made: dist.scatter_object_list(made, [{"x": 1}, {"x": 2}], src=1)
    ),
    "groups": parts,
    "samplers": sampled,
    "training": trained,
}


def main(folder: str) -> None:
    world = dist.init_parallel_env()
    assert dist.is_initialized()
    found: dict[str, Any] = {"world": [world.rank, dist.get_world_size(), str(dist.get_group(0))]}
    for name, call in CASES.items():
        found[name] = call()
    dist.barrier()
    dist.destroy_process_group()
    Path(folder, f"{world.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    dist.spawn(main, (sys.argv[1],), nprocs=2)
    print("[]")
