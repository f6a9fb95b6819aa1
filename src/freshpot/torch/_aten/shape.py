"""Shapes, and what passes a tensor on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from freshpot.torch._graph import CAFFE2_TYPES, Call, Lowering, aten
from freshpot.torch._sizes import Size, is_open, same


@aten("view", "reshape", "_unsafe_view", "unflatten", "view_as", "reshape_as", "view_copy")
def view(low: Lowering, call: Call) -> str:
    return _reshape(low, call, list(call.made.shape))


@aten("flatten")
def flatten(low: Lowering, call: Call) -> str:
    ndim = call.like().dim()
    if ndim > 1 and call.start_dim % ndim == 1 and call.end_dim % ndim == ndim - 1:
        return low.op("Flatten", [low.blob(call.self)], axis=1)
    return _reshape(low, call, list(call.made.shape))


def _reshape(low: Lowering, call: Call, shape: Sequence[Size]) -> str:
    return reshaped(low, low.blob(call.self), call.like().shape, shape)


def reshaped(
    low: Lowering, blob: str, old: Sequence[Size], shape: Sequence[Size], name: str | None = None
) -> str:
    """A reshaped blob. What an operator's argument cannot say of open sizes is that of the example."""
    sizes: list[int] = []
    for i, size in enumerate(shape):
        kept = i < len(old) and same(size, old[i]) and (is_open(size) or i == 0)
        sizes.append(0 if kept else -1 if is_open(size) and -1 not in sizes else int(size))
    name = name or low.fresh(low.current)
    return low.op("Reshape", [blob], name, [low.fresh(f"{name}_old_shape")], shape=sizes)


@aten("permute")
def permute(low: Lowering, call: Call) -> str:
    ndim = call.like().dim()
    return low.op("Transpose", [low.blob(call.self)], axes=[d % ndim for d in call.dims])


@aten("transpose")
def transpose(low: Lowering, call: Call) -> str:
    ndim = call.like().dim()
    axes = list(range(ndim))
    a, b = call.dim0 % ndim, call.dim1 % ndim
    axes[a], axes[b] = axes[b], axes[a]
    return low.op("Transpose", [low.blob(call.self)], axes=axes)


@aten("movedim")
def movedim(low: Lowering, call: Call) -> str:
    ids = range(call.like().dim())
    order = torch.empty([n + 2 for n in ids], device="meta").movedim(call.source, call.destination)
    return low.op("Transpose", [low.blob(call.self)], axes=[n - 2 for n in order.shape])


@aten("unsqueeze")
def unsqueeze(low: Lowering, call: Call) -> str:
    return low.op("ExpandDims", [low.blob(call.self)], dims=[call.dim % call.made.dim()])


@aten("squeeze")
def squeeze(low: Lowering, call: Call) -> str:
    like = call.like()
    dims = call.given.get("dim")
    dims = range(like.dim()) if dims is None else [dims] if isinstance(dims, int) else dims
    dims = [d % like.dim() for d in dims if like.shape[d] == 1]
    return (
        low.op("Squeeze", [low.blob(call.self)], dims=dims) if dims else low.op("Copy", [low.blob(call.self)])
    )


@aten("cat")
def cat(low: Lowering, call: Call) -> str:
    info = low.fresh(f"{call.node.name}_sizes")
    axis = call.dim % call.made.dim()
    return low.op("Concat", low.blobs(call.tensors), None, [info], axis=axis)


@aten("stack")
def stack(low: Lowering, call: Call) -> str:
    axis = call.dim % call.made.dim()
    parts = [
        low.op("ExpandDims", [blob], low.fresh(f"{call.node.name}_{i}"), dims=[axis])
        for i, blob in enumerate(low.blobs(call.tensors))
    ]
    return low.op("Concat", parts, None, [low.fresh(f"{call.node.name}_sizes")], axis=axis)


