"""``paddle.static.nn``: layers as functions that make their parameters."""

from __future__ import annotations

import math
from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle import nn as _nn
from freshpot.paddle import tensor as _ops
from freshpot.paddle._missing import missing
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle.nn.functional.window import each
from freshpot.paddle.nn.layer import make_parameter, unique_name

__all__ = [
    "batch_norm", "conv2d", "conv2d_transpose", "conv3d", "embedding", "fc", "group_norm", "instance_norm",
    "layer_norm", "pool2d", "prelu",
]  # fmt: skip

nn: Any = _nn
ops: Any = _ops
F: Any = _nn.functional
I: Any = _nn.initializer  # noqa: E741


def _activated(x: Any, act: str | None) -> Any:
    if act is None:
        return x
    found = getattr(F, act, None) or getattr(ops, act, None)
    if found is None:
        raise ArgumentError(f"activation {act!r} is not known")
    return found(x)


def _parameter(owner: str, shape: Any, attr: Any, is_bias: bool = False, begin: Any = None) -> Any:
    return make_parameter(owner, shape, attr, "float32", is_bias, begin)


def fc(
    x: Any,
    size: int,
    num_flatten_dims: int = 1,
    weight_attr: Any = None,
    bias_attr: Any = None,
    activation: str | None = None,
    name: str | None = None,
) -> Any:
    """A full layer: axes from ``num_flatten_dims`` on are one row; several inputs are added.

    Shapes: (N, ...) -> (N, size).
    """
    parts = list(x) if isinstance(x, (list, tuple)) else [x]
    attrs = weight_attr if isinstance(weight_attr, (list, tuple)) else [weight_attr] * len(parts)
    owner = name or unique_name("fc")
    total = None
    for part, attr in zip(parts, attrs, strict=True):
        axis = num_flatten_dims % part.ndim if num_flatten_dims < 0 else num_flatten_dims
        row = math.prod(part.shape[axis:])
        if row < 0:
            raise ArgumentError(f"fc: the sizes {part.shape} from axis {axis} on must be known")
        weight = _parameter(owner, [row, size], attr)
        flat = part if part.ndim == axis + 1 else ops.flatten(part, axis)
        made = ops.matmul(flat, weight)
        total = made if total is None else total + made
    bias = _parameter(owner, [size], bias_attr, True)
    return _activated(total if bias is None else total + bias, activation)


def conv2d(
    input: Any,
    num_filters: int,
    filter_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int | None = None,
    param_attr: Any = None,
    bias_attr: Any = None,
    use_cudnn: bool = True,
    act: str | None = None,
    name: str | None = None,
    data_format: str = "NCHW",
) -> Any:
    """A convolution. Shapes: (N, C, H, W) -> (N, num_filters, H', W')."""
    return _conv(F.conv2d, 2, input, num_filters, filter_size, stride, padding, dilation, groups, param_attr, bias_attr,
                 act, name, data_format)  # fmt: skip


def conv3d(
    input: Any,
    num_filters: int,
    filter_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int | None = None,
    param_attr: Any = None,
    bias_attr: Any = None,
    use_cudnn: bool = True,
    act: str | None = None,
    name: str | None = None,
    data_format: str = "NCDHW",
) -> Any:
    """A convolution. Shapes: (N, C, D, H, W) -> (N, num_filters, D', H', W')."""
    return _conv(F.conv3d, 3, input, num_filters, filter_size, stride, padding, dilation, groups, param_attr, bias_attr,
                 act, name, data_format)  # fmt: skip


