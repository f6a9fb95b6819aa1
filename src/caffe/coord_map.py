"""How the coordinates of one blob of a `NetSpec` relate to those of another, and cropping one to the other.

A map is (axis, scale, shift): ``out = scale * in + shift`` along the spatial axes from ``axis`` + 1 on; an
axis of None holds for all.

Source: BVLC/caffe python/caffe/coord_map.py (behaviour).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe.net_spec import Function, Top
from caffe.net_spec import layers as L
from freshpot.errors import ArgumentError, ShapeError

CoordMap = tuple[int | None, Any, Any]

PASS_THROUGH_LAYERS = [
    *("AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN"),
    *("Power", "ReLU", "PReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold"),
]
_IDENTITY: CoordMap = (None, 1, 0)
_LEGACY = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"}


class UndefinedMapException(Exception):
    """A layer through which coordinates cannot be followed."""


class AxisMismatchException(Exception):
    """Two maps along different axes."""


class CropException(ShapeError, AssertionError):
    """A blob that cannot be cropped to another."""


def conv_params(fn: Function) -> tuple[int, Any, Any, Any]:
    """Axis, stride, extent of the kernel (with dilation) and padding of a convolution or pooling.

    Raises:
        ArgumentError: sizes given as ``kernel_h`` and such.
    """
    params = fn.params.get("convolution_param", fn.params)
    if legacy := sorted(_LEGACY & set(fn.params)):
        raise ArgumentError(f"{fn.type_name}: give lists instead of {', '.join(legacy)} to map coordinates.")
    stride, kernel, pad, dilation = (
        np.array(params.get(name, default), ndmin=1)
        for name, default in (("stride", 1), ("kernel_size", 1), ("pad", 0), ("dilation", 1))
    )
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, Any]:
    """Axis and offset of a Crop layer."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.array(params.get("offset", 0), ndmin=1)


def coord_map(fn: Function) -> CoordMap:
    """The map from a layer's output back to its input.

    Raises:
        UndefinedMapException: a layer of a type that has none.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    raise UndefinedMapException(f"coordinates cannot be followed through {fn.type_name} layers")


def compose(base_map: CoordMap, next_map: CoordMap) -> CoordMap:
    """``base_map`` after ``next_map``.

    Raises:
        AxisMismatchException: they are along different axes.
    """
    (base_axis, scale, shift), (next_axis, next_scale, next_shift) = base_map, next_map
    if None not in (base_axis, next_axis) and base_axis != next_axis:
        raise AxisMismatchException(f"one map is along axis {base_axis}, the other along axis {next_axis}")
    axis = next_axis if base_axis is None else base_axis
    return axis, scale * next_scale, scale * next_shift + shift


def inverse(coord_map: CoordMap) -> CoordMap:
    """The map the other way."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> CoordMap:
    """The map from one blob to another, over what both are made of.

    Raises:
        RuntimeError: they have nothing in common that coordinates can be followed to.
    """
    from_maps = _maps_below(top_from)
    for top, to_map in _maps_below(top_to).items():
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise RuntimeError("Could not compute map between tops; are they connected by spatial layers?")


def _maps_below(top: Top) -> dict[Top, CoordMap]:
    """The blob itself and all that it is made of, nearest first, each with the map from it to ``top``."""
    maps = {top: _IDENTITY}
    frontier = [top]
    while frontier:
        current = frontier.pop(0)
        try:
            step = coord_map(current.fn)
        except UndefinedMapException:
            continue
        # the second bottom of a Crop only lends its shape
        for bottom in current.fn.inputs[: 1 if current.fn.type_name == "Crop" else None]:
            if bottom not in maps:
                frontier.append(bottom)
            maps[bottom] = compose(maps[current], step)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that crops one blob to another, with the offset that keeps them aligned.

    Raises:
        CropException: their scales differ, or the offset is negative or not a whole number.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    shift = np.atleast_1d(shift)
    for wrong, what in (
        (np.any(scale != 1), f"scale mismatch on crop (a = {scale}); both must have the same stride"),
        (np.any(shift > 0), f"cannot crop negative offset (b = {shift}); the first must reach further"),
        (np.any(np.round(shift) != shift), f"cannot crop noninteger offset (b = {shift})"),
    ):
        if wrong:
            raise CropException(what)
    offset = [int(n) for n in -np.round(shift)]
    return L.Crop(top_from, top_to, crop_param={"axis": (1 if axis is None else axis) + 1, "offset": offset})