@aten("unbind")
def unbind(low: Lowering, call: Call) -> list[str | None]:
    axis = call.dim % call.like().dim()
    read = {user.args[1] for user in call.node.users if user.users}
    return [_selected(low, call, axis, i) if i in read else None for i in range(len(call.made))]


@aten("select")
def select(low: Lowering, call: Call) -> str:
    axis = call.dim % call.like().dim()
    index = call.index
    if index < 0:
        if is_open(call.like().shape[axis]):
            call.refuse("a place counted from the batch's end is not converted.")
        index += int(call.like().shape[axis])
    return _selected(low, call, axis, index)


def _selected(low: Lowering, call: Call, axis: int, index: int) -> str:
    part = _window(low, call, axis, index, 1, low.fresh(f"{call.node.name}_part"))
    return low.op("Squeeze", [part], dims=[axis])


@aten("index_select")
def index_select(low: Lowering, call: Call) -> str:
    return low.op(
        "Gather", low.blobs([call.self, call.index]), dense_gradient=1, axis=call.dim % call.like().dim()
    )


@aten("index")
def index(low: Lowering, call: Call) -> str:
    """One tensor of indices into one dimension."""
    given = [(axis, node) for axis, node in enumerate(call.indices) if node is not None]
    if len(given) != 1 or call.like(given[0][1]).dtype not in (torch.int32, torch.int64):
        call.refuse("only one tensor of indices, int32 or int64, is converted.")
    axis, node = given[0]
    return low.op("Gather", low.blobs([call.self, node]), dense_gradient=1, axis=axis)


@aten("gather")
def gather(low: Lowering, call: Call) -> str:
    return low.op("GatherElements", low.blobs([call.self, call.index]), axis=call.dim)


@aten("flip")
def flip(low: Lowering, call: Call) -> str:
    blob, dims = low.blob(call.self), [d % call.like().dim() for d in call.dims]
    for axis in dims:
        back = low.constant("backwards", torch.arange(int(call.like().shape[axis]) - 1, -1, -1))
        name = None if axis == dims[-1] else low.fresh(f"{call.node.name}_{axis}")
        blob = low.op("Gather", [blob, back], name, dense_gradient=1, axis=axis)
    return blob if dims else low.op("Copy", [blob])


@aten("repeat")
def repeat(low: Lowering, call: Call) -> str:
    blob, like, repeats = low.blob(call.self), call.like(), list(call.repeats)
    more = len(repeats) - like.dim()
    if more:
        blob = low.op("ExpandDims", [blob], low.fresh(f"{call.node.name}_wide"), dims=list(range(more)))
    if any(is_open(n) for n in repeats[1:]) or (is_open(repeats[0]) and not (more or like.shape[0] == 1)):
        call.refuse("a number of repeats that follows the batch is converted for a first size of 1 alone.")
    if is_open(repeats[0]):
        shape = [repeats[0], *(like.shape if more else like.shape[1:])]
        shape = (
            [repeats[0], *[1] * (len(repeats) - 1 - like.dim()), *like.shape][: len(repeats)]
            if more
            else shape
        )
        blob = low.sized("BroadcastTo", [blob], shape)
    for axis, count in enumerate(repeats):
        if not is_open(count) and int(count) != 1:
            blob = low.op("Tile", [blob], low.fresh(f"{call.node.name}_{axis}"), tiles=int(count), axis=axis)
    return blob


@aten("expand", "expand_as", "broadcast_to")
def expand(low: Lowering, call: Call) -> str:
    like, made = call.like(), call.made
    if like.dim() == made.dim() and all(map(same, like.shape, made.shape)):
        return low.blob(call.self)
    return low.sized("BroadcastTo", [low.blob(call.self)], made.shape)


