"""``paddle.DataParallel``: a layer whose copies in all processes learn alike.

Owned here: that. Who calls it: programs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.distributed._groups import Group, ParallelEnv, group_of, is_initialized
from freshpot.paddle.nn.layer import Layer


class DataParallel(Layer):
    """A layer whose parameters begin as those of process 0, and whose gradients are the mean of all processes'.

    Args:
        layers: the layer; its state has its own names.
        strategy, comm_buffer_size, last_comm_buffer_size: of no effect.
        find_unused_parameters: of no effect: a parameter that a process did not use counts as 0 there.
        group: the processes; by default all.

    Raises:
        ArgumentError: there are several processes, and ``init_parallel_env`` was not called.
        DistributedError: a process was lost; so in backward passes.
    """

    def __init__(
        self,
        layers: Layer,
        strategy: Any = None,
        comm_buffer_size: int = 25,
        last_comm_buffer_size: float = 1,
        find_unused_parameters: bool = False,
        group: Group | None = None,
    ) -> None:
        super().__init__(layers.full_name() + "_data_parallel")
        if group is None and not is_initialized() and ParallelEnv().world_size > 1:
            raise ArgumentError("paddle.DataParallel: call paddle.distributed.init_parallel_env() first.")
        self._layers = layers
        self.find_unused_parameters = find_unused_parameters
        self._group = group_of(group)
        self._joins = True
        self._waiting = False
        if self._group.nranks > 1:
            self._begin_alike()

    def _begin_alike(self) -> None:
        state = [value.data_.detach() for value in (*self._layers.parameters(), *self._layers.buffers())]
        for kind in {value.dtype for value in state}:
            self._group.processes.broadcast([value for value in state if value.dtype == kind])
        for parameter in self._layers.parameters():
            if parameter.data_.requires_grad:
                parameter.data_.register_post_accumulate_grad_hook(self._ready)

    def _ready(self, parameter: torch.Tensor) -> None:
        """A parameter has its gradient: when all have, they are joined."""
        if self._joins and not self._waiting:
            self._waiting = True
            torch.autograd.Variable._execution_engine.queue_callback(self._join)

    def _join(self) -> None:
        self._waiting = False
        trained = [p.data_ for p in self._layers.parameters() if p.data_.requires_grad]
        used = torch.tensor([p.grad is not None for p in trained], dtype=torch.uint8)
        self._group.processes.all_reduce([used], op="max")
        grads = []
        for parameter, somewhere in zip(trained, used.tolist(), strict=True):
            if somewhere:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                grads.append(parameter.grad)
        for kind in {grad.dtype for grad in grads}:
            same = [grad for grad in grads if grad.dtype == kind]
            self._group.processes.all_reduce(same, 1.0 / self._group.nranks)

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        """What the layer gives."""
        return self._layers(*inputs, **keywords)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Within it gradients are not joined; the next backward pass after it joins what has gathered."""
        before, self._joins = self._joins, False
        try:
            yield
        finally:
            self._joins = before

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss itself: gradients are divided when they are joined."""
        return loss

    def apply_collective_grads(self) -> None:
        """Nothing: gradients are joined in the backward pass."""

    def state_dict(self, *args: Any, **keywords: Any) -> Any:
        """The layer's."""
        return self._layers.state_dict(*args, **keywords)

    def set_state_dict(self, state_dict: Any, use_structured_name: bool = True) -> Any:
        """The layer's."""
        return self._layers.set_state_dict(state_dict, use_structured_name)

    set_dict = load_dict = set_state_dict
