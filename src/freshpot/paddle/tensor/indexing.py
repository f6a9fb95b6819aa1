"""Elements read and written by their places; views and rearrangements beyond :mod:`manipulation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import Tensor, lifted, unwrap, wrap
from freshpot.paddle.tensor.manipulation import _whole

__all__ = [
    "as_strided", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_tensors", "combinations", "crop",
    "diag_embed", "diagflat", "diagonal", "dsplit", "hsplit", "hstack", "index_add", "index_fill", "index_put",
    "index_sample", "masked_fill", "moveaxis", "put_along_axis", "repeat_interleave", "reverse", "rot90",
    "scatter_nd", "scatter_nd_add", "shard_index", "strided_slice", "swapaxes", "take", "take_along_axis",
    "tensor_split", "tolist", "unflatten", "unfold", "unique_consecutive", "view", "view_as", "vsplit", "vstack",
]  # fmt: skip


@lifted
def diagflat(x: Any, offset: int = 0, name: str | None = None) -> Any:
    """All elements, in order, on a diagonal."""
    return torch.diagflat(x, offset)


@lifted
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The last axis, of a tensor or an array, as the diagonal of matrices."""
    return torch.diag_embed(torch.as_tensor(input), offset, dim1, dim2)


@lifted
def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, name: str | None = None) -> Any:
    """The diagonal of two axes, as the last axis."""
    return torch.diagonal(x, offset, axis1, axis2)


@lifted
def moveaxis(x: Any, source: Any, destination: Any, name: str | None = None) -> Any:
    """Axes put elsewhere."""
    return torch.movedim(x, tuple(_whole(source)), tuple(_whole(destination)))


@lifted
def swapaxes(x: Any, axis0: int, axis1: int, name: str | None = None) -> Any:
    """Two axes exchanged."""
    return torch.swapaxes(x, axis0, axis1)


@lifted
def broadcast_tensors(input: Any, name: str | None = None) -> Any:
    """All tensors in their common shape."""
    return list(torch.broadcast_tensors(*input))


@lifted
def repeat_interleave(x: Any, repeats: Any, axis: int | None = None, name: str | None = None) -> Any:
    """Each part repeated, one after the other."""
    return torch.repeat_interleave(x, repeats, axis)


@lifted
def reverse(x: Any, axis: Any, name: str | None = None) -> Any:
    """Reversed along axes."""
    return torch.flip(x, _whole(axis))


@lifted
def rot90(x: Any, k: int = 1, axes: Sequence[int] = (0, 1), name: str | None = None) -> Any:
    """Turned by 90 degrees, ``k`` times, from the first axis towards the second."""
    return torch.rot90(x, k, list(axes))


@lifted
def strided_slice(x: Any, axes: Any, starts: Any, ends: Any, strides: Any, name: str | None = None) -> Any:
    """Every so many-th part between ``starts`` and ``ends`` along ``axes``."""
    for axis, start, end, stride in zip(*map(_whole, (axes, starts, ends, strides)), strict=True):
        size = x.shape[axis]
        picked = list(range(size)[start:end:stride])
        x = x.index_select(axis, torch.tensor(picked, dtype=torch.int64, device=x.device))
    return x


@lifted
def crop(x: Any, shape: Any = None, offsets: Any = None, name: str | None = None) -> Any:
    """A part of the given shape (-1: the rest) from ``offsets`` on."""
    sizes = list(x.shape) if shape is None else _whole(shape)
    starts = [0] * x.dim() if offsets is None else _whole(offsets)
    for axis, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        x = x.narrow(axis, start, x.shape[axis] - start if size == -1 else size)
    return x


@lifted
def index_sample(x: Any, index: Any) -> Any:
    """Of each row the elements that the same row of ``index`` names."""
    return torch.gather(x, 1, index.long())


@lifted
def index_add(x: Any, index: Any, axis: int, value: Any, name: str | None = None) -> Any:
    """``value`` added to the parts that ``index`` names."""
    return torch.index_add(x, axis, index, value)


