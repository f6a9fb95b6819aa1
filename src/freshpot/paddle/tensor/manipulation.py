"""Tensors rearranged: shapes, parts, joins, sorting and choosing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import Tensor, lifted, recorded, unwrap, wrap

__all__ = [
    "argmax", "argmin", "argsort", "broadcast_to", "cast", "chunk", "concat", "expand", "expand_as", "flatten",
    "flip", "gather", "gather_nd", "index_select", "is_empty", "is_tensor", "masked_select", "nonzero", "rank",
    "reshape", "roll", "scatter", "shape", "slice", "sort", "split", "squeeze", "stack", "tile", "topk",
    "transpose", "unbind", "unique", "unsqueeze", "unstack", "where",
]  # fmt: skip


def _whole(values: Any) -> list[int]:
    """Integers from a list, a tuple, one integer or a tensor."""
    if isinstance(values, torch.Tensor):
        values = values.reshape(-1).tolist()
    return [int(values)] if isinstance(values, (int, float)) else [int(value) for value in values]


@lifted
def reshape(x: Any, shape: Any, name: str | None = None) -> Any:
    """Another shape; -1 stands for what is left, 0 for the size that ``x`` has there.

    Raises:
        ArgumentError: a number of elements that does not fit.
    """
    wanted = _whole(shape)
    sizes = [x.shape[i] if size == 0 and i < x.dim() else size for i, size in enumerate(wanted)]
    try:
        return x.reshape(sizes)
    except RuntimeError as error:
        raise ArgumentError(f"reshape: shape {list(x.shape)} cannot become {wanted}") from error


@lifted
def flatten(x: Any, start_axis: int = 0, stop_axis: int = -1, name: str | None = None) -> Any:
    """Axes from ``start_axis`` to ``stop_axis`` made one."""
    return torch.flatten(x, start_axis, stop_axis)


@lifted
def transpose(x: Any, perm: Sequence[int], name: str | None = None) -> Any:
    """Axes in the order ``perm``."""
    if len(perm) != x.dim():
        raise ArgumentError(f"transpose: perm {list(perm)} names {len(perm)} axes, the tensor has {x.dim()}")
    return x.permute(*perm)


@lifted
def squeeze(x: Any, axis: Any = None, name: str | None = None) -> Any:
    """Axes of size 1 removed, all or the named ones."""
    if axis is None:
        return x.squeeze()
    return x.squeeze(tuple(_whole(axis)))


@lifted
def unsqueeze(x: Any, axis: Any, name: str | None = None) -> Any:
    """An axis of size 1 put in at each of the places, one after the other."""
    for one in _whole(axis):
        x = x.unsqueeze(one)
    return x


@lifted
def concat(x: Any, axis: Any = 0, name: str | None = None) -> Any:
    """Joined along an axis."""
    return torch.cat(list(x), _whole(axis)[0])


@lifted
def stack(x: Any, axis: int = 0, name: str | None = None) -> Any:
    """Joined along a new axis."""
    return torch.stack(list(x), axis)


@lifted
def split(x: Any, num_or_sections: Any, axis: Any = 0, name: str | None = None) -> Any:
    """Parts: so many equal ones, or of the sizes listed, where -1 is the rest.

    Raises:
        ArgumentError: the axis cannot be divided so.
    """
    one = _whole(axis)[0]
    size = x.shape[one]
    if isinstance(num_or_sections, int):
        if size % num_or_sections:
            raise ArgumentError(f"split: axis {one} of size {size} has no {num_or_sections} equal parts")
        return list(torch.split(x, size // num_or_sections, one))
    parts = _whole(num_or_sections)
    rest = size - sum(part for part in parts if part >= 0)
    return list(torch.split(x, [rest if part < 0 else part for part in parts], one))


@lifted
def chunk(x: Any, chunks: int, axis: Any = 0, name: str | None = None) -> Any:
    """So many parts."""
    return list(torch.chunk(x, chunks, _whole(axis)[0]))


@lifted
def unbind(input: Any, axis: int = 0) -> Any:
    """The slices along an axis, without it."""
    return list(torch.unbind(input, axis))


def unstack(x: Tensor, axis: int = 0, num: int | None = None) -> list[Tensor]:
    """The slices along an axis, without it."""
    return unbind(x, axis)


@lifted
def expand(x: Any, shape: Any, name: str | None = None) -> Any:
    """Repeated along axes of size 1; -1 keeps a size."""
    return x.expand(_whole(shape))


broadcast_to = expand


@lifted
def expand_as(x: Any, y: Any, name: str | None = None) -> Any:
    """Repeated to the shape of ``y``."""
    return x.expand(y.shape)


@lifted
def tile(x: Any, repeat_times: Any, name: str | None = None) -> Any:
    """Repeated so many times along each axis."""
    return torch.tile(x, tuple(_whole(repeat_times)))


@lifted
def flip(x: Any, axis: Any, name: str | None = None) -> Any:
    """Reversed along axes."""
    return torch.flip(x, _whole(axis))


@lifted
def roll(x: Any, shifts: Any, axis: Any = None, name: str | None = None) -> Any:
    """Shifted round."""
    return torch.roll(x, tuple(_whole(shifts)), () if axis is None else tuple(_whole(axis)))


@lifted
def cast(x: Any, dtype: Any) -> Any:
    """Converted to another element type."""
    return x.to(to_dtype(dtype))


@lifted
def slice(input: Any, axes: Any, starts: Any, ends: Any) -> Any:
    """The part between ``starts`` and ``ends`` along ``axes``."""
    for axis, start, end in zip(_whole(axes), _whole(starts), _whole(ends), strict=True):
        size = input.shape[axis]
        first = max(0, start + size if start < 0 else start)
        last = min(size, end + size if end < 0 else end)
        input = input.narrow(axis, min(first, size), max(0, last - first))
    return input


@lifted
def gather(x: Any, index: Any, axis: Any = None, name: str | None = None) -> Any:
    """The slices with the numbers ``index`` along an axis."""
    return torch.index_select(x, 0 if axis is None else _whole(axis)[0], index.reshape(-1))


@lifted
def index_select(x: Any, index: Any, axis: int = 0, name: str | None = None) -> Any:
    """The slices with the numbers ``index`` along an axis."""
    return torch.index_select(x, axis, index.reshape(-1))


@lifted
def gather_nd(x: Any, index: Any, name: str | None = None) -> Any:
    """The parts whose places are the last axis of ``index``."""
    return x[tuple(index.unbind(-1))]


@lifted
def scatter(x: Any, index: Any, updates: Any, overwrite: bool = True, name: str | None = None) -> Any:
    """Rows replaced by ``updates``; not ``overwrite``: zeroed first, then added to."""
    made, rows = x.clone(), index.reshape(-1)
    if overwrite:
        made[rows] = updates
        return made
    made[rows] = torch.zeros_like(updates)
    return made.index_add(0, rows, updates)


@lifted
def masked_select(x: Any, mask: Any, name: str | None = None) -> Any:
    """The elements where the mask is true, in order."""
    return torch.masked_select(x, mask)


@recorded
def nonzero(x: Tensor, as_tuple: bool = False) -> Any:
    """Places of what is not zero: (count, axes), or one column for each axis."""
    places = torch.nonzero(x.data_)
    return tuple(wrap(column) for column in places.split(1, 1)) if as_tuple else wrap(places)


@recorded
def where(condition: Tensor, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    """From ``x`` where true, else from ``y``; without them the places, as :func:`nonzero`."""
    if x is None and y is None:
        return nonzero(condition, as_tuple=True)
    return wrap(torch.where(condition.data_, unwrap(x), unwrap(y)))


@lifted
def argmax(
    x: Any, axis: int | None = None, keepdim: bool = False, dtype: Any = "int64", name: str | None = None
) -> Any:
    """The place of the greatest value."""
    return torch.argmax(x, axis, keepdim).to(to_dtype(dtype))


@lifted
def argmin(
    x: Any, axis: int | None = None, keepdim: bool = False, dtype: Any = "int64", name: str | None = None
) -> Any:
    """The place of the least value."""
    return torch.argmin(x, axis, keepdim).to(to_dtype(dtype))


@lifted
def argsort(x: Any, axis: int = -1, descending: bool = False, name: str | None = None) -> Any:
    """The places in order of value."""
    return torch.argsort(x, dim=axis, descending=descending, stable=True)


@lifted
def sort(x: Any, axis: int = -1, descending: bool = False, name: str | None = None) -> Any:
    """The values in order."""
    return torch.sort(x, dim=axis, descending=descending, stable=True)[0]


@lifted
def topk(
    x: Any,
    k: Any,
    axis: int | None = None,
    largest: bool = True,
    sorted: bool = True,
    name: str | None = None,
) -> Any:
    """The ``k`` greatest values and their places."""
    values, places = torch.topk(x, _whole(k)[0], -1 if axis is None else axis, largest, sorted)
    return values, places


@lifted
def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    dtype: Any = "int64",
    name: str | None = None,
) -> Any:
    """Values without repetition, in order; on request first places, the way back, and counts."""
    values, back, counts = torch.unique(x.detach(), return_inverse=True, return_counts=True, dim=axis)
    back = back.reshape(-1)
    first = torch.full((counts.numel(),), back.numel(), dtype=torch.int64, device=x.device)
    first = first.scatter_reduce(0, back, torch.arange(back.numel(), device=x.device), "amin")
    asked = ((return_index, first), (return_inverse, back), (return_counts, counts))
    extra = [part.to(to_dtype(dtype)) for wanted, part in asked if wanted]
    return (values, *extra) if extra else values


@lifted
def shape(input: Any) -> Any:
    """The shape as a tensor of int32."""
    return torch.tensor(list(input.shape), dtype=torch.int32)


@lifted
def rank(input: Any) -> Any:
    """How many axes, as a tensor."""
    return torch.tensor(input.dim(), dtype=torch.int32)


def is_tensor(x: Any) -> bool:
    """Whether it is a Tensor."""
    return isinstance(x, Tensor)


def is_empty(x: Tensor, name: str | None = None) -> Tensor:
    """Whether it has no elements."""
    return wrap(torch.tensor(x.data_.numel() == 0))
