"""Special functions, whole-number arithmetic, complex numbers, and sums along an axis that are no reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import Tensor, lifted, wrap

#: Paddle's name -> torch's function of one tensor
_UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "angle": torch.angle,
    "as_complex": torch.view_as_complex,
    "as_real": torch.view_as_real,
    "deg2rad": lambda x: torch.deg2rad(x if x.is_floating_point() else x.float()),
    "erfinv": torch.erfinv,
    "frac": torch.frac,
    "i0": torch.special.i0,
    "i0e": torch.special.i0e,
    "i1": torch.special.i1,
    "i1e": torch.special.i1e,
    "is_complex": lambda x: x.is_complex(),  # type: ignore[dict-item, return-value]
    "is_floating_point": lambda x: x.is_floating_point(),  # type: ignore[dict-item, return-value]
    "is_integer": lambda x: not (x.is_floating_point() or x.is_complex() or x.dtype == torch.bool),  # type: ignore[dict-item, return-value]
    "rad2deg": lambda x: torch.rad2deg(x if x.is_floating_point() else x.float()),
    "sgn": lambda x: torch.sgn(x) if x.is_complex() else torch.sign(x),
}
#: the same of two tensors
_BINARY: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "complex": torch.complex,
    "gcd": torch.gcd,
    "heaviside": lambda x, y: torch.where(x.detach() == 0, y, (x > 0).to(x.dtype)) + 0 * x,
    "hypot": torch.hypot,
    "lcm": torch.lcm,
    "ldexp": lambda x, y: x * torch.pow(2.0, y),
    "logaddexp": torch.logaddexp,
    "nextafter": lambda x, y: torch.nextafter(x.detach(), y.detach()),
    "polar": torch.polar,
}


def _make(name: str, function: Callable[..., Any], words: str) -> Callable[..., Any]:
    @lifted
    def call(*args: Any, name: str | None = None) -> Any:
        return function(*args)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}`` {words}."
    return call


globals().update({n: _make(n, f, "of a tensor, element by element") for n, f in _UNARY.items()})
globals().update({n: _make(n, f, "of two tensors, element by element") for n, f in _BINARY.items()})


@lifted
def logit(x: Any, eps: float | None = None, name: str | None = None) -> Any:
    """log(x / (1 - x)), ``x`` kept between ``eps`` and 1 - ``eps``."""
    return torch.logit(x, eps)


@lifted
def stanh(x: Any, scale_a: float = 0.67, scale_b: float = 1.7159, name: str | None = None) -> Any:
    """scale_b * tanh(scale_a * x)."""
    return scale_b * torch.tanh(scale_a * x)


@lifted
def polygamma(x: Any, n: int, name: str | None = None) -> Any:
    """The ``n``-th derivative of digamma."""
    return torch.polygamma(n, x)


@lifted
def nan_to_num(
    x: Any,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
    name: str | None = None,
) -> Any:
    """Numbers in place of nan and infinities: the greatest and least, unless given."""
    return torch.nan_to_num(x, nan, posinf, neginf)


@lifted
def cummax(x: Any, axis: int | None = None, dtype: Any = "int64", name: str | None = None) -> Any:
    """Running maxima and their places."""
    flat, one = (x.flatten(), 0) if axis is None else (x, axis)
    values, places = torch.cummax(flat, one)
    return values, places.to(to_dtype(dtype))


@lifted
def cummin(x: Any, axis: int | None = None, dtype: Any = "int64", name: str | None = None) -> Any:
    """Running minima and their places."""
    flat, one = (x.flatten(), 0) if axis is None else (x, axis)
    values, places = torch.cummin(flat, one)
    return values, places.to(to_dtype(dtype))


@lifted
def logcumsumexp(x: Any, axis: int | None = None, dtype: Any = None, name: str | None = None) -> Any:
    """log of the running sums of exp."""
    flat, one = (x.flatten(), 0) if axis is None else (x, axis)
    return torch.logcumsumexp(flat if dtype is None else flat.to(to_dtype(dtype)), one)


@lifted
def diff(
    x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None, name: str | None = None
) -> Any:
    """Differences of neighbours, taken ``n`` times."""
    return torch.diff(x, n, axis, prepend, append)


@lifted
def trapezoid(y: Any, x: Any = None, dx: float | None = None, axis: int = -1, name: str | None = None) -> Any:
    """The integral along an axis by trapezoids."""
    return torch.trapezoid(y, x, dim=axis) if x is not None else torch.trapezoid(y, dx=dx or 1.0, dim=axis)


@lifted
def cumulative_trapezoid(
    y: Any, x: Any = None, dx: float | None = None, axis: int = -1, name: str | None = None
) -> Any:
    """The running integral along an axis by trapezoids."""
    if x is not None:
        return torch.cumulative_trapezoid(y, x, dim=axis)
    return torch.cumulative_trapezoid(y, dx=dx or 1.0, dim=axis)


@lifted
def renorm(x: Any, p: float, axis: int, max_norm: float) -> Any:
    """Parts along an axis scaled down to a norm of ``max_norm`` at most."""
    return torch.renorm(x, p, axis, max_norm)


@lifted
def vander(x: Any, n: int | None = None, increasing: bool = False, name: str | None = None) -> Any:
    """Powers of a vector as columns."""
    powers = torch.arange(x.shape[0] if n is None else n, device=x.device)
    return torch.pow(x.unsqueeze(1), powers if increasing else powers.flip(0))


@lifted
def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, name: str | None = None) -> Any:
    """The sum of a diagonal."""
    return torch.diagonal(x, offset, axis1, axis2).sum(-1)


@lifted
def count_nonzero(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """How many elements are not zero."""
    axes = (
        tuple(range(x.dim())) if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
    )
    return (x != 0).sum(axes, keepdim)


def broadcast_shape(x_shape: Any, y_shape: Any) -> list[int]:
    """The shape of an operation on tensors of two shapes."""
    return list(torch.broadcast_shapes(tuple(x_shape), tuple(y_shape)))


def poisson(x: Tensor, name: str | None = None) -> Tensor:
    """Whole numbers drawn with the rates ``x``."""
    return wrap(torch.poisson(x.data_.detach()))


__all__ = [
    *_UNARY, *_BINARY, "broadcast_shape", "count_nonzero", "cummax", "cummin", "cumulative_trapezoid", "diff",
    "logcumsumexp", "logit", "nan_to_num", "poisson", "polygamma", "renorm", "stanh", "trace", "trapezoid", "vander",
]  # fmt: skip
