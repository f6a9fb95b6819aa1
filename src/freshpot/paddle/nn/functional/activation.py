"""Activations as functions."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import Tensor, lifted, recorded, wrap

__all__ = [
    "celu", "elu", "elu_", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "hardtanh_", "leaky_relu", "leaky_relu_", "log_sigmoid", "log_softmax", "maxout", "mish", "prelu", "relu",
    "relu6", "relu_", "rrelu", "selu", "sigmoid", "silu", "softmax", "softmax_", "softplus", "softshrink",
    "softsign", "swish", "tanh", "tanh_", "tanhshrink", "thresholded_relu", "thresholded_relu_",
]  # fmt: skip


@recorded
def relu(x: Tensor, name: str | None = None) -> Tensor:
    """max(x, 0)."""
    return wrap(torch.relu(x.data_))


def _in_place(function: Any) -> Any:
    def call(x: Tensor, *args: Any, **keywords: Any) -> Tensor:
        x.data_ = function(x, *args, **keywords).data_
        return x

    call.__name__ = call.__qualname__ = function.__name__ + "_"
    call.__doc__ = f"``{function.__name__}``, in place of ``x``."
    return call


@lifted
def sigmoid(x: Any, name: str | None = None) -> Any:
    """1 / (1 + exp(-x))."""
    return torch.sigmoid(x)


@lifted
def tanh(x: Any, name: str | None = None) -> Any:
    """tanh(x)."""
    return torch.tanh(x)


@lifted
def softmax(x: Any, axis: int = -1, dtype: Any = None, name: str | None = None) -> Any:
    """exp(x) / sum(exp(x)) along an axis."""
    return torch.softmax(x, axis, dtype=None if dtype is None else to_dtype(dtype))


@lifted
def log_softmax(x: Any, axis: int = -1, dtype: Any = None, name: str | None = None) -> Any:
    """log(softmax(x))."""
    return torch.log_softmax(x, axis, dtype=None if dtype is None else to_dtype(dtype))


@lifted
def relu6(x: Any, name: str | None = None) -> Any:
    """min(max(x, 0), 6)."""
    return F.relu6(x)


@lifted
def elu(x: Any, alpha: float = 1.0, name: str | None = None) -> Any:
    """x above 0, alpha * (exp(x) - 1) below."""
    return F.elu(x, alpha)


@lifted
def celu(x: Any, alpha: float = 1.0, name: str | None = None) -> Any:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""
    return F.celu(x, alpha)


@lifted
def selu(
    x: Any,
    scale: float = 1.0507009873554804934193349852946,
    alpha: float = 1.6732632423543772848170429916717,
    name: str | None = None,
) -> Any:
    """scale * (x above 0, alpha * (exp(x) - 1) below)."""
    return scale * torch.where(x > 0, x, alpha * torch.expm1(x))


@lifted
def gelu(x: Any, approximate: bool = False, name: str | None = None) -> Any:
    """x times the normal distribution's integral up to x; ``approximate`` by tanh."""
    return F.gelu(x, approximate="tanh" if approximate else "none")


@lifted
def silu(x: Any, name: str | None = None) -> Any:
    """x * sigmoid(x)."""
    return F.silu(x)


swish = silu


@lifted
def mish(x: Any, name: str | None = None) -> Any:
    """x * tanh(softplus(x))."""
    return F.mish(x)


@lifted
def leaky_relu(x: Any, negative_slope: float = 0.01, name: str | None = None) -> Any:
    """x above 0, negative_slope * x below."""
    return F.leaky_relu(x, negative_slope)


@lifted
def prelu(x: Any, weight: Any, data_format: str = "NCHW", name: str | None = None) -> Any:
    """x above 0, weight * x below; one weight, or one a channel."""
    if data_format.endswith("C") and weight.numel() > 1:
        return torch.where(x > 0, x, weight * x)
    return F.prelu(x, weight)


@lifted
def rrelu(
    x: Any,
    lower: float = 1.0 / 8.0,
    upper: float = 1.0 / 3.0,
    training: bool = True,
    name: str | None = None,
) -> Any:
    """leaky_relu with slopes drawn at random."""
    return F.rrelu(x, lower, upper, training)


@lifted
def hardtanh(x: Any, min: float = -1.0, max: float = 1.0, name: str | None = None) -> Any:
    """x between ``min`` and ``max``."""
    return F.hardtanh(x, min, max)


@lifted
def hardsigmoid(x: Any, slope: float = 0.1666667, offset: float = 0.5, name: str | None = None) -> Any:
    """slope * x + offset between 0 and 1."""
    return torch.clamp(slope * x + offset, 0.0, 1.0)


@lifted
def hardswish(x: Any, name: str | None = None) -> Any:
    """x * min(max(x + 3, 0), 6) / 6."""
    return F.hardswish(x)


@lifted
def hardshrink(x: Any, threshold: float = 0.5, name: str | None = None) -> Any:
    """x where its size is above the threshold, else 0."""
    return F.hardshrink(x, threshold)


@lifted
def softshrink(x: Any, threshold: float = 0.5, name: str | None = None) -> Any:
    """x moved towards 0 by the threshold."""
    return F.softshrink(x, threshold)


@lifted
def tanhshrink(x: Any, name: str | None = None) -> Any:
    """x - tanh(x)."""
    return F.tanhshrink(x)


@lifted
def thresholded_relu(x: Any, threshold: float = 1.0, name: str | None = None) -> Any:
    """x above the threshold, else 0."""
    return torch.where(x > threshold, x, torch.zeros_like(x))


@lifted
def softplus(x: Any, beta: float = 1, threshold: float = 20, name: str | None = None) -> Any:
    """log(1 + exp(beta * x)) / beta; x where beta * x is above the threshold."""
    return F.softplus(x, beta, threshold)


@lifted
def softsign(x: Any, name: str | None = None) -> Any:
    """x / (1 + |x|)."""
    return F.softsign(x)


@lifted
def log_sigmoid(x: Any, name: str | None = None) -> Any:
    """log(sigmoid(x))."""
    return F.logsigmoid(x)


@lifted
def maxout(x: Any, groups: int, axis: int = 1, name: str | None = None) -> Any:
    """The greatest of each group of neighbouring channels."""
    axis %= x.dim()
    shape = [*x.shape[:axis], x.shape[axis] // groups, groups, *x.shape[axis + 1 :]]
    return x.reshape(shape).amax(axis + 1)


@lifted
def glu(x: Any, axis: int = -1, name: str | None = None) -> Any:
    """One half times the sigmoid of the other."""
    return F.glu(x, axis)


@lifted
def gumbel_softmax(
    x: Any, temperature: float = 1.0, hard: bool = False, axis: int = -1, name: str | None = None
) -> Any:
    """softmax with Gumbel noise."""
    return F.gumbel_softmax(x, temperature, hard, dim=axis)


relu_, elu_, tanh_, softmax_ = _in_place(relu), _in_place(elu), _in_place(tanh), _in_place(softmax)
hardtanh_, leaky_relu_, thresholded_relu_ = (
    _in_place(hardtanh),
    _in_place(leaky_relu),
    _in_place(thresholded_relu),
)
