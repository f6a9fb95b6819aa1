"""What all distributions share, and how their values come from PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import distributions as td

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._state import current_device, default_float
from freshpot.paddle._tensor import Tensor, unwrap, wrap

__all__ = ["Distribution", "ExponentialFamily", "number", "plain"]


def number(value: Any) -> torch.Tensor:
    """A parameter as torch's tensor: numbers and lists are floats."""
    data = unwrap(value)
    if not isinstance(data, torch.Tensor):
        data = torch.as_tensor(data, device=current_device())
    return data if data.is_floating_point() else data.to(default_float())


def plain(value: Any, like: torch.Tensor | None = None) -> torch.Tensor:
    """A value as torch's tensor."""
    data = unwrap(value)
    return data if isinstance(data, torch.Tensor) else torch.as_tensor(data, device=current_device())


class Distribution:
    """A distribution, or several side by side.

    Attributes:
        batch_shape: how many there are along each axis.
        event_shape: the shape of one draw.
    """

    #: torch's, where there is one
    _torch: Any = None

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = ()) -> None:
        self._batch_shape, self._event_shape = tuple(batch_shape), tuple(event_shape)

    def _take(self, found: td.Distribution) -> None:
        self._torch = found
        Distribution.__init__(self, found.batch_shape, found.event_shape)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """How many there are along each axis."""
        return self._batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one draw."""
        return self._event_shape

    def _own(self, what: str) -> Any:
        if self._torch is None:
            raise NotSupportedError(f"{type(self).__name__}.{what} is not known")
        return self._torch

    def _shaped(self, shape: Any) -> torch.Size:
        sizes = shape.tolist() if isinstance(shape, Tensor) else shape
        return torch.Size([int(n) for n in ([sizes] if isinstance(sizes, int) else sizes)])

    @property
    def mean(self) -> Any:
        """The expected value."""
        return wrap(self._own("mean").mean)

    @property
    def variance(self) -> Any:
        """The expected square of the distance from the mean."""
        return wrap(self._own("variance").variance)

    def sample(self, shape: Any = ()) -> Any:
        """Draws: ``shape``, then the distribution's own sizes. No gradient flows."""
        return wrap(self._own("sample").sample(self._shaped(shape)))

    def rsample(self, shape: Any = ()) -> Any:
        """Draws through which gradients flow to the parameters.

        Raises:
            NotSupportedError: there is no such way to draw.
        """
        own = self._own("rsample")
        if not own.has_rsample:
            raise NotSupportedError(f"{type(self).__name__}.rsample: draws have no gradient")
        return wrap(own.rsample(self._shaped(shape)))

    def entropy(self) -> Any:
        """The expected -log of the probability, in nats."""
        return wrap(self._own("entropy").entropy())

    def log_prob(self, value: Any) -> Any:
        """The log of the probability (density) of a value."""
        return wrap(self._own("log_prob").log_prob(plain(value)))

    def prob(self, value: Any) -> Any:
        """The probability (density) of a value."""
        return self.log_prob(value).exp()

    def probs(self, value: Any) -> Any:
        """The probability (density) of a value."""
        return self.prob(value)

    def kl_divergence(self, other: Distribution) -> Any:
        """The expected log of the two probabilities' ratio."""
        from freshpot.paddle.distribution.kl import kl_divergence

        return kl_divergence(self, other)

    def _check(self, good: bool, said: str) -> None:
        if not good:
            raise ArgumentError(f"{type(self).__name__}: {said}")


class ExponentialFamily(Distribution):
    """Distributions whose density is the exponential of a product."""