def _conv(
    function: Any, axes: int, x: Any, filters: int, kernel: Any, stride: Any, padding: Any, dilation: Any,
    groups: int | None, param_attr: Any, bias_attr: Any, act: str | None, name: str | None, data_format: str,
) -> Any:  # fmt: skip
    channels = x.shape[-1 if data_format.endswith("C") else 1]
    sizes = each(kernel, axes, "filter_size")
    owner = name or unique_name(f"conv{axes}d")
    fan = math.prod(sizes) * channels
    shape = [filters, channels // (groups or 1), *sizes]
    weight = _parameter(owner, shape, param_attr, begin=I.Normal(0.0, math.sqrt(2.0 / fan)))
    bias = _parameter(owner, [filters], bias_attr, True)
    made = function(x, weight, bias, stride, padding, dilation, groups or 1, data_format)
    return _activated(made, act)


def conv2d_transpose(
    input: Any,
    num_filters: int,
    output_size: Any = None,
    filter_size: Any = None,
    padding: Any = 0,
    stride: Any = 1,
    dilation: Any = 1,
    groups: int | None = None,
    param_attr: Any = None,
    bias_attr: Any = None,
    use_cudnn: bool = True,
    act: str | None = None,
    name: str | None = None,
    data_format: str = "NCHW",
) -> Any:
    """A transposed convolution. Shapes: (N, C, H, W) -> (N, num_filters, H', W').

    Raises:
        ArgumentError: no ``filter_size``.
    """
    if filter_size is None:
        raise ArgumentError("conv2d_transpose: give filter_size; it is not worked out from output_size here")
    channels = input.shape[-1 if data_format.endswith("C") else 1]
    owner = name or unique_name("conv2d_transpose")
    shape = [channels, num_filters // (groups or 1), *each(filter_size, 2, "filter_size")]
    weight = _parameter(owner, shape, param_attr)
    bias = _parameter(owner, [num_filters], bias_attr, True)
    made = F.conv2d_transpose(
        input, weight, bias, stride, padding, dilation=dilation, groups=groups or 1, output_size=output_size,
        data_format=data_format,
    )  # fmt: skip
    return _activated(made, act)


def pool2d(
    input: Any,
    pool_size: Any = -1,
    pool_type: str = "max",
    pool_stride: Any = 1,
    pool_padding: Any = 0,
    global_pooling: bool = False,
    use_cudnn: bool = True,
    ceil_mode: bool = False,
    name: str | None = None,
    exclusive: bool = True,
    data_format: str = "NCHW",
) -> Any:
    """Pooling, as ``fluid.layers.pool2d``. Shapes: (N, C, H, W) -> (N, C, H', W').

    Raises:
        ArgumentError: a ``pool_type`` other than "max" and "avg".
    """
    if pool_type not in ("max", "avg"):
        raise ArgumentError(f"pool2d: pool_type {pool_type!r}; choose 'max' or 'avg'")
    if global_pooling:
        axes = [1, 2] if data_format == "NHWC" else [2, 3]
        return (ops.max if pool_type == "max" else ops.mean)(input, axis=axes, keepdim=True)
    if pool_type == "max":
        return F.max_pool2d(
            input, pool_size, pool_stride, pool_padding, ceil_mode=ceil_mode, data_format=data_format
        )
    return F.avg_pool2d(
        input,
        pool_size,
        pool_stride,
        pool_padding,
        ceil_mode=ceil_mode,
        exclusive=exclusive,
        data_format=data_format,
    )


def batch_norm(
    input: Any,
    act: str | None = None,
    is_test: bool = False,
    momentum: float = 0.9,
    epsilon: float = 1e-05,
    param_attr: Any = None,
    bias_attr: Any = None,
    data_layout: str = "NCHW",
    in_place: bool = False,
    name: str | None = None,
    moving_mean_name: str | None = None,
    moving_variance_name: str | None = None,
    do_model_average_for_mean_and_var: bool = True,
    use_global_stats: bool = False,
) -> Any:
    """Batch normalisation, a channel."""
    channels = input.shape[-1 if data_layout.endswith("C") and data_layout != "NC" else 1]
    owner = name or unique_name("batch_norm")
    scale = _parameter(owner, [channels], param_attr, begin=I.Constant(1.0))
    bias = _parameter(owner, [channels], bias_attr, True)
    mean = _parameter(owner, [channels], ParamAttr(moving_mean_name, I.Constant(0.0), trainable=False))
    variance = _parameter(
        owner, [channels], ParamAttr(moving_variance_name, I.Constant(1.0), trainable=False)
    )
    made = F.batch_norm(
        input, mean, variance, scale, bias, training=not is_test, momentum=momentum, epsilon=epsilon,
        data_format=data_layout, use_global_stats=use_global_stats or None,
    )  # fmt: skip
    return _activated(made, act)


def layer_norm(
    input: Any,
    scale: bool = True,
    shift: bool = True,
    begin_norm_axis: int = 1,
    epsilon: float = 1e-05,
    param_attr: Any = None,
    bias_attr: Any = None,
    act: str | None = None,
    name: str | None = None,
) -> Any:
    """Normalised over the axes from ``begin_norm_axis`` on."""
    shape = input.shape[begin_norm_axis:]
    owner = name or unique_name("layer_norm")
    weight = _parameter(owner, [math.prod(shape)], param_attr, begin=I.Constant(1.0)) if scale else None
    bias = _parameter(owner, [math.prod(shape)], bias_attr, True) if shift else None
    return _activated(F.layer_norm(input, shape, weight, bias, epsilon), act)


def group_norm(
    input: Any,
    groups: int,
    epsilon: float = 1e-05,
    param_attr: Any = None,
    bias_attr: Any = None,
    act: str | None = None,
    data_layout: str = "NCHW",
    name: str | None = None,
) -> Any:
    """Normalised over groups of channels."""
    channels = input.shape[-1 if data_layout == "NHWC" else 1]
    owner = name or unique_name("group_norm")
    weight = _parameter(owner, [channels], param_attr, begin=I.Constant(1.0))
    bias = _parameter(owner, [channels], bias_attr, True)
    return _activated(F.group_norm(input, groups, epsilon, weight, bias, data_format=data_layout), act)


def instance_norm(
    input: Any, epsilon: float = 1e-05, param_attr: Any = None, bias_attr: Any = None, name: str | None = None
) -> Any:
    """Normalised over each channel of each sample."""
    owner = name or unique_name("instance_norm")
    weight = _parameter(owner, [input.shape[1]], param_attr, begin=I.Constant(1.0))
    bias = _parameter(owner, [input.shape[1]], bias_attr, True)
    return F.instance_norm(input, weight=weight, bias=bias, eps=epsilon)


def embedding(
    input: Any,
    size: Any,
    is_sparse: bool = False,
    is_distributed: bool = False,
    padding_idx: int | None = None,
    param_attr: Any = None,
    dtype: str = "float32",
) -> Any:
    """Rows of a table of ``size`` (rows, columns), by number."""
    weight = make_parameter(unique_name("embedding"), list(size), param_attr, dtype, False)
    return F.embedding(input, weight, padding_idx)


def prelu(
    x: Any, mode: str, param_attr: Any = None, data_format: str = "NCHW", name: str | None = None
) -> Any:
    """x above 0, weight * x below. ``mode``: one weight for "all", or one a "channel".

    Raises:
        ArgumentError: another mode.
    """
    if mode not in ("all", "channel"):
        raise ArgumentError(f"prelu: mode {mode!r}; choose 'all' or 'channel'")
    shape = [1] if mode == "all" else [x.shape[-1 if data_format == "NHWC" else 1]]
    weight = _parameter(name or unique_name("prelu"), shape, param_attr, begin=I.Constant(0.25))
    return F.prelu(x, weight, data_format)


def __getattr__(name: str) -> Any:
    raise missing("static.nn", name, __all__)
