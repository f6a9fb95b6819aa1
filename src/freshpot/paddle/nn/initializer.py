"""How parameters begin. Each initialiser overwrites a parameter when called with it.

Weights have inputs first for matrices (in, out) and channels first for filters (out, in, h, w); the fans follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._missing import missing
from freshpot.paddle._tensor import Tensor, unwrap

__all__ = [
    "Assign",
    "Bilinear",
    "Constant",
    "Dirac",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "XavierNormal",
    "XavierUniform",
    "calculate_gain",
    "set_global_initializer",
]


class Initializer:
    """Base class: a subclass fills torch's tensor in ``fill``."""

    def __call__(self, param: Tensor, block: Any = None) -> Tensor:
        with torch.no_grad():
            self.fill(param.data_)
        return param

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        raise NotImplementedError(f"{type(self).__name__} must define fill(data)")


class Constant(Initializer):
    """One value everywhere."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        data.fill_(self.value)


class Normal(Initializer):
    """Normal with a mean and a deviation."""

    def __init__(self, mean: float = 0.0, std: float = 1.0, name: str | None = None) -> None:
        self.mean, self.std = mean, std

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        data.normal_(self.mean, self.std)


class TruncatedNormal(Initializer):
    """Normal, drawn again beyond two deviations (``a`` and ``b`` in units of deviations)."""

    def __init__(
        self, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, name: str | None = None
    ) -> None:
        self.mean, self.std, self.a, self.b = mean, std, a, b

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        low, high = self.mean + self.a * self.std, self.mean + self.b * self.std
        torch.nn.init.trunc_normal_(data, self.mean, self.std, low, high)


class Uniform(Initializer):
    """Uniform in [low, high)."""

    def __init__(self, low: float = -1.0, high: float = 1.0, name: str | None = None) -> None:
        self.low, self.high = low, high

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        data.uniform_(self.low, self.high)


def fans(shape: Sequence[int]) -> tuple[float, float]:
    """How many inputs and outputs one output and one input of a weight have."""
    if len(shape) < 2:
        size = float(shape[0]) if shape else 1.0
        return size, size
    if len(shape) == 2:
        return float(shape[0]), float(shape[1])
    field = math.prod(shape[2:])
    return float(shape[1] * field), float(shape[0] * field)


class _Xavier(Initializer):
    def __init__(
        self,
        fan_in: float | None = None,
        fan_out: float | None = None,
        gain: float = 1.0,
        name: str | None = None,
    ) -> None:
        self.fan_in, self.fan_out, self.gain = fan_in, fan_out, gain

    def total(self, data: torch.Tensor) -> float:
        into, out = fans(data.shape)
        return (self.fan_in or into) + (self.fan_out or out)


class XavierUniform(_Xavier):
    """Uniform in ±gain * sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        limit = self.gain * math.sqrt(6.0 / self.total(data))
        data.uniform_(-limit, limit)


class XavierNormal(_Xavier):
    """Normal with deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010)."""

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        data.normal_(0.0, self.gain * math.sqrt(2.0 / self.total(data)))


class _Kaiming(Initializer):
    def __init__(
        self, fan_in: float | None = None, negative_slope: float = 0.0, nonlinearity: str = "relu"
    ) -> None:
        self.fan_in = fan_in
        self.gain = calculate_gain(nonlinearity, negative_slope)

    def deviation(self, data: torch.Tensor) -> float:
        return self.gain / math.sqrt(self.fan_in or fans(data.shape)[0])


class KaimingUniform(_Kaiming):
    """Uniform in ±gain * sqrt(3 / fan_in) (He and others 2015)."""

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        limit = math.sqrt(3.0) * self.deviation(data)
        data.uniform_(-limit, limit)


class KaimingNormal(_Kaiming):
    """Normal with deviation gain / sqrt(fan_in) (He and others 2015)."""

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        data.normal_(0.0, self.deviation(data))


class Assign(Initializer):
    """The given values.

    Raises:
        ArgumentError: when used for a parameter of another shape.
    """

    def __init__(self, value: Any, name: str | None = None) -> None:
        self.value = torch.as_tensor(unwrap(value))

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        if data.shape != self.value.shape:
            raise ArgumentError(
                f"Assign: the value has shape {list(self.value.shape)}, the parameter {list(data.shape)}"
            )
        data.copy_(self.value)


class Orthogonal(Initializer):
    """Orthogonal rows or columns, times a gain."""

    def __init__(self, gain: float = 1.0, name: str | None = None) -> None:
        self.gain = gain

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        torch.nn.init.orthogonal_(data, self.gain)


class Dirac(Initializer):
    """Filters that pass their input on."""

    def __init__(self, groups: int = 1, name: str | None = None) -> None:
        self.groups = groups

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        torch.nn.init.dirac_(data, self.groups)


class Bilinear(Initializer):
    """Filters of a transposed convolution that enlarge pictures; the original's numbers, in which rows lean."""

    def fill(self, data: torch.Tensor) -> None:
        """Overwrite ``data``."""
        size = data.shape[-1]
        factor = math.ceil(size / 2.0)
        centre = (2 * factor - 1 - factor % 2) / (2.0 * factor)
        places = torch.arange(data.numel(), dtype=torch.float64).reshape(data.shape)
        across, down = places % size, (places / size) % size
        made = (1 - (across / factor - centre).abs()) * (1 - (down / factor - centre).abs())
        data.copy_(made.to(data.dtype))


_GAINS = {
    "sigmoid": 1.0,
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv1d_transpose": 1.0,
    "conv2d_transpose": 1.0,
    "conv3d_transpose": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the spread of values through an activation.

    Raises:
        ArgumentError: no such activation is known.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ArgumentError(f"no gain is known for {nonlinearity!r}; known: leaky_relu, {', '.join(_GAINS)}")
    return _GAINS[nonlinearity]


_global: dict[bool, Initializer | None] = {False: None, True: None}


def set_global_initializer(weight_init: Initializer | None, bias_init: Initializer | None = None) -> None:
    """Initialisers for parameters that name none; None restores the defaults."""
    _global[False], _global[True] = weight_init, bias_init


def default_initializer(is_bias: bool) -> Callable[[Tensor], Tensor]:
    """Xavier's uniform for weights, zeros for biases, unless set otherwise."""
    return _global[is_bias] or (Constant(0.0) if is_bias else XavierUniform())


def __getattr__(name: str) -> Any:
    raise missing("nn.initializer", name, __all__)
