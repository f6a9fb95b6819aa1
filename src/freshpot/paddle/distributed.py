"""``paddle.distributed`` as one process has it: rank 0 of 1. Groups of several processes are not done."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from freshpot.errors import NotSupportedError
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.nn.layer import Layer

__all__ = [
    "DataParallel", "ParallelEnv", "ReduceOp", "all_gather", "all_gather_object", "all_reduce", "alltoall", "barrier",
    "broadcast", "broadcast_object_list", "destroy_process_group", "get_rank", "get_world_size", "init_parallel_env",
    "is_available", "is_initialized", "launch", "reduce", "reduce_scatter", "scatter", "scatter_object_list", "spawn",
]  # fmt: skip


class ReduceOp:
    """How values of several processes are joined; of one they stay as they are."""

    SUM, MAX, MIN, PROD, AVG = range(5)


class ParallelEnv:
    """What a process knows of its group: it is alone."""

    rank = local_rank = device_id = dev_id = 0
    world_size = nranks = nrings = 1
    device_type = ""

    @property
    def current_endpoint(self) -> str:
        """Its address; empty."""
        return os.environ.get("PADDLE_CURRENT_ENDPOINT", "")

    @property
    def trainer_endpoints(self) -> list[str]:
        """All addresses; none."""
        return [e for e in os.environ.get("PADDLE_TRAINER_ENDPOINTS", "").split(",") if e]


def _check_alone() -> None:
    count = os.environ.get("PADDLE_TRAINERS_NUM", "1")
    if count not in ("", "0", "1"):
        raise NotSupportedError(
            f"paddle.distributed: PADDLE_TRAINERS_NUM is {count}; only one process is done here"
        )


def init_parallel_env() -> None:
    """Nothing to do for one process.

    Raises:
        NotSupportedError: the environment says that there are several.
    """
    _check_alone()


def get_rank(group: Any = None) -> int:
    """0."""
    return 0


def get_world_size(group: Any = None) -> int:
    """1."""
    return 1


def is_initialized() -> bool:
    """False: there is no group."""
    return False


def is_available() -> bool:
    """True: the functions are there."""
    return True


def destroy_process_group(group: Any = None) -> None:
    """Nothing: there is no group."""


def barrier(group: Any = None) -> None:
    """Nobody else is waited for."""


def _same(tensor: Any, *args: Any, **keywords: Any) -> None:
    """In a group of one the value stays as it is."""


all_reduce = reduce = broadcast = broadcast_object_list = _same


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, sync_op: bool = True) -> None:
    """Append the values of all processes, this one's, to a list."""
    tensor_list.append(tensor.clone())


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Append the objects of all processes, this one's, to a list."""
    object_list.append(obj)


def scatter(
    tensor: Tensor, tensor_list: Any = None, src: int = 0, group: Any = None, sync_op: bool = True
) -> None:
    """This process's part of a list, the only one, into ``tensor``."""
    if tensor_list:
        tensor.set_value(tensor_list[0])


def scatter_object_list(
    out_object_list: list[Any], in_object_list: Any = None, src: int = 0, group: Any = None
) -> None:
    """This process's part of a list, the only one."""
    out_object_list[:] = list(in_object_list or [])[:1]


def reduce_scatter(
    tensor: Tensor, tensor_list: Any, op: Any = 0, group: Any = None, sync_op: bool = True
) -> None:
    """This process's part of what all have joined."""
    tensor.set_value(tensor_list[0])


def alltoall(
    in_tensor_list: Any, out_tensor_list: list[Tensor], group: Any = None, sync_op: bool = True
) -> None:
    """Parts exchanged with all processes, with this one."""
    out_tensor_list.extend(tensor.clone() for tensor in in_tensor_list)


def spawn(func: Callable[..., Any], args: Any = (), nprocs: int = -1, join: bool = True, daemon: bool = False,
          **options: Any) -> None:  # fmt: skip
    """Call ``func`` in this process.

    Raises:
        NotSupportedError: more than one process.
    """
    if nprocs > 1:
        raise NotSupportedError(f"distributed.spawn: {nprocs} processes; only one is done here")
    func(*args)


def launch(*args: Any, **keywords: Any) -> NoReturn:
    """Raises:
    NotSupportedError: run the program itself: it is one process.
    """
    raise NotSupportedError("distributed.launch is not done here: run the program itself, as one process")


class DataParallel(Layer):
    """A layer whose copies in all processes learn alike; of one process, the layer itself.

    Args:
        layers: the layer; its state has its own names.
    """

    def __init__(
        self,
        layers: Layer,
        strategy: Any = None,
        comm_buffer_size: int = 25,
        last_comm_buffer_size: float = 1,
        find_unused_parameters: bool = False,
        group: Any = None,
    ) -> None:
        super().__init__(layers.full_name() + "_data_parallel")
        _check_alone()
        self._layers = layers
        self.find_unused_parameters = find_unused_parameters

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """What the layer gives."""
        return self._layers(*inputs, **keywords)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients are not joined within it: they never are."""
        yield

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss itself."""
        return loss

    def apply_collective_grads(self) -> None:
        """Nothing: there are no other gradients."""

    def state_dict(self, *args: Any, **keywords: Any) -> Any:
        """The layer's."""
        return self._layers.state_dict(*args, **keywords)

    def set_state_dict(self, state_dict: Any, use_structured_name: bool = True) -> Any:
        """The layer's."""
        return self._layers.set_state_dict(state_dict, use_structured_name)

    set_dict = load_dict = set_state_dict


def __getattr__(name: str) -> NoReturn:
    raise missing("distributed", name, __all__)
