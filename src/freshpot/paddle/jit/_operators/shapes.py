"""Shapes and parts, as entries of the table of Paddle's operators. Called by this package."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.paddle import tensor as _ops
from freshpot.paddle._tensor import wrap
from freshpot.paddle.jit._operators._call import Arguments, Entry, of_x

__all__ = ["OPERATORS"]

P: Any = _ops


def _reshape(a: Arguments) -> Any:
    return P.reshape(a.X, a.sizes("shape", "Shape", "ShapeTensor"))


def _flatten2(a: Arguments) -> Any:
    axis, x = a.get("axis", 1), a.X.data_
    return wrap(x.reshape(1, -1) if axis == 0 else x.flatten(axis).flatten(0, axis - 1))


def _squeeze(a: Arguments) -> Any:
    return P.squeeze(a.X, list(a.get("axes", [])) or None)


def _slice(a: Arguments) -> Any:
    x, axes = a.Input.data_, list(a.get("axes", []))
    starts = a.sizes("starts", "StartsTensor", "StartsTensorList")
    ends = a.sizes("ends", "EndsTensor", "EndsTensorList")
    steps = a.sizes("strides", "StridesTensor", "StridesTensorList") or [1] * len(axes)
    made = P.strided_slice(wrap(x), axes, starts, ends, steps)
    drop = list(a.get("decrease_axis", []))
    return P.squeeze(made, drop) if drop else made


def _split(a: Arguments) -> Any:
    axis = a.get("axis", 0) if a.AxisTensor is None else int(a.AxisTensor.data_.item())
    parts = a.sizes("sections", "", "SectionsTensorList") or a.get("num")
    return {"Out": P.split(a.X, parts, axis)}


def _concat(a: Arguments) -> Any:
    axis = a.get("axis", 0) if a.AxisTensor is None else int(a.AxisTensor.data_.item())
    return P.concat(a.all("X"), axis)


def _unstack(a: Arguments) -> Any:
    return {"Y": P.unstack(a.X, a.get("axis", 0))}


def _expand(a: Arguments) -> Any:
    return P.expand(a.X, a.sizes("shape", "Shape", "expand_shapes_tensor"))


def _tile(a: Arguments) -> Any:
    key = "expand_times" if a.call.kind == "expand" else "repeat_times"
    return P.tile(a.X, a.sizes(key, "RepeatTimes", "repeat_times_tensor"))


OPERATORS: dict[str, Entry] = {
    "reshape": _reshape,
    "reshape2": _reshape,
    "flatten": _flatten2,
    "flatten2": _flatten2,
    "flatten_contiguous_range": of_x(P.flatten, ("start_axis", 1), ("stop_axis", 1)),
    "squeeze": _squeeze,
    "squeeze2": _squeeze,
    "unsqueeze": lambda a: P.unsqueeze(a.X, a.sizes("axes", "AxesTensor", "AxesTensorList")),
    "unsqueeze2": lambda a: P.unsqueeze(a.X, a.sizes("axes", "AxesTensor", "AxesTensorList")),
    "transpose": of_x(P.transpose, ("axis", None)),
    "transpose2": of_x(P.transpose, ("axis", None)),
    "concat": _concat,
    "split": _split,
    "stack": lambda a: {"Y": P.stack(a.all("X"), a.get("axis", 0))},
    "unstack": _unstack,
    "slice": _slice,
    "strided_slice": _slice,
    "expand": _tile,
    "expand_v2": _expand,
    "tile": _tile,
    "shape": lambda a: wrap(torch.tensor(a.Input.shape, dtype=torch.int32)),
}  # fmt: skip
