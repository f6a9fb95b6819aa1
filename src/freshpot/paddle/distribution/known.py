"""The distributions with names. (Sources: the docstring of each says its density or probability.)"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import distributions as td

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._tensor import wrap
from freshpot.paddle.distribution.base import Distribution, ExponentialFamily, number, plain

__all__ = [
    "Bernoulli", "Beta", "Categorical", "Cauchy", "Dirichlet", "Geometric", "Gumbel", "Laplace", "LogNormal",
    "Multinomial", "Normal", "Uniform",
]  # fmt: skip


class _LocScale(Distribution):
    """A distribution with a place and a width."""

    kind: Any = None

    def __init__(self, loc: Any, scale: Any, name: str | None = None) -> None:
        place, width = number(loc), number(scale)
        self.loc, self.scale = wrap(place), wrap(width)
        self._take(self.kind(place, width, validate_args=False))

    @property
    def stddev(self) -> Any:
        """The root of the variance."""
        return wrap(self._torch.stddev)


class Normal(_LocScale):
    """exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi))."""

    kind = td.Normal

    def sample(self, shape: Any = (), seed: int = 0) -> Any:
        """Draws; a ``seed`` other than 0 makes them repeatable."""
        return _seeded(self, shape, seed)


class LogNormal(_LocScale):
    """The exponential of a :class:`Normal`."""

    kind = td.LogNormal

    def probs(self, value: Any) -> Any:
        """The density of a value."""
        return self.prob(value)


class Laplace(_LocScale):
    """exp(-|x - loc| / scale) / (2 scale)."""

    kind = td.Laplace

    def cdf(self, value: Any) -> Any:
        """The probability of values up to this one."""
        return wrap(self._torch.cdf(plain(value)))

    def icdf(self, value: Any) -> Any:
        """The value with this probability below it."""
        return wrap(self._torch.icdf(plain(value)))


class Gumbel(_LocScale):
    """exp(-(z + exp(-z))) / scale with z = (x - loc) / scale."""

    kind = td.Gumbel

    def cdf(self, value: Any) -> Any:
        """The probability of values up to this one."""
        z = (plain(value) - self._torch.loc) / self._torch.scale
        return wrap(torch.exp(-torch.exp(-z)))


class Cauchy(_LocScale):
    """1 / (pi scale (1 + ((x - loc) / scale)^2)); it has no mean and no variance."""

    kind = td.Cauchy

    def _none(self, what: str) -> Any:
        raise ArgumentError(f"Cauchy has no {what}")

    mean = property(lambda self: self._none("mean"))
    variance = property(lambda self: self._none("variance"))
    stddev = property(lambda self: self._none("stddev"))

    def cdf(self, value: Any) -> Any:
        """The probability of values up to this one."""
        return wrap(self._torch.cdf(plain(value)))


def _seeded(own: Distribution, shape: Any, seed: int) -> Any:
    if not seed:
        return Distribution.sample(own, shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Distribution.sample(own, shape)


class Uniform(Distribution):
    """1 / (high - low) from low to high."""

    def __init__(self, low: Any, high: Any, name: str | None = None) -> None:
        least, most = number(low), number(high)
        self.low, self.high = wrap(least), wrap(most)
        self._take(td.Uniform(least, most, validate_args=False))

    def sample(self, shape: Any = (), seed: int = 0) -> Any:
        """Draws; a ``seed`` other than 0 makes them repeatable."""
        return _seeded(self, shape, seed)

    def log_prob(self, value: Any) -> Any:
        """The log of the density: -inf outside, and at both ends."""
        low, high, x = self._torch.low, self._torch.high, plain(value)
        inside = ((x > low) & (x < high)).to(low.dtype)
        return wrap(torch.log(inside) - torch.log(high - low))


class Bernoulli(ExponentialFamily):
    """1 with probability ``probs``, else 0."""

    def __init__(self, probs: Any, name: str | None = None) -> None:
        p = number(probs)
        self.probs_ = wrap(p)
        self._take(td.Bernoulli(p, validate_args=False))

    @property
    def probs(self) -> Any:
        """The probability of 1."""
        return self.probs_

    def rsample(self, shape: Any = (), temperature: float = 1.0) -> Any:
        """Logits of soft draws (Maddison and others 2017): their sigmoid lies near 0 and 1 for low temperatures."""
        p = self._torch.probs
        uniform = torch.rand([*self._shaped(shape), *p.shape], dtype=p.dtype, device=p.device)
        noise = torch.log(uniform) - torch.log1p(-uniform)
        return wrap((torch.log(p) - torch.log1p(-p) + noise) / temperature)

    def cdf(self, value: Any) -> Any:
        """The probability of values up to this one."""
        x, p = plain(value), self._torch.probs
        below, above = torch.zeros_like(p), torch.ones_like(p)
        return wrap(torch.where(x < 0, below, torch.where(x < 1, 1 - p, above)))


class Geometric(Distribution):
    """probs (1 - probs)^k: ``k`` failures before the first success."""

    def __init__(self, probs: Any) -> None:
        p = number(probs)
        self.probs_ = wrap(p)
        self._take(td.Geometric(p, validate_args=False))

    @property
    def probs(self) -> Any:
        """The probability of success."""
        return self.probs_

    @property
    def stddev(self) -> Any:
        """The root of the variance."""
        return wrap(self._torch.stddev)

    def pmf(self, k: Any) -> Any:
        """The probability of ``k``."""
        return self.log_pmf(k).exp()

    def log_pmf(self, k: Any) -> Any:
        """The log of the probability of ``k``."""
        p = self._torch.probs
        return wrap(torch.log1p(-p) * plain(k) + torch.log(p))

    def log_prob(self, value: Any) -> Any:
        """The log of the probability of a value."""
        return self.log_pmf(value)

    def cdf(self, k: Any) -> Any:
        """The probability of values up to ``k``."""
        return wrap(1.0 - (1.0 - self._torch.probs) ** (plain(k) + 1))


class Beta(ExponentialFamily):
    """x^(alpha - 1) (1 - x)^(beta - 1) / B(alpha, beta)."""

    def __init__(self, alpha: Any, beta: Any) -> None:
        a, b = torch.broadcast_tensors(number(alpha), number(beta))
        self.alpha, self.beta = wrap(a), wrap(b)
        self._take(td.Beta(a, b, validate_args=False))


class Dirichlet(ExponentialFamily):
    """Vectors that add up to 1: the product of x_i^(concentration_i - 1), over B(concentration).

    Raises:
        ArgumentError: the concentration has no axis.
    """

    def __init__(self, concentration: Any) -> None:
        c = number(concentration)
        self._check(c.dim() > 0, "concentration must have at least one axis")
        self.concentration = wrap(c)
        self._take(td.Dirichlet(c, validate_args=False))


class Categorical(Distribution):
    """One of the numbers from 0 on.

    As in the original, ``logits`` are weights for drawing and probabilities (they are divided by their sum), and logs
    (softmax is taken) for the entropy and the divergence.
    """

    def __init__(self, logits: Any, name: str | None = None) -> None:
        weights = number(logits)
        self.logits = wrap(weights)
        self._prob = weights / weights.sum(-1, keepdim=True)
        self._logs = torch.log_softmax(weights, -1)
        super().__init__(weights.shape[:-1], ())

    def sample(self, shape: Any = ()) -> Any:
        """Draws: ``shape``, then the distribution's own sizes."""
        sizes = self._shaped(shape)
        rows = self._prob.reshape(-1, self._prob.shape[-1])
        made = torch.multinomial(rows, max(1, sizes.numel()), replacement=True).mT
        return wrap(made.reshape(*sizes, *self._prob.shape[:-1]))

    def rsample(self, shape: Any = ()) -> Any:
        """Raises:
        NotSupportedError: draws of numbers have no gradient.
        """
        raise NotSupportedError("Categorical.rsample: draws have no gradient")

    def entropy(self) -> Any:
        """The expected -log of the probability, of the softmax of ``logits``."""
        return wrap(-(self._logs.exp() * self._logs).sum(-1))

    def probs(self, value: Any) -> Any:
        """The probabilities of numbers; with several distributions, a row of numbers for each."""
        x, p = plain(value).long(), self._prob
        if p.dim() == 1:
            return wrap(p[x.reshape(-1)].reshape(x.shape))
        rows = x.expand(*p.shape[:-1], x.shape[-1]) if x.dim() == 1 else x
        return wrap(p.gather(-1, rows))

    def log_prob(self, value: Any) -> Any:
        """The logs of the probabilities of numbers."""
        return self.probs(value).log()

    def prob(self, value: Any) -> Any:
        """The probabilities of numbers."""
        return self.probs(value)


