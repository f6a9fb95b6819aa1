"""Convolution, pooling, norms, dropout, resizing, padding, as entries of the table. Called by this package."""

from __future__ import annotations

from typing import Any

from freshpot.paddle import tensor as _ops
from freshpot.paddle._tensor import wrap
from freshpot.paddle.jit._operators._call import Arguments, Entry, layout_of
from freshpot.paddle.nn import functional as _F

__all__ = ["OPERATORS"]

F: Any = _F
P: Any = _ops


def _padding(a: Arguments) -> Any:
    how = a.get("padding_algorithm", "EXPLICIT")
    return how if how in ("SAME", "VALID") else list(a.get("paddings", [0, 0]))


def _conv(a: Arguments) -> Any:
    made = F.conv2d(
        a.Input, a.Filter, a.Bias, a.get("strides", [1, 1]), _padding(a), a.get("dilations", [1, 1]),
        a.get("groups", 1), layout_of(a),
    )  # fmt: skip
    return made if a.ResidualData is None else made + a.ResidualData


def _conv_transpose(a: Arguments) -> Any:
    extra = list(a.get("output_padding") or [0, 0])
    size = list(a.get("output_size") or []) or None
    return F.conv2d_transpose(
        a.Input, a.Filter, a.Bias, a.get("strides", [1, 1]), _padding(a), 0 if size else extra,
        dilation=a.get("dilations", [1, 1]), groups=a.get("groups", 1), output_size=size, data_format=layout_of(a),
    )  # fmt: skip


def _pool(a: Arguments) -> Any:
    is_max, ksize, layout = a.get("pooling_type", "max") == "max", a.get("ksize"), layout_of(a)
    if a.get("global_pooling"):
        axes = [1, 2] if layout == "NHWC" else [2, 3]
        return (P.max if is_max else P.mean)(a.X, axis=axes, keepdim=True)
    if a.get("adaptive"):
        return (F.adaptive_max_pool2d(a.X, ksize)) if is_max else F.adaptive_avg_pool2d(a.X, ksize, layout)
    options = (ksize, a.get("strides", [1, 1]), _padding(a))
    ceil = a.get("ceil_mode", False)
    if is_max:
        return F.max_pool2d(a.X, *options, ceil_mode=ceil, data_format=layout)
    return F.avg_pool2d(a.X, *options, ceil_mode=ceil, exclusive=a.get("exclusive", True), data_format=layout)


def _batch_norm(a: Arguments) -> Any:
    use = a.get("use_global_stats", False) or not a.training
    made = F.batch_norm(
        a.X, a.Mean, a.Variance, a.Scale, a.Bias, not use, a.get("momentum", 0.9), a.get("epsilon", 1e-5),
        layout_of(a, "data_layout"),
    )  # fmt: skip
    return {"Y": made, "MeanOut": a.Mean, "VarianceOut": a.Variance}


def _layer_norm(a: Arguments) -> Any:
    shape = a.X.shape[a.get("begin_norm_axis", 1) :]
    return F.layer_norm(a.X, shape, a.Scale, a.Bias, a.get("epsilon", 1e-5))


def _norm(a: Arguments) -> Any:
    x, axis, epsilon = a.X.data_, a.get("axis", -1), a.get("epsilon", 1e-10)
    size = (x.square().sum(axis, keepdim=True) + epsilon).sqrt()
    return {"Out": wrap(x / size), "Norm": wrap(size)}


def _p_norm(a: Arguments) -> Any:
    axis = None if a.get("asvector") else a.get("axis", -1)
    return P.linalg.norm(a.X, a.get("porder", 2.0), axis, a.get("keepdim", False))


def _channels(a: Arguments) -> Any:
    return F.channel_shuffle(a.X, a.get("group", a.get("groups", 1)))


def _affine_channel(a: Arguments) -> Any:
    x = a.X.data_
    shape = [1, -1, *[1] * (x.dim() - 2)]
    return wrap(x * a.Scale.data_.reshape(shape) + a.Bias.data_.reshape(shape))


def _dropout(a: Arguments) -> Any:
    mode = a.get("dropout_implementation", "downgrade_in_infer")
    mode = "upscale_in_train" if mode == "upscale_in_train" else "downscale_in_infer"
    return F.dropout(a.X, a.get("dropout_prob", 0.5), training=a.training, mode=mode)


def _interpolate(mode: str) -> Entry:
    def run(a: Arguments) -> Any:
        size = a.sizes("", "OutSize", "SizeTensor")
        if not size and a.get("out_h", -1) > 0:
            size = [a.get("out_h"), a.get("out_w")]
        scale = a.get("scale")
        scale = scale if not isinstance(scale, list) else (scale if len(scale) != 1 else scale[0])
        return F.interpolate(
            a.X,
            size or None,
            None if size else scale,
            mode,
            a.get("align_corners", True),
            a.get("align_mode", 1),
        )

    return run


def _pad(a: Arguments) -> Any:
    sizes = a.sizes("paddings", "Paddings")
    if a.call.kind == "pad2d":
        top, bottom, left, right = sizes
        sizes = [left, right, top, bottom]
    if a.call.kind == "pad":
        return F.pad(a.X, sizes, value=a.get("pad_value", 0.0))
    mode = {"edge": "replicate"}.get(a.get("mode", "constant"), a.get("mode", "constant"))
    value = a.get("value", a.get("pad_value", 0.0))
    return F.pad(a.X, sizes, mode, value, a.get("data_format", "NCDHW" if a.call.kind == "pad3d" else "NCHW"))


OPERATORS: dict[str, Entry] = {
    "conv2d": _conv,
    "depthwise_conv2d": _conv,
    "conv2d_fusion": _conv,
    "conv2d_transpose": _conv_transpose,
    "depthwise_conv2d_transpose": _conv_transpose,
    "pool2d": _pool,
    "batch_norm": _batch_norm,
    "sync_batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "instance_norm": lambda a: F.instance_norm(a.X, weight=a.Scale, bias=a.Bias, eps=a.get("epsilon", 1e-5)),
    "group_norm": lambda a: F.group_norm(a.X, a.get("groups", 1), a.get("epsilon", 1e-5), a.Scale, a.Bias),
    "norm": _norm,
    "p_norm": _p_norm,
    "affine_channel": _affine_channel,
    "dropout": _dropout,
    "nearest_interp": _interpolate("nearest"),
    "nearest_interp_v2": _interpolate("nearest"),
    "bilinear_interp": _interpolate("bilinear"),
    "bilinear_interp_v2": _interpolate("bilinear"),
    "bicubic_interp_v2": _interpolate("bicubic"),
    "pixel_shuffle": lambda a: F.pixel_shuffle(a.X, a.get("upscale_factor", 1)),
    "shuffle_channel": _channels,
    "channel_shuffle": _channels,
    "pad": _pad,
    "pad2d": _pad,
    "pad3d": _pad,
}  # fmt: skip
