"""Divergences between distributions, by kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import distributions as td

from freshpot.errors import NotSupportedError
from freshpot.paddle._tensor import wrap
from freshpot.paddle.distribution.base import Distribution
from freshpot.paddle.distribution.known import Categorical, Geometric

__all__ = ["kl_divergence", "register_kl"]

_TABLE: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}


def register_kl(cls_p: type, cls_q: type) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """A decorator: the function gives the divergence of these kinds."""

    def keep(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        _TABLE[cls_p, cls_q] = function
        return function

    return keep


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """The expected log of p's and q's ratio, under p.

    Raises:
        NotSupportedError: it is not known for these kinds.
    """
    for left in type(p).__mro__:
        for right in type(q).__mro__:
            if (left, right) in _TABLE:
                return _TABLE[left, right](p, q)
    try:
        return wrap(td.kl_divergence(p._own("kl_divergence"), q._own("kl_divergence")))
    except NotImplementedError as error:
        raise NotSupportedError(
            f"kl_divergence of {type(p).__name__} and {type(q).__name__} is not known; see register_kl"
        ) from error


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Any:
    """As the original has it: of one trial, not of the number of trials."""
    a, b = p._torch.probs, q._torch.probs
    return wrap(a * (a / b).log() + (1 - a) * ((1 - a) / (1 - b)).log())


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Any:
    return wrap((p._logs.exp() * (p._logs - q._logs)).sum(-1, keepdim=True))