class Multinomial(Distribution):
    """How often each class comes up in ``total_count`` draws.

    Raises:
        ArgumentError: fewer than one draw, or probabilities without an axis.
    """

    def __init__(self, total_count: int, probs: Any) -> None:
        p = number(probs)
        self._check(int(total_count) >= 1, f"total_count must be 1 or more, got {total_count}")
        self._check(p.dim() > 0, "probs must have at least one axis")
        self.total_count = int(total_count)
        self.probs_ = wrap(p / p.sum(-1, keepdim=True))
        self._take(td.Multinomial(self.total_count, p, validate_args=False))

    @property
    def probs(self) -> Any:
        """The classes' probabilities."""
        return self.probs_

    def entropy(self) -> Any:
        """The expected -log of the probability, in nats."""
        count, p = self.total_count, self.probs_.data_
        ways = torch.arange(1, count + 1, dtype=p.dtype)
        single = -(p * torch.log(p)).nan_to_num(0.0).sum(-1)
        log_binomial = math.lgamma(count + 1) - torch.lgamma(ways + 1) - torch.lgamma(count - ways + 1)
        each = log_binomial.reshape(-1, *[1] * p.dim()) + ways.reshape(-1, *[1] * p.dim()) * torch.log(p)
        each = each + (count - ways).reshape(-1, *[1] * p.dim()) * torch.log1p(-p)
        extra = (each.exp() * torch.lgamma(ways + 1).reshape(-1, *[1] * p.dim())).sum(0).sum(-1)
        return wrap(count * single - math.lgamma(count + 1) + extra)