@lifted
def index_fill(x: Any, index: Any, axis: int, value: Any, name: str | None = None) -> Any:
    """The parts that ``index`` names filled with one value."""
    return torch.index_fill(x, axis, index.long(), value)


@lifted
def index_put(x: Any, indices: Any, value: Any, accumulate: bool = False, name: str | None = None) -> Any:
    """Elements replaced by, or with ``accumulate`` increased by, ``value``."""
    return torch.index_put(x, tuple(indices), value, accumulate)


@lifted
def take(x: Any, index: Any, mode: str = "raise", name: str | None = None) -> Any:
    """Elements by their place in the flat tensor; ``mode`` says what is done beyond its ends.

    Raises:
        ArgumentError: a place beyond the ends, unless ``mode`` is "wrap" or "clip".
    """
    count = x.numel()
    if mode == "wrap":
        index = index % count
    elif mode == "clip":
        index = index.clamp(0, count - 1)
    elif mode != "raise":
        raise ArgumentError(f"take: mode {mode!r}; choose 'raise', 'wrap' or 'clip'")
    elif bool(((index < -count) | (index >= count)).any()):
        raise ArgumentError(f"take: a place is outside of -{count} to {count - 1}")
    return torch.take(x, index % count)


def _fitting(arr: torch.Tensor, indices: torch.Tensor, axis: int, broadcast: bool) -> torch.Tensor:
    if not broadcast:
        return indices
    shape = [indices.shape[a] if a == axis % arr.dim() else size for a, size in enumerate(arr.shape)]
    return indices.expand(shape)


@lifted
def take_along_axis(arr: Any, indices: Any, axis: int, broadcast: bool = True) -> Any:
    """Elements along an axis by number."""
    return torch.gather(arr, axis, _fitting(arr, indices, axis, broadcast).long())


@lifted
def put_along_axis(
    arr: Any,
    indices: Any,
    values: Any,
    axis: int,
    reduce: str = "assign",
    include_self: bool = True,
    broadcast: bool = True,
) -> Any:
    """Elements along an axis by number replaced, or joined with what is there ("add", "mul", "mean", "amax", "amin").

    Raises:
        ArgumentError: another ``reduce``.
    """
    places = _fitting(arr, indices, axis, broadcast).long()
    new = torch.as_tensor(values, dtype=arr.dtype).expand(places.shape)
    if reduce == "assign":
        return torch.scatter(arr, axis, places, new)
    names = {"add": "sum", "mul": "prod", "multiply": "prod", "mean": "mean", "amax": "amax", "amin": "amin"}
    if reduce not in names:
        raise ArgumentError(
            f"put_along_axis: reduce {reduce!r}; choose 'assign', {', '.join(map(repr, names))}"
        )
    return torch.scatter_reduce(arr, axis, places, new, names[reduce], include_self=include_self)


@lifted
def scatter_nd_add(x: Any, index: Any, updates: Any, name: str | None = None) -> Any:
    """``updates`` added at the places in the last axis of ``index``."""
    return torch.index_put(x, tuple(index.unbind(-1)), updates, accumulate=True)


@lifted
def scatter_nd(index: Any, updates: Any, shape: Any, name: str | None = None) -> Any:
    """``updates`` added to zeros at the places in the last axis of ``index``."""
    empty = torch.zeros(_whole(shape), dtype=updates.dtype, device=updates.device)
    return torch.index_put(empty, tuple(index.unbind(-1)), updates, accumulate=True)


@lifted
def masked_fill(x: Any, mask: Any, value: Any, name: str | None = None) -> Any:
    """One value where the mask is true."""
    return torch.masked_fill(x, mask, value)


@lifted
def unique_consecutive(
    x: Any,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    dtype: Any = "int64",
    name: str | None = None,
) -> Any:
    """Neighbours that are equal made one; on request the way back, and counts."""
    values, back, counts = torch.unique_consecutive(x.detach(), True, True, axis)
    asked = ((return_inverse, back.reshape(-1)), (return_counts, counts))
    extra = [part.to(to_dtype(dtype)) for wanted, part in asked if wanted]
    return (values, *extra) if extra else values


