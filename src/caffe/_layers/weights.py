"""Layers of weights: products, tables, factors and addends, bare parameters."""

from __future__ import annotations

import math
from typing import Any

from caffe._net.layer import Lowering, layer
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError


def constant(value: float) -> Any:
    """A filler with a constant, for layers whose default is not 0."""
    return caffe_pb2.FillerParameter(type="constant", value=value)


@layer("InnerProduct")
def inner_product(low: Lowering) -> None:
    p = low.param.inner_product_param
    if p.num_output < 1:
        low.refuse(f"num_output must be at least 1, got {p.num_output}.", ArgumentError)
    axis = low.axis(p.axis)
    features = math.prod(low.shapes[0][axis:])
    shape = (features, p.num_output) if p.transpose else (p.num_output, features)
    W = low.weight(shape, p.weight_filler)
    b = [low.weight((p.num_output,), p.bias_filler)] if p.bias_term else []
    if b and not p.transpose:
        low.op("FC", [*low.bottom, W, *b], low.top, axis=axis)
    else:
        low.op("InnerProduct", [*low.bottom, W, *b], low.top, axis=axis, transpose=int(p.transpose))


@layer("Embed")
def embed(low: Lowering) -> None:
    p = low.param.embed_param
    if p.num_output < 1 or p.input_dim < 1:
        low.refuse(
            f"num_output and input_dim must be at least 1, got {p.num_output} and {p.input_dim}.",
            ArgumentError,
        )
    low.no_gradient_for(0)
    W = low.weight((p.input_dim, p.num_output), p.weight_filler)
    b = [low.weight((p.num_output,), p.bias_filler)] if p.bias_term else []
    low.op("Embed", [*low.bottom, W, *b], low.top)


def _sizes(low: Lowering, axis: int, num_axes: int, what: str) -> tuple[int, ...]:
    """The shape of a factor or addend that covers ``num_axes`` axes (-1: all) from ``axis`` on."""
    shape = low.shapes[0]
    axis = low.axis(axis)
    if num_axes < -1 or axis + num_axes > len(shape):
        low.refuse(
            f"num_axes {num_axes} from axis {axis} on: the {what} reaches beyond bottom {shape}; -1 means to its end."
        )
    return shape[axis:] if num_axes == -1 else shape[axis : axis + num_axes]


def _fitting(low: Lowering, axis: int) -> tuple[int, ...]:
    """The shape of bottom 1, whose axes must be those of bottom 0 from ``axis`` on."""
    shape, given = low.shapes
    start = low.axis(axis) if given else 0
    if given != shape[start : start + len(given)]:
        low.refuse(
            f"'{low.bottom[1]}' {given} must have the sizes of '{low.bottom[0]}' {shape} from axis {start} on."
        )
    return given


@layer("Scale", bottoms=(1, 2))
def scale(low: Lowering) -> None:
    p = low.param.scale_param
    if len(low.bottom) == 2:
        shape, factor = _fitting(low, p.axis), low.bottom[1]
    else:
        shape = _sizes(low, p.axis, p.num_axes, "scale")
        factor = low.weight(shape, p.filler if p.HasField("filler") else constant(1.0))
    b = [low.weight(shape, p.bias_filler)] if p.bias_term else []
    axis = low.axis(p.axis) if shape else 0
    low.op("CaffeScale", [low.kept_bottom(), factor, *b], low.top, axis=axis)


@layer("Bias", bottoms=(1, 2))
def bias(low: Lowering) -> None:
    p = low.param.bias_param
    if len(low.bottom) == 2:
        shape, addend = _fitting(low, p.axis), low.bottom[1]
    else:
        shape = _sizes(low, p.axis, p.num_axes, "bias")
        addend = low.weight(shape, p.filler)
    low.op("Bias", [low.bottom[0], addend], low.top, axis=low.axis(p.axis) if shape else 0)


def channel_weight(low: Lowering, shared: bool, filler: Any) -> str:
    """A parameter with a number for each channel of the bottom, or one for all."""
    if len(low.shapes[0]) < 2:
        low.refuse(f"bottom must have at least 2 axes (num, channels, …), got {low.shapes[0]}.")
    return low.weight(() if shared else (low.shapes[0][1],), filler)


@layer("PReLU")
def prelu(low: Lowering) -> None:
    p = low.param.prelu_param
    slope = channel_weight(low, p.channel_shared, p.filler if p.HasField("filler") else constant(0.25))
    low.op("PRelu", [low.kept_bottom(), slope], low.top)


@layer("Parameter", bottoms=0)
def parameter(low: Lowering) -> None:
    low.weight(low.param.parameter_param.shape.dim)
    top, owner = low.layer.tops[0], low.layer.blobs[0]
    top.set_dims(owner.dims)

    def share() -> None:
        """The top is the parameter itself, data and diff, whoever owns it by now."""
        if top.data_cell is not owner.data_cell or top.diff_cell is not owner.diff_cell:
            top.share_with(owner, low.workspace)

    share()
    low.host(share)
