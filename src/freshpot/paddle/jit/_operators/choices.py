"""Tensors made anew, and chosen from, as entries of the table. Called by this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from freshpot.paddle import tensor as _ops
from freshpot.paddle._tensor import wrap
from freshpot.paddle.jit._operators._call import Arguments, Entry, dtype_of, same
from freshpot.paddle.nn import functional as _F

__all__ = ["OPERATORS"]

F: Any = _F
P: Any = _ops


def _fill(a: Arguments) -> Any:
    value = a.get("str_value") or a.get("value", 0.0)
    if a.ValueTensor is not None:
        value = a.ValueTensor.data_.item()
    dtype = dtype_of(a.get("dtype", 5))
    number = float(value) if dtype.is_floating_point else int(float(value))
    shape = a.sizes("shape", "ShapeTensor", "ShapeTensorList")
    if a.call.kind == "fill_constant_batch_size_like":
        shape[a.get("output_dim_idx", 0)] = a.Input.shape[a.get("input_dim_idx", 0)]
    return P.full(shape, number, dtype)


def _assign_value(a: Arguments) -> Any:
    dtype = a.get("dtype", 5)
    stored = {0: "bool_values", 2: "int32_values", 3: "int64_values"}.get(dtype, "fp32_values")
    values = a.get("values") or a.get(stored, [])
    return wrap(torch.tensor(values, dtype=dtype_of(dtype)).reshape(list(a.get("shape"))))


def _top(a: Arguments) -> Any:
    count = a.get("k", 1) if a.K is None else int(a.K.data_.item())
    values, places = P.topk(a.X, count, a.get("axis", -1), a.get("largest", True))
    return {"Out": values, "Indices": places}


def _arg(function: Callable[..., Any]) -> Entry:
    def run(a: Arguments) -> Any:
        axis = None if a.get("flatten") else a.get("axis", -1)
        number = a.get("dtype", 3)
        return P.cast(
            function(a.X, axis, a.get("keepdims", False)), dtype_of(number if number in (2, 3) else 3)
        )

    return run


def _embedding(a: Arguments) -> Any:
    ids = a.Ids
    if a.call.kind == "lookup_table" and ids.shape[-1] == 1:
        ids = P.squeeze(ids, -1)
    padding = a.get("padding_idx", -1)
    return F.embedding(ids, a.W, None if padding == -1 else padding)


def _one_hot(a: Arguments) -> Any:
    depth = a.get("depth", -1) if a.depth_tensor is None else int(a.depth_tensor.data_.item())
    x = P.squeeze(a.X, -1) if a.call.kind == "one_hot" else a.X
    return F.one_hot(x, depth)


def _cast(a: Arguments) -> Any:
    return P.cast(a.X, dtype_of(a.get("out_dtype", 5)))


def _arange(a: Arguments) -> Any:
    start, end, step = (getattr(a, s).data_.item() for s in ("Start", "End", "Step"))
    return wrap(torch.arange(start, end, step, dtype=a.Start.data_.dtype))


def _gather(a: Arguments) -> Any:
    axis = a.get("axis", 0) if a.Axis is None else int(a.Axis.data_.item())
    return P.gather(a.X, P.reshape(a.Index, [-1]), axis)


OPERATORS: dict[str, Entry] = {
    "assign": same,
    "share_data": same,
    "cast": _cast,
    "fill_constant": _fill,
    "fill_constant_batch_size_like": _fill,
    "fill_any_like": lambda a: P.full_like(a.X, a.get("value", 0.0)),
    "fill_zeros_like": lambda a: P.zeros_like(a.X),
    "assign_value": _assign_value,
    "range": _arange,
    "arg_max": _arg(P.argmax),
    "arg_min": _arg(P.argmin),
    "top_k": _top,
    "top_k_v2": _top,
    "gather": _gather,
    "gather_nd": lambda a: P.gather_nd(a.X, a.Index),
    "index_select": lambda a: P.index_select(a.X, a.Index, a.get("dim", 0)),
    "lookup_table": _embedding,
    "lookup_table_v2": _embedding,
    "one_hot": _one_hot,
    "one_hot_v2": _one_hot,
    "where": lambda a: P.where(a.Condition, a.X, a.Y),
}  # fmt: skip
