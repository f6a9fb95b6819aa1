"""Shapes, and what passes a tensor on."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from freshpot.torch._graph import CAFFE2_TYPES, Call, Lowering, aten


@aten("view", "reshape", "_unsafe_view", "unflatten")
def view(low: Lowering, call: Call) -> str:
    return _reshape(low, call, list(call.made.shape))


@aten("flatten")
def flatten(low: Lowering, call: Call) -> str:
    ndim = call.like().dim()
    if call.start_dim % ndim == 1 and call.end_dim % ndim == ndim - 1:
        return low.op("Flatten", [low.blob(call.self)], axis=1)
    return _reshape(low, call, list(call.made.shape))


def _reshape(low: Lowering, call: Call, shape: Sequence[int]) -> str:
    """A shape whose first size is that of the input, the batch's, is left open."""
    sizes = [int(n) for n in shape]
    if sizes and call.like().dim() and sizes[0] == call.like().shape[0]:
        sizes[0] = 0
    old = low.fresh(f"{call.node.name}_old_shape")
    return low.op("Reshape", [low.blob(call.self)], None, [old], shape=sizes)


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
    ids = torch.arange(call.like().dim())
    order = torch.empty([int(n) + 2 for n in ids], device="meta").movedim(call.source, call.destination)
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


@aten("split", "split_with_sizes", "chunk")
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


def _window(low: Lowering, call: Call, axis: int, start: int, size: int) -> str:
    starts, ends = [0] * call.like().dim(), [-1] * call.like().dim()
    starts[axis], ends[axis] = start, start + size
    return low.op("Slice", [low.blob(call.self)], starts=starts, ends=ends)


@aten("slice")
def slice_(low: Lowering, call: Call) -> str:
    like, axis = call.like(), call.dim % call.like().dim()
    if call.step != 1:
        call.refuse("a step other than 1 is not converted.")
    start = min((call.start or 0) % max(like.shape[axis], 1), like.shape[axis])
    if call.made.shape == like.shape:
        return low.blob(call.self)
    return _window(low, call, axis, start, int(call.made.shape[axis]))


@aten("getitem")
def getitem(low: Lowering, call: Call) -> str:
    source, index = call.node.args
    made = low.blob(source)[index]
    if made is None:
        call.refuse(f"result {index} of '{source}' is not converted.")
    return made


@aten("contiguous", "alias", "lift_fresh_copy", "detach_")
def same(low: Lowering, call: Call) -> str:
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


@aten("to", "_to_copy")
def to(low: Lowering, call: Call) -> str:
    if call.made.dtype == call.like().dtype:
        return low.blob(call.node.args[0])
    number = CAFFE2_TYPES.get(call.made.dtype)
    if number is None:
        call.refuse(f"{call.made.dtype} is not converted.")
    return low.op("Cast", [low.blob(call.node.args[0])], to=number)


@aten("copy_")
def copy_(low: Lowering, call: Call) -> str:
    """A buffer gets a new value."""
    return low.op("Copy", [low.blob(call.src)], low.blob(call.self))


@aten("detach")
def detach(low: Lowering, call: Call) -> str:
    """No gradient beyond this; of a buffer, which has none, it is the buffer itself."""
    source = low.blob(call.self)
    return source if source in low.values and source not in low.learns else low.op("StopGradient", [source])


@aten("full", "ones", "zeros", "ones_like", "zeros_like", "full_like", "scalar_tensor")
def full(low: Lowering, call: Call) -> str:
    """A constant of the shape that the export saw."""
    value = call.given.get("fill_value", call.given.get("s"))
    if value is None:
        value = int(call.name.startswith("ones"))
    made = call.made
    number = CAFFE2_TYPES.get(made.dtype)
    if number is None or not isinstance(value, (int, float)):
        call.refuse(f"a constant of {made.dtype} is not converted.")
    typed = float(value) if made.is_floating_point() else int(value)
    return low.op("ConstantFill", [], shape=[int(n) for n in made.shape], value=typed, dtype=number)
