"""``paddle.nn.utils``: all parameters' gradients, or values, at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor, wrap
from freshpot.paddle.nn.reparametrize import remove_weight_norm, spectral_norm, weight_norm

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "remove_weight_norm", "spectral_norm",
    "vector_to_parameters", "weight_norm",
]  # fmt: skip


def _list(parameters: Any) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


@torch.no_grad()
def clip_grad_norm_(
    parameters: Any, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients, in place, so that their common norm is ``max_norm`` at most; the norm before.

    Raises:
        ArgumentError: the norm is not finite, and ``error_if_nonfinite``.
    """
    grads = [p.data_.grad for p in _list(parameters) if p.data_.grad is not None]
    if not grads:
        return wrap(torch.tensor(0.0))
    total = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(g, norm_type) for g in grads]), norm_type
    )
    if error_if_nonfinite and not bool(torch.isfinite(total)):
        raise ArgumentError(f"clip_grad_norm_: the gradients' norm is {float(total)}")
    torch._foreach_mul_(grads, (max_norm / (total + 1e-6)).clamp(max=1.0))
    return wrap(total)


@torch.no_grad()
def clip_grad_value_(parameters: Any, clip_value: float) -> None:
    """Bring every element of the gradients, in place, between -clip_value and clip_value."""
    for parameter in _list(parameters):
        if parameter.data_.grad is not None:
            parameter.data_.grad.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor], name: str | None = None) -> Tensor:
    """All parameters in one row."""
    return wrap(torch.cat([p.data_.flatten() for p in parameters]))


@torch.no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor], name: str | None = None) -> None:
    """A row of values back into parameters.

    Raises:
        ArgumentError: another length.
    """
    own = list(parameters)
    sizes = [p.size for p in own]
    if sum(sizes) != vec.size:
        raise ArgumentError(f"vector_to_parameters: {vec.size} values for parameters of {sum(sizes)}")
    for parameter, part in zip(own, vec.data_.split(sizes), strict=True):
        parameter.data_.copy_(part.reshape(parameter.data_.shape))


def __getattr__(name: str) -> Any:
    raise missing("nn.utils", name, __all__)
