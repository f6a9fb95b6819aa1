"""A layer, or any function over Tensors, as a ``torch.nn.Module`` that shares its parameters.

Called by :mod:`freshpot.paddle.jit`, :mod:`freshpot.paddle.static` and :mod:`freshpot.paddle.onnx`, which capture the
module as a net.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from freshpot.paddle._tensor import Tensor, wrap

__all__ = ["AsModule"]


class AsModule(nn.Module):
    """Calls ``function`` with Tensors; while it runs, the Tensors of ``state`` are the module's parameters.

    Args:
        function: takes and gives Tensors, in lists and tuples too.
        state: the parameters and buffers that it reads, by dotted name.
    """

    def __init__(self, function: Callable[..., Any], state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._function = function
        self._slots: list[tuple[Tensor, nn.Module, str]] = []
        for path, tensor in state.items():
            self._hold(path, tensor)

    def _hold(self, path: str, tensor: Tensor) -> None:
        *parts, name = path.split(".")
        owner: nn.Module = self
        for part in parts:
            if part not in owner._modules:
                owner.add_module(part, nn.Module())
            owner = owner._modules[part]  # type: ignore[assignment]
        data = tensor.data_.detach()
        if tensor.stop_gradient:
            owner.register_buffer(name, data)
        else:
            owner.register_parameter(name, nn.Parameter(data))
        self._slots.append((tensor, owner, name))

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Tensors of torch in and out."""
        before = [tensor.data_ for tensor, _, _ in self._slots]
        try:
            for tensor, owner, name in self._slots:
                tensor.data_ = getattr(owner, name)
            return _plain(self._function(*map(wrap, inputs)))
        finally:
            for (tensor, _, _), data in zip(self._slots, before, strict=True):
                tensor.data_ = data


def _plain(made: Any) -> Any:
    """Outputs as capture takes them: one tensor, or a flat tuple."""
    flat: list[torch.Tensor] = []

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            flat.append(value.data_)
        elif isinstance(value, dict):
            visit(list(value.values()))
        elif isinstance(value, (list, tuple)):
            for part in value:
                visit(part)

    visit(made)
    return flat[0] if len(flat) == 1 else tuple(flat)
