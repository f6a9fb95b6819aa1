"""Pieces that several layers are made of. Who calls it: the modules of this package."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require


def require_columns(record: Any, *names: str, lists: tuple[str, ...] = ()) -> None:
    """MisuseError unless the record has the columns (``lists``: lists of floats)."""
    wanted: list[tuple[str, schema.Field]] = [(name, schema.Scalar()) for name in names]
    wanted += [(name, schema.List(np.float32)) for name in lists]
    require(
        schema.is_schema_subset(schema.Struct(*wanted), record),
        f"the layer takes columns {', '.join((*names, *lists))}; got {record.field_names()}.",
    )


def require_scalar(record: Any, layer: str) -> None:
    """MisuseError unless the record is one column."""
    require(
        isinstance(record, schema.Scalar), f"{layer} takes a Scalar; got {type(record).__name__}: {record!r}"
    )


def inner_shape(record: Any, layer: str) -> tuple[int, ...]:
    """The shape of a row of a single column; MisuseError if there is none."""
    require_scalar(record, layer)
    shape = record.field_types()[0].shape
    require(
        len(shape) > 0, f"{layer} must know the shape of its input's rows; it is {record.field_types()[0]}."
    )
    return shape


def cast(net: Any, blob: Any, column: Any, to: Any, name: str) -> Any:
    """The blob as numpy type ``to``: itself if the column has that type, else a new blob."""
    if column.field_type().base == to:
        return blob
    return net.Cast(blob, net.NextScopedBlob(name), to=schema.data_type_for_dtype(np.dtype(to)))


def float_weight(net: Any, record: Any) -> Any:
    """The blob of the record's column ``weight``, as float32."""
    blob = record.weight()
    if record.weight.field_type().base != np.float32:
        blob = net.Cast(blob, blob + "_float32", to=core.DataType.FLOAT)
    return blob


def weighted(net: Any, loss: Any, record: Any, name: str) -> Any:
    """The loss times the record's column ``weight``, where there is one; no gradient flows to the weights."""
    if "weight" not in record.fields:
        return loss
    weight = net.StopGradient([float_weight(net, record)], [net.NextScopedBlob("weight_stop_gradient")])
    return net.Mul([loss, weight], net.NextScopedBlob(name))


def uniform(size: Any, numerator: float = 1.0) -> tuple[str, dict[str, float]]:
    """The usual filler of weights: uniform within +- sqrt(numerator / size)."""
    scale = math.sqrt(numerator / size)
    return ("UniformFill", {"min": -scale, "max": scale})


def clip_arguments(clip_param: Any) -> dict[str, Any] | None:
    """Arguments of Clip for ``(min, max)``, of which one may be None; None for None."""
    if clip_param is None:
        return None
    require(len(clip_param) == 2, f"clip_param must be (min, max); got {clip_param}.")
    low, high = clip_param
    require(low is not None or high is not None, "clip_param has neither a minimum nor a maximum.")
    require(low is None or high is None or low < high, f"clip_param's minimum {low} is not below {high}.")
    return {name: value for name, value in (("min", low), ("max", high)) if value is not None}


def clipped(net: Any, params: list[Any], arguments: dict[str, Any] | None) -> list[Any]:
    """The parameters, clipped where there are arguments for it."""
    if arguments is None:
        return params
    made = [net.NextScopedBlob(f"clipped_{param}") for param in params]
    for param, blob in zip(params, made, strict=True):
        net.Clip([param], [blob], **arguments)
    return made


def constant(value: float, dtype: int) -> tuple[str, dict[str, Any]]:
    """A filler with one value of a `core.DataType`."""
    return ("ConstantFill", {"value": value, "dtype": dtype})