@lifted
def as_strided(x: Any, shape: Any, stride: Any, offset: int = 0, name: str | None = None) -> Any:
    """The memory of ``x`` read with other strides."""
    return torch.as_strided(x, _whole(shape), _whole(stride), offset)


@lifted
def view(x: Any, shape_or_dtype: Any, name: str | None = None) -> Any:
    """The same memory with another shape or element type."""
    if isinstance(shape_or_dtype, (list, tuple)):
        return x.view(_whole(shape_or_dtype))
    return x.view(to_dtype(shape_or_dtype))


@lifted
def view_as(x: Any, other: Any, name: str | None = None) -> Any:
    """The same memory with the shape of ``other``."""
    return x.view(other.shape)


@lifted
def unflatten(x: Any, axis: int, shape: Any, name: str | None = None) -> Any:
    """One axis made several."""
    return torch.unflatten(x, axis, _whole(shape))


@lifted
def unfold(x: Any, axis: int, size: int, step: int, name: str | None = None) -> Any:
    """Windows along an axis, in a new last axis."""
    return x.unfold(axis, size, step)


@lifted
def combinations(x: Any, r: int = 2, with_replacement: bool = False, name: str | None = None) -> Any:
    """All choices of ``r`` elements, a row each."""
    return torch.combinations(x, r, with_replacement)


def _at_least(axes: int) -> Any:
    functions: Any = {1: torch.atleast_1d, 2: torch.atleast_2d, 3: torch.atleast_3d}

    def call(*inputs: Any, name: str | None = None) -> Any:
        made = [wrap(functions[axes](unwrap(part))) for part in inputs]
        return made[0] if len(made) == 1 else made

    call.__name__ = call.__qualname__ = f"atleast_{axes}d"
    call.__doc__ = f"With {axes} axes at least."
    return call


atleast_1d, atleast_2d, atleast_3d = _at_least(1), _at_least(2), _at_least(3)


@lifted
def hstack(x: Any, name: str | None = None) -> Any:
    """Joined along the second axis, vectors along the first."""
    return torch.hstack(list(x))


@lifted
def vstack(x: Any, name: str | None = None) -> Any:
    """Joined along the first axis, vectors as rows."""
    return torch.vstack(list(x))


@lifted
def tensor_split(x: Any, num_or_indices: Any, axis: int = 0, name: str | None = None) -> Any:
    """Parts as equal as they can be, or cut before the numbers listed."""
    cuts = num_or_indices if isinstance(num_or_indices, int) else tuple(_whole(num_or_indices))
    return list(torch.tensor_split(x, cuts, axis))


def vsplit(x: Tensor, num_or_indices: Any, name: str | None = None) -> list[Tensor]:
    """Parts along the first axis."""
    made: list[Tensor] = tensor_split(x, num_or_indices, 0)
    return made


def hsplit(x: Tensor, num_or_indices: Any, name: str | None = None) -> list[Tensor]:
    """Parts along the second axis, of vectors along the first."""
    made: list[Tensor] = tensor_split(x, num_or_indices, 1 if x.ndim > 1 else 0)
    return made


def dsplit(x: Tensor, num_or_indices: Any, name: str | None = None) -> list[Tensor]:
    """Parts along the third axis."""
    made: list[Tensor] = tensor_split(x, num_or_indices, 2)
    return made


@lifted
def shard_index(input: Any, index_num: int, nshards: int, shard_id: int, ignore_value: int = -1) -> Any:
    """Numbers within one of ``nshards`` equal parts, counted from its start; those of others ``ignore_value``."""
    size = (index_num + nshards - 1) // nshards
    return torch.where(input // size == shard_id, input % size, ignore_value)


def tolist(x: Tensor) -> Any:
    """Nested lists of Python numbers."""
    return x.tolist()
