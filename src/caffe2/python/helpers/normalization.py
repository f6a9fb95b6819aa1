"""Normalizations, and softmax."""

from __future__ import annotations

from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import scope
from caffe2.python.helpers._params import initializer, with_engine
from caffe2.python.modeling.initializers import Initializer
from caffe2.python.modeling.parameter_info import ParameterTags
from freshpot.errors import ArgumentError


def _constant(model: Any, name: str, dim: int, kind: Any, value: float, tag: str) -> Any:
    fill = ("ConstantFill", {"value": value})
    return model.create_param(
        param_name=name, shape=[dim], initializer=initializer(model, kind, fill, fill), tags=tag
    )


def lrn(
    model: Any, blob_in: Any, blob_out: str, order: str = "NCHW", use_cudnn: bool = False, **kwargs: Any
) -> Any:
    """Local response normalization across channels."""
    device = kwargs.get("device_option", scope.CurrentDeviceScope())
    if use_cudnn and device is not None and device.device_type != caffe2_pb2.CPU:
        return model.net.LRN(blob_in, blob_out, order=order, **with_engine(kwargs, True))
    return model.net.LRN(blob_in, [blob_out, "_" + blob_out + "_scale"], order=order, **kwargs)[0]


def softmax(model: Any, blob_in: Any, blob_out: Any = None, use_cudnn: bool = False, **kwargs: Any) -> Any:
    """exp(x) over its sum along ``axis``."""
    outputs = () if blob_out is None else (blob_out,)
    return model.net.Softmax(blob_in, *outputs, **with_engine(kwargs, use_cudnn))


def instance_norm(
    model: Any, blob_in: Any, blob_out: Any, dim_in: int, order: str = "NCHW", **kwargs: Any
) -> Any:
    """Normalization of each channel of each sample, then scale (from 1) and bias (from 0)."""
    blob_out = blob_out or model.net.NextName()
    scale, bias = (
        model.param_init_net.ConstantFill([], blob_out + suffix, shape=[dim_in], value=value)
        for suffix, value in (("_s", 1.0), ("_b", 0.0))
    )
    model.AddParameter(scale, ParameterTags.WEIGHT)
    model.AddParameter(bias, ParameterTags.BIAS)
    inputs = [blob_in, scale, bias]
    if kwargs.get("is_test"):
        return model.net.InstanceNorm(inputs, [blob_out], order=order, **kwargs)
    outputs = [blob_out, blob_out + "_sm", blob_out + "_siv"]
    return model.net.InstanceNorm(inputs, outputs, order=order, **kwargs)[0]


def spatial_bn(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    init_scale: float = 1.0,
    init_bias: float = 0.0,
    ScaleInitializer: Any = None,
    BiasInitializer: Any = None,
    RunningMeanInitializer: Any = None,
    RunningVarianceInitializer: Any = None,
    order: str = "NCHW",
    **kwargs: Any,
) -> Any:
    """Batch normalization of each channel, with running mean ``OUT_rm`` and variance ``OUT_riv``."""
    blob_out = blob_out or model.net.NextName()
    tags = ParameterTags
    scale = _constant(model, blob_out + "_s", dim_in, ScaleInitializer, init_scale, tags.WEIGHT)
    bias = _constant(model, blob_out + "_b", dim_in, BiasInitializer, init_bias, tags.BIAS)
    computed = tags.COMPUTED_PARAM
    mean = _constant(model, blob_out + "_rm", dim_in, RunningMeanInitializer, 0.0, computed)
    variance = _constant(model, blob_out + "_riv", dim_in, RunningVarianceInitializer, 1.0, computed)
    inputs = [blob_in, scale, bias, mean, variance]
    if kwargs.get("is_test"):
        return model.net.SpatialBN(inputs, [blob_out], order=order, **kwargs)
    outputs = [blob_out, mean, variance, blob_out + "_sm", blob_out + "_siv"]
    return model.net.SpatialBN(inputs, outputs, order=order, **kwargs)[0]


def spatial_gn(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int,
    init_scale: float = 1.0,
    init_bias: float = 0.0,
    ScaleInitializer: Any = None,
    BiasInitializer: Any = None,
    RunningMeanInitializer: Any = None,
    RunningVarianceInitializer: Any = None,
    order: str = "NCHW",
    **kwargs: Any,
) -> Any:
    """Normalization of groups of channels (``group``); ``order`` and the running moments are not used.

    Source: Wu, He, Group Normalization, arXiv:1803.08494.
    """
    blob_out = blob_out or model.net.NextName()
    tags = ParameterTags
    scale = _constant(model, blob_out + "_s", dim_in, ScaleInitializer, init_scale, tags.WEIGHT)
    bias = _constant(model, blob_out + "_b", dim_in, BiasInitializer, init_bias, tags.BIAS)
    outputs = [blob_out, blob_out + "_mean", blob_out + "_std"]
    return model.net.GroupNorm([blob_in, scale, bias], outputs, **kwargs)[0]


def layer_norm(
    model: Any,
    blob_in: Any,
    blob_out: Any,
    dim_in: int | list[int],
    axis: int = 1,
    epsilon: float = 1e-4,
    initial_scale: float = 1.0,
    initial_bias: float = 0.0,
) -> Any:
    """Normalization of everything from ``axis`` on, then scale and bias of shape ``dim_in``.

    Returns the normalized blob, the means, the standard deviations.
    Source: Ba, Kiros, Hinton, Layer Normalization, arXiv:1607.06450.
    """
    shape = [dim_in] if isinstance(dim_in, int) else dim_in
    scale, bias = (
        model.create_param(
            param_name=f"{blob_out}_{suffix}",
            shape=shape,
            initializer=Initializer("ConstantFill", value=value),
            tags=tag,
        )
        for suffix, value, tag in (
            ("scale", initial_scale, ParameterTags.WEIGHT),
            ("bias", initial_bias, ParameterTags.BIAS),
        )
    )
    return model.net.LayerNorm(
        [blob_in, scale, bias],
        [blob_out, blob_out + "_mean", blob_out + "_std"],
        axis=axis,
        epsilon=epsilon,
        elementwise_affine=True,
    )


def moments_with_running_stats(
    model: Any,
    blob_in: Any,
    blob_out: str,
    dim_in: int,
    RunningMeanInitializer: Any = None,
    RunningVarianceInitializer: Any = None,
    order: str = "NCHW",
    **kwargs: Any,
) -> Any:
    """Mean and variance of each channel, beside parameters for their running values."""
    axes = {"NCHW": [0, 2, 3], "NHWC": [0, 1, 2]}
    if order not in axes:
        raise ArgumentError(f"brew.moments_with_running_stats: order must be NCHW or NHWC; got '{order}'.")
    computed = ParameterTags.COMPUTED_PARAM
    _constant(model, blob_out + "_rm", dim_in, RunningMeanInitializer, 0.0, computed)
    _constant(model, blob_out + "_riv", dim_in, RunningVarianceInitializer, 1.0, computed)
    outputs = [blob_out + "_sm", blob_out + "_sv"]
    return model.net.Moments([blob_in], outputs, axes=axes[order], order=order, keepdims=False, **kwargs)