@aten("pixel_shuffle")
def pixel_shuffle(low: Lowering, call: Call) -> str:
    r, (N, C, H, W) = call.upscale_factor, call.like().shape
    return _shuffled(low, call, (N, C // (r * r), r, r, H, W), [0, 1, 4, 2, 5, 3])


@aten("pixel_unshuffle")
def pixel_unshuffle(low: Lowering, call: Call) -> str:
    r, (N, C, H, W) = call.downscale_factor, call.like().shape
    return _shuffled(low, call, (N, C, H // r, r, W // r, r), [0, 1, 3, 5, 2, 4])


@aten("channel_shuffle")
def channel_shuffle(low: Lowering, call: Call) -> str:
    N, C, *space = call.like().shape
    order = [0, 2, 1, *range(3, 3 + len(space))]
    return _shuffled(low, call, (N, call.groups, C // call.groups, *space), order)


def _shuffled(low: Lowering, call: Call, shape: Sequence[Size], order: list[int]) -> str:
    """Split dimensions, reorder, join."""
    name = call.node.name
    parts = reshaped(low, low.blob(call.self), call.like().shape, shape, low.fresh(f"{name}_parts"))
    moved = low.op("Transpose", [parts], low.fresh(f"{name}_moved"), axes=order)
    return reshaped(low, moved, [shape[i] for i in order], call.made.shape)


@aten("split", "split_with_sizes", "chunk", "tensor_split")
def split(low: Lowering, call: Call) -> list[str | None]:
    """Parts; where some are not read, windows of those that are, as the gradient of Split needs all."""
    axis = call.dim % call.like().dim()
    sizes = [int(part.shape[axis]) for part in call.made]
    read = {user.args[1] for user in call.node.users if user.users}
    if len(read) == len(sizes):
        names = [low.fresh(f"{call.node.name}_{i}") for i in range(len(sizes))]
        low.op("Split", [low.blob(call.self)], names[0], names[1:], axis=axis, split=sizes)
        return list(names)
    return [
        _window(low, call, axis, sum(sizes[:i]), size) if i in read else None for i, size in enumerate(sizes)
    ]


def _window(low: Lowering, call: Call, axis: int, start: int, size: int, name: str | None = None) -> str:
    starts, ends = [0] * call.like().dim(), [-1] * call.like().dim()
    starts[axis], ends[axis] = start, start + size
    return low.op("Slice", [low.blob(call.self)], name, starts=starts, ends=ends)


@aten("slice")
def slice_(low: Lowering, call: Call) -> str:
    like, axis = call.like(), call.dim % call.like().dim()
    if all(map(same, call.made.shape, like.shape)):
        return low.blob(call.self)
    if is_open(like.shape[axis]):
        call.refuse("a part of the batch is not converted.")
    whole, size = int(like.shape[axis]), int(call.made.shape[axis])
    start = min(max((call.start or 0) + (whole if (call.start or 0) < 0 else 0), 0), whole)
    if call.step != 1:
        rows = low.constant("rows", torch.arange(start, start + size * call.step, call.step))
        return low.op("Gather", [low.blob(call.self), rows], dense_gradient=1, axis=axis)
    return _window(low, call, axis, start, size)


@aten("slice_scatter")
def slice_scatter(low: Lowering, call: Call) -> str:
    """The whole with one part replaced."""
    like, axis = call.like(), call.dim % call.like().dim()
    if all(map(same, like.shape, call.like(call.src).shape)):
        return low.blob(call.src)
    if call.step != 1 or is_open(like.shape[axis]):
        call.refuse("a step other than 1, or a part of the batch, is not converted.")
    whole, size = int(like.shape[axis]), int(call.like(call.src).shape[axis])
    start = min(max((call.start or 0) + (whole if (call.start or 0) < 0 else 0), 0), whole)
    return _replaced(low, call, axis, start, size, low.blob(call.src))


@aten("select_scatter")
def select_scatter(low: Lowering, call: Call) -> str:
    like, axis = call.like(), call.dim % call.like().dim()
    if is_open(like.shape[axis]):
        call.refuse("a part of the batch is not converted.")
    part = low.op("ExpandDims", [low.blob(call.src)], low.fresh(f"{call.node.name}_part"), dims=[axis])
    return _replaced(low, call, axis, int(call.index % like.shape[axis]), 1, part)


def _replaced(low: Lowering, call: Call, axis: int, start: int, size: int, part: str) -> str:
    whole, name, parts = int(call.like().shape[axis]), call.node.name, [part]
    if start > 0:
        parts.insert(0, _window(low, call, axis, 0, start, low.fresh(f"{name}_before")))
    if start + size < whole:
        rest = whole - start - size
        parts.append(_window(low, call, axis, start + size, rest, low.fresh(f"{name}_behind")))
    return low.op("Concat", parts, None, [low.fresh(f"{name}_sizes")], axis=axis)


@aten("copy")
def copy(low: Lowering, call: Call) -> str:
    """The source, in the type and shape of the target."""
    blob = low.typed(call.src, call.like(call.src).dtype, call.made.dtype)
    return low.sized("BroadcastTo", [blob], call.made.shape)


@aten("fill")
def fill(low: Lowering, call: Call) -> str:
    call.given["fill_value"] = call.value
    return full(low, call)


@aten("getitem")
def getitem(low: Lowering, call: Call) -> str:
    source, index = call.node.args
    made = low.blob(source)[index]
    if made is None:
        call.refuse(f"result {index} of '{source}' is not converted.")
    return made


@aten("contiguous", "alias", "lift_fresh_copy", "detach_", "lift_fresh")
def passed_on(low: Lowering, call: Call) -> str:
    return low.blob(call.node.args[0])


@aten("_assert_tensor_metadata", "_assert_async", "sym_constrain_range_for_size")
def nothing(low: Lowering, call: Call) -> None:
    """Checks of the exported program; operators check their inputs themselves."""


@aten("as_strided")
def as_strided(low: Lowering, call: Call) -> str:
    """Only as another description of the same elements in the same order."""
    like, made = call.like(), call.made
    moved = [i for i, n in enumerate(like.shape) if n > 1 and like.stride(i) != made.stride(i)]
    if like.shape != made.shape or moved or call.storage_offset:
        call.refuse("a view of other elements is not converted.")
    return low.blob(call.self)


@aten("to", "_to_copy", "type_as")
def to(low: Lowering, call: Call) -> str:
    source: Any = call.node.args[0]
    return low.typed(source, call.like().dtype, call.made.dtype)


@aten("copy_")
def copy_(low: Lowering, call: Call) -> str:
    """A buffer gets a new value."""
    return low.op("Copy", [low.blob(call.src)], low.blob(call.self))


@aten("detach")
def detach(low: Lowering, call: Call) -> str:
    """No gradient beyond this; of a buffer, which has none, it is the buffer itself."""
    source = low.blob(call.self)
    return source if source in low.values and source not in low.learns else low.op("StopGradient", [source])


@aten(
    "full",
    "ones",
    "zeros",
    "empty",
    "ones_like",
    "zeros_like",
    "full_like",
    "scalar_tensor",
    "new_zeros",
    "new_ones",
    "new_full",
)
def full(low: Lowering, call: Call) -> str:
    """A constant; sizes that follow the batch stay open."""
    value = call.given.get("fill_value", call.given.get("s"))
    if value is None:
        value = int("ones" in call.name)
    made = call.made
    number = CAFFE2_TYPES.get(made.dtype)
    if number is None or not isinstance(value, (int, float)):
        call.refuse(f"a constant of {made.dtype} is not converted.")
    if any(is_open(n) for n in made.shape):
        return low.sized("FillSized", [], made.shape, value=float(value), dtype=number)
    typed = float(value) if made.is_floating_point() else int(value)
    return low.op("ConstantFill", [], shape=[int(n) for n in made.shape], value=typed, dtype=number)
