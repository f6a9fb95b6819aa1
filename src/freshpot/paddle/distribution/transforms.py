"""Maps between distributions' values, with the logs of how much they stretch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.distributions import transforms as tt

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._tensor import wrap
from freshpot.paddle.distribution.base import Distribution, number, plain

__all__ = [
    "AbsTransform", "AffineTransform", "ChainTransform", "ExpTransform", "Independent", "IndependentTransform",
    "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform", "StackTransform",
    "StickBreakingTransform", "TanhTransform", "Transform", "TransformedDistribution",
]  # fmt: skip


class Transform:
    """A map of values; called with a distribution it gives the distribution of the mapped values."""

    _torch: Any = None

    def __call__(self, input: Any) -> Any:
        if isinstance(input, Distribution):
            return TransformedDistribution(input, [self])
        if isinstance(input, Transform):
            return ChainTransform([self, input])
        return self.forward(input)

    def _own(self, what: str) -> Any:
        if self._torch is None:
            raise NotSupportedError(f"{type(self).__name__}.{what} is not known")
        return self._torch

    def forward(self, x: Any) -> Any:
        """The map."""
        return wrap(self._own("forward")(plain(x)))

    def inverse(self, y: Any) -> Any:
        """The way back."""
        return wrap(self._own("inverse").inv(plain(y)))

    def forward_log_det_jacobian(self, x: Any) -> Any:
        """The log of how much the map stretches at ``x``."""
        own, data = self._own("forward_log_det_jacobian"), plain(x)
        return wrap(own.log_abs_det_jacobian(data, own(data)))

    def inverse_log_det_jacobian(self, y: Any) -> Any:
        """The log of how much the way back stretches at ``y``."""
        own, data = self._own("inverse_log_det_jacobian"), plain(y)
        return wrap(-own.log_abs_det_jacobian(own.inv(data), data))

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of mapped values."""
        return tuple(self._own("forward_shape").forward_shape(torch.Size(shape)))

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of values that are mapped to this one."""
        return tuple(self._own("inverse_shape").inverse_shape(torch.Size(shape)))


def _simple(name: str, make: Callable[[], Any], doc: str) -> type[Transform]:
    return type(name, (Transform,), {"_torch": make(), "__doc__": doc, "__module__": __name__})


ExpTransform = _simple("ExpTransform", tt.ExpTransform, "exp(x).")
SigmoidTransform = _simple("SigmoidTransform", tt.SigmoidTransform, "1 / (1 + exp(-x)).")
TanhTransform = _simple("TanhTransform", tt.TanhTransform, "tanh(x).")
StickBreakingTransform = _simple(
    "StickBreakingTransform",
    tt.StickBreakingTransform,
    "n numbers to n + 1 that are positive and add up to 1.",
)
SoftmaxTransform = _simple(
    "SoftmaxTransform", tt.SoftmaxTransform, "softmax over the last axis; logs lead back."
)


class AbsTransform(Transform):
    """|x|; two ways lead back: -y and y."""

    _torch = tt.AbsTransform()

    def inverse(self, y: Any) -> Any:
        """Both ways back."""
        data = plain(y)
        return wrap(-data), wrap(data)

    def inverse_log_det_jacobian(self, y: Any) -> Any:
        """Zeros, for both ways."""
        zero = wrap(torch.zeros((), dtype=plain(y).dtype))
        return zero, zero


class AffineTransform(Transform):
    """loc + scale * x."""

    def __init__(self, loc: Any, scale: Any) -> None:
        place, width = number(loc), number(scale)
        self.loc, self.scale = wrap(place), wrap(width)
        self._torch = tt.AffineTransform(place, width)

    def forward_log_det_jacobian(self, x: Any) -> Any:
        """log |scale|, in the shape of the scale."""
        return wrap(self._torch.scale.abs().log())

    def inverse_log_det_jacobian(self, y: Any) -> Any:
        """-log |scale|, in the shape of the scale."""
        return wrap(-self._torch.scale.abs().log())


class PowerTransform(Transform):
    """x to a power; x is positive."""

    def __init__(self, power: Any) -> None:
        self.power = wrap(number(power))
        self._torch = tt.PowerTransform(number(power))


class ReshapeTransform(Transform):
    """Another shape of one draw.

    Raises:
        ArgumentError: shapes of different sizes.
    """

    def __init__(self, in_event_shape: Sequence[int], out_event_shape: Sequence[int]) -> None:
        if math.prod(in_event_shape) != math.prod(out_event_shape):
            raise ArgumentError(
                f"ReshapeTransform: {list(in_event_shape)} cannot become {list(out_event_shape)}"
            )
        self.in_event_shape, self.out_event_shape = tuple(in_event_shape), tuple(out_event_shape)
        self._torch = tt.ReshapeTransform(torch.Size(in_event_shape), torch.Size(out_event_shape))


class ChainTransform(Transform):
    """One after the other."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)
        self._torch = tt.ComposeTransform([part._own("ChainTransform") for part in transforms])


class IndependentTransform(Transform):
    """The last axes count as one draw: stretches are added up over them."""

    def __init__(self, base: Transform, reinterpreted_batch_rank: int) -> None:
        self._torch = tt.IndependentTransform(base._own("IndependentTransform"), reinterpreted_batch_rank)


class StackTransform(Transform):
    """A map for each slice along an axis."""

    def __init__(self, transforms: Sequence[Transform], axis: int = 0) -> None:
        self.transforms, self.axis = list(transforms), axis
        self._torch = tt.StackTransform([part._own("StackTransform") for part in transforms], axis)


class Independent(Distribution):
    """The last ``reinterpreted_batch_rank`` axes of a distribution count as one draw."""

    def __init__(self, base: Distribution, reinterpreted_batch_rank: int) -> None:
        from torch.distributions import Independent as Own

        if not 0 < reinterpreted_batch_rank <= len(base.batch_shape):
            raise ArgumentError(
                f"Independent: reinterpreted_batch_rank {reinterpreted_batch_rank} of {len(base.batch_shape)} axes"
            )
        self._base, self._reinterpreted_batch_rank = base, reinterpreted_batch_rank
        self._take(Own(base._own("Independent"), reinterpreted_batch_rank, validate_args=False))


class TransformedDistribution(Distribution):
    """What maps make of a distribution."""

    def __init__(self, base: Distribution, transforms: Sequence[Transform]) -> None:
        from torch.distributions import TransformedDistribution as Own

        self.base, self.transforms = base, list(transforms)
        parts = [part._own("TransformedDistribution") for part in transforms]
        self._take(Own(base._own("TransformedDistribution"), parts, validate_args=False))
