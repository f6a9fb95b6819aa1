"""Numbers that describe a tensor: quantiles, modes, histograms, counts."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import lifted
from freshpot.paddle.tensor.maths import _axes

__all__ = [
    "bincount", "bucketize", "histogram", "kthvalue", "mode", "nanmean", "nanmedian", "nanquantile", "nansum",
    "quantile", "searchsorted",
]  # fmt: skip


@lifted
def nanmean(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The mean of what is a number."""
    return torch.nanmean(x, _axes(axis, x), keepdim)


@lifted
def nansum(
    x: Any, axis: Any = None, dtype: Any = None, keepdim: bool = False, name: str | None = None
) -> Any:
    """The sum of what is a number."""
    return torch.nansum(x, _axes(axis, x), keepdim, dtype=None if dtype is None else to_dtype(dtype))


def _one_axis(x: Any, axis: Any, keepdim: bool) -> tuple[Any, int, Any]:
    """Data with the axes of a reduction made one, that axis, and what brings the result into shape."""
    if axis is None:
        kept = [1] * x.dim()
        return x.flatten(), 0, (lambda made: made.reshape(*made.shape[:-1], *kept) if keepdim else made)
    if isinstance(axis, int):
        return x, axis, lambda made: made
    axes = sorted(a % x.dim() for a in axis)
    rest = [a for a in range(x.dim()) if a not in axes]
    shape = [1 if a in axes else size for a, size in enumerate(x.shape)]
    flat = x.permute(*rest, *axes).reshape(*[x.shape[a] for a in rest], -1)
    return flat, -1, lambda made: made.reshape(shape) if keepdim else made


@lifted
def nanmedian(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The middle of what is a number; the mean of the two middle ones of an even number."""
    return _quantile(x, 0.5, axis, keepdim, torch.nanquantile)


def _quantile(x: Any, q: Any, axis: Any, keepdim: bool, function: Any) -> Any:
    data, one, shaped = _one_axis(x, axis, keepdim)
    wide = data if data.dtype == torch.float64 else data.float()
    level = torch.as_tensor(q, dtype=wide.dtype)
    whole = axis is None or not isinstance(axis, int)
    return shaped(function(wide, level, one, keepdim and not whole))


@lifted
def quantile(
    x: Any,
    q: Any,
    axis: Any = None,
    keepdim: bool = False,
    interpolation: str = "linear",
    name: str | None = None,
) -> Any:
    """The values below which the shares ``q`` lie; several in a new first axis."""
    if interpolation != "linear":
        return _quantile(x, q, axis, keepdim, lambda *a: torch.quantile(*a, interpolation=interpolation))
    return _quantile(x, q, axis, keepdim, torch.quantile)


@lifted
def nanquantile(x: Any, q: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """:func:`quantile` of what is a number."""
    return _quantile(x, q, axis, keepdim, torch.nanquantile)


@lifted
def kthvalue(x: Any, k: int, axis: int | None = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The ``k``-th least value along an axis (by default the last) and its place."""
    values, places = torch.kthvalue(x, k, -1 if axis is None else axis, keepdim)
    return values, places


@lifted
def mode(x: Any, axis: int = -1, keepdim: bool = False, name: str | None = None) -> Any:
    """The most frequent value along an axis and its last place."""
    values = torch.mode(x, axis, True)[0]
    size = x.shape[axis]
    order = torch.arange(size, device=x.device).reshape(
        [-1 if a == axis % x.dim() else 1 for a in range(x.dim())]
    )
    places = torch.where(x == values, order, -1).amax(axis, True)
    return (values, places) if keepdim else (values.squeeze(axis), places.squeeze(axis))


@lifted
def histogram(
    input: Any,
    bins: int = 100,
    min: float = 0,
    max: float = 0,
    weight: Any = None,
    density: bool = False,
    name: str | None = None,
) -> Any:
    """How many elements fall into each of ``bins`` equal parts from ``min`` to ``max`` (both 0: of the data)."""
    data = input.detach()
    low, high = (float(data.min()), float(data.max())) if min == 0 and max == 0 else (float(min), float(max))
    if low == high:
        low, high = low - 1, high + 1
    made = torch.histogram(
        data.double().flatten(), bins, range=(low, high), weight=None if weight is None else weight.double().flatten(),
        density=density,
    )[0]  # fmt: skip
    return made.float() if density or weight is not None else made.long()


@lifted
def bincount(x: Any, weights: Any = None, minlength: int = 0, name: str | None = None) -> Any:
    """How often each whole number from 0 on occurs, or the sum of its weights."""
    if x.is_floating_point():
        raise ArgumentError(f"bincount counts whole numbers, got {x.dtype}")
    return torch.bincount(x, weights, minlength)


@lifted
def searchsorted(
    sorted_sequence: Any, values: Any, out_int32: bool = False, right: bool = False, name: str | None = None
) -> Any:
    """Where values would be put into a row that is in order; equal ones before it, or with ``right`` after."""
    return torch.searchsorted(sorted_sequence.detach(), values.detach(), out_int32=out_int32, right=right)


@lifted
def bucketize(
    x: Any, sorted_sequence: Any, out_int32: bool = False, right: bool = False, name: str | None = None
) -> Any:
    """:func:`searchsorted` with the arguments the other way round."""
    return torch.searchsorted(sorted_sequence.detach(), x.detach(), out_int32=out_int32, right=right)
