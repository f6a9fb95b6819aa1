"""The operators of Paddle's programs, by the functions of the door: one entry of a table each.

Called by :mod:`freshpot.paddle.jit._program`. An entry takes the call and its inputs, and gives the first output, or a
dictionary of outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from freshpot.errors import NotSupportedError
from freshpot.paddle import tensor as _ops
from freshpot.paddle._state import to_dtype
from freshpot.paddle._stream import ELEMENTS
from freshpot.paddle._tensor import wrap
from freshpot.paddle.nn import functional as _F

__all__ = ["OPERATORS", "Call"]

F: Any = _F
P: Any = _ops

#: the slots whose variable is the result, in order of likelihood
_RESULTS = ("Out", "Output", "Y")


@dataclass
class Call:
    """One operator: its kind, the variables at its slots, its attributes."""

    kind: str
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    attrs: dict[str, Any]

    def __str__(self) -> str:
        read = ", ".join(name for names in self.inputs.values() for name in names)
        return f"{self.kind} of {read}"

    def run(self, values: dict[str, Any], training: bool) -> None:
        """Read the inputs from ``values`` and put the outputs there."""
        arguments = Arguments(self, values, training)
        made = OPERATORS[self.kind](arguments)
        if not isinstance(made, dict):
            slot = next((s for s in _RESULTS if self.outputs.get(s)), None) or next(iter(self.outputs))
            made = {slot: made}
        for slot, value in made.items():
            names = self.outputs.get(slot, [])
            for name, part in zip(
                names, value if isinstance(value, (list, tuple)) else [value], strict=False
            ):
                values[name] = part


class Arguments:
    """A call's inputs and attributes: ``a.X`` is the tensor at slot X (None where there is none)."""

    def __init__(self, call: Call, values: dict[str, Any], training: bool) -> None:
        self.call, self.values, self.training = call, values, training

    def __getattr__(self, slot: str) -> Any:
        names = self.call.inputs.get(slot)
        return self.values[names[0]] if names else None

    def all(self, slot: str) -> list[Any]:
        """All tensors at a slot."""
        return [self.values[name] for name in self.call.inputs.get(slot, [])]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute."""
        return self.call.attrs.get(name, default)

    def sizes(self, attr: str, tensor: str, parts: str = "") -> list[int]:
        """Whole numbers that an attribute says, or a tensor, or a list of tensors."""
        if parts and self.call.inputs.get(parts):
            return [int(part.data_.reshape(-1)[0]) for part in self.all(parts)]
        given = getattr(self, tensor)
        return [int(v) for v in given.data_.reshape(-1)] if given is not None else list(self.get(attr, []))


def _dtype(number: int) -> torch.dtype:
    return torch.bfloat16 if number == 22 else to_dtype(ELEMENTS[number])


# ---- convolution, pooling, norms --------------------------------------------------------------------------
def _padding(a: Arguments) -> Any:
    how = a.get("padding_algorithm", "EXPLICIT")
    return how if how in ("SAME", "VALID") else list(a.get("paddings", [0, 0]))


def _format(a: Arguments, key: str = "data_format") -> str:
    said = a.get(key, "NCHW")
    return "NCHW" if said == "AnyLayout" else str(said)


def _conv(a: Arguments) -> Any:
    made = F.conv2d(
        a.Input, a.Filter, a.Bias, a.get("strides", [1, 1]), _padding(a), a.get("dilations", [1, 1]),
        a.get("groups", 1), _format(a),
    )  # fmt: skip
    return made if a.ResidualData is None else made + a.ResidualData


def _conv_transpose(a: Arguments) -> Any:
    extra = list(a.get("output_padding") or [0, 0])
    size = list(a.get("output_size") or []) or None
    return F.conv2d_transpose(
        a.Input, a.Filter, a.Bias, a.get("strides", [1, 1]), _padding(a), 0 if size else extra,
        dilation=a.get("dilations", [1, 1]), groups=a.get("groups", 1), output_size=size, data_format=_format(a),
    )  # fmt: skip


def _pool(a: Arguments) -> Any:
    is_max, ksize, layout = a.get("pooling_type", "max") == "max", a.get("ksize"), _format(a)
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
        _format(a, "data_layout"),
    )  # fmt: skip
    return {"Y": made, "MeanOut": a.Mean, "VarianceOut": a.Variance}


def _layer_norm(a: Arguments) -> Any:
    shape = a.X.shape[a.get("begin_norm_axis", 1) :]
    return F.layer_norm(a.X, shape, a.Scale, a.Bias, a.get("epsilon", 1e-5))


def _dropout(a: Arguments) -> Any:
    mode = a.get("dropout_implementation", "downgrade_in_infer")
    mode = "upscale_in_train" if mode == "upscale_in_train" else "downscale_in_infer"
    return F.dropout(a.X, a.get("dropout_prob", 0.5), training=a.training, mode=mode)


def _interpolate(mode: str) -> Callable[[Arguments], Any]:
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


# ---- arithmetic ---------------------------------------------------------------------------------------------
def _broadcast(function: Callable[..., Any]) -> Callable[[Arguments], Any]:
    """Y is laid along the axes of X from ``axis`` on."""

    def run(a: Arguments) -> Any:
        x, y, axis = a.X, a.Y, a.get("axis", -1)
        if axis != -1 and 0 < y.ndim < x.ndim:
            shape = list(y.shape)
            while len(shape) > 1 and shape[-1] == 1 and axis + len(shape) > x.ndim:
                shape.pop()
            y = P.reshape(y, [*[1] * axis, *shape, *[1] * (x.ndim - axis - len(shape))])
        return function(x, y)

    return run


def _mul(a: Arguments) -> Any:
    """Matrices of the axes before and after ``num_col_dims``."""
    x, y = a.X.data_, a.Y.data_
    left, right = a.get("x_num_col_dims", 1), a.get("y_num_col_dims", 1)
    rows, columns = x.shape[:left], y.shape[right:]
    made = x.flatten(left).flatten(0, left - 1) @ y.flatten(right).flatten(0, right - 1)
    return wrap(made.reshape(*rows, *columns))


def _matmul(a: Arguments) -> Any:
    made = P.matmul(
        a.X, a.Y, a.get("trans_x", a.get("transpose_X", False)), a.get("trans_y", a.get("transpose_Y", False))
    )
    alpha = a.get("alpha", 1.0)
    return made if alpha == 1.0 else made * alpha


def _fc(a: Arguments) -> Any:
    axis = a.get("in_num_col_dims", 1)
    x = a.Input.data_
    made = wrap(x.flatten(axis) @ a.W.data_)
    made = made if a.Bias is None else made + P.reshape(a.Bias, [-1])
    return F.relu(made) if a.get("activation_type") == "relu" else made


def _scale(a: Arguments) -> Any:
    scale = a.get("scale", 1.0) if a.ScaleTensor is None else a.ScaleTensor.data_.item()
    return P.scale(a.X, scale, a.get("bias", 0.0), a.get("bias_after_scale", True))


def _clip(a: Arguments) -> Any:
    low = a.get("min") if a.Min is None else a.Min.data_.item()
    high = a.get("max") if a.Max is None else a.Max.data_.item()
    return P.clip(a.X, low, high)


def _reduce(function: Callable[..., Any]) -> Callable[[Arguments], Any]:
    def run(a: Arguments) -> Any:
        axes = None if a.get("reduce_all") else list(a.get("dim", [0]))
        return function(a.X, axis=axes or None, keepdim=a.get("keep_dim", False))

    return run


def _one(function: Callable[..., Any], *attributes: tuple[str, Any]) -> Callable[[Arguments], Any]:
    """A function of X, and of attributes with their defaults."""
    return lambda a: function(a.X, *(a.get(name, default) for name, default in attributes))


# ---- shapes -------------------------------------------------------------------------------------------------
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


# ---- making and choosing ------------------------------------------------------------------------------------
def _fill(a: Arguments) -> Any:
    value = a.get("str_value") or a.get("value", 0.0)
    if a.ValueTensor is not None:
        value = a.ValueTensor.data_.item()
    dtype = _dtype(a.get("dtype", 5))
    number = float(value) if dtype.is_floating_point else int(float(value))
    shape = a.sizes("shape", "ShapeTensor", "ShapeTensorList")
    if a.call.kind == "fill_constant_batch_size_like":
        shape[a.get("output_dim_idx", 0)] = a.Input.shape[a.get("input_dim_idx", 0)]
    return P.full(shape, number, dtype)


def _assign_value(a: Arguments) -> Any:
    dtype = a.get("dtype", 5)
    stored = {0: "bool_values", 2: "int32_values", 3: "int64_values"}.get(dtype, "fp32_values")
    values = a.get("values") or a.get(stored, [])
    return wrap(torch.tensor(values, dtype=_dtype(dtype)).reshape(list(a.get("shape"))))


def _top(a: Arguments) -> Any:
    count = a.get("k", 1) if a.K is None else int(a.K.data_.item())
    values, places = P.topk(a.X, count, a.get("axis", -1), a.get("largest", True))
    return {"Out": values, "Indices": places}


def _arg(function: Callable[..., Any]) -> Callable[[Arguments], Any]:
    def run(a: Arguments) -> Any:
        axis = None if a.get("flatten") else a.get("axis", -1)
        number = a.get("dtype", 3)
        return P.cast(
            function(a.X, axis, a.get("keepdims", False)), _dtype(number if number in (2, 3) else 3)
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


def _prelu(a: Arguments) -> Any:
    mode = a.get("mode", "all")
    if mode == "element":
        x, alpha = a.X.data_, a.Alpha.data_
        return wrap(torch.where(x > 0, x, x * alpha.reshape(1, *x.shape[1:])))
    return F.prelu(a.X, P.reshape(a.Alpha, [-1]), _format(a))


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


def _cast(a: Arguments) -> Any:
    return P.cast(a.X, _dtype(a.get("out_dtype", 5)))


def _swish(a: Arguments) -> Any:
    beta, x = a.get("beta", 1.0), a.X.data_
    return wrap(x * torch.sigmoid(beta * x))


def _hard_swish(a: Arguments) -> Any:
    x = a.X.data_
    inner = (x + a.get("offset", 3.0)).clamp(0.0, a.get("threshold", 6.0))
    return wrap(x * inner / a.get("scale", 6.0))


def _pow(a: Arguments) -> Any:
    return P.pow(a.X, a.get("factor", 1.0) if a.FactorTensor is None else a.FactorTensor)


def _arange(a: Arguments) -> Any:
    start, end, step = (getattr(a, s).data_.item() for s in ("Start", "End", "Step"))
    return wrap(torch.arange(start, end, step, dtype=a.Start.data_.dtype))


def _expand(a: Arguments) -> Any:
    return P.expand(a.X, a.sizes("shape", "Shape", "expand_shapes_tensor"))


def _tile(a: Arguments) -> Any:
    key = "expand_times" if a.call.kind == "expand" else "repeat_times"
    return P.tile(a.X, a.sizes(key, "RepeatTimes", "repeat_times_tensor"))


def _cumsum(a: Arguments) -> Any:
    if a.get("exclusive") or a.get("reverse"):
        raise NotSupportedError("cumsum with exclusive or reverse is not done here")
    return P.cumsum(a.X, None if a.get("flatten") else a.get("axis", -1))


def _gather(a: Arguments) -> Any:
    axis = a.get("axis", 0) if a.Axis is None else int(a.Axis.data_.item())
    return P.gather(a.X, P.reshape(a.Index, [-1]), axis)


_SAME = lambda a: a.X  # noqa: E731

OPERATORS: dict[str, Callable[[Arguments], Any]] = {
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
    # arithmetic
    "mul": _mul,
    "matmul": _matmul,
    "matmul_v2": _matmul,
    "bmm": lambda a: P.bmm(a.X, a.Y),
    "fc": _fc,
    "scale": _scale,
    "clip": _clip,
    "pow": _pow,
    "sum": lambda a: P.add_n(a.all("X")),
    "mean": lambda a: P.mean(a.X),
    "cumsum": _cumsum,
    "increment": lambda a: a.X + a.get("step", 1.0),
    **{f"elementwise_{name}": _broadcast(function) for name, function in {
        "add": P.add, "sub": P.subtract, "mul": P.multiply, "div": P.divide, "pow": P.pow, "max": P.maximum,
        "min": P.minimum, "mod": P.mod, "floordiv": P.floor_divide,
    }.items()},
    **{f"reduce_{name}": _reduce(getattr(P, name)) for name in ("sum", "mean", "max", "min", "prod", "all", "any")},
    **{name: _broadcast(getattr(P, name)) for name in (
        "equal", "not_equal", "less_than", "less_equal", "greater_than", "greater_equal", "logical_and", "logical_or",
        "logical_xor",
    )},
    "logical_not": lambda a: P.logical_not(a.X),
    # functions of X
    **{name: _one(getattr(P, name)) for name in (
        "abs", "ceil", "cos", "erf", "exp", "floor", "log", "log1p", "reciprocal", "round", "rsqrt", "sign", "sin",
        "sqrt", "square", "tanh", "atan", "log2",
    )},
    **{name: _one(getattr(F, name)) for name in ("relu", "relu6", "sigmoid", "silu", "softsign", "mish")},
    "logsigmoid": _one(F.log_sigmoid),
    "gelu": _one(F.gelu, ("approximate", False)),
    "elu": _one(F.elu, ("alpha", 1.0)),
    "leaky_relu": _one(F.leaky_relu, ("alpha", 0.02)),
    "hard_sigmoid": _one(F.hardsigmoid, ("slope", 0.2), ("offset", 0.5)),
    "hard_swish": _hard_swish,
    "swish": _swish,
    "softplus": _one(F.softplus, ("beta", 1.0), ("threshold", 20.0)),
    "softmax": _one(F.softmax, ("axis", -1)),
    "log_softmax": _one(F.log_softmax, ("axis", -1)),
    "prelu": _prelu,
    # shapes
    "reshape": _reshape,
    "reshape2": _reshape,
    "flatten": _flatten2,
    "flatten2": _flatten2,
    "flatten_contiguous_range": _one(P.flatten, ("start_axis", 1), ("stop_axis", 1)),
    "squeeze": _squeeze,
    "squeeze2": _squeeze,
    "unsqueeze": lambda a: P.unsqueeze(a.X, a.sizes("axes", "AxesTensor", "AxesTensorList")),
    "unsqueeze2": lambda a: P.unsqueeze(a.X, a.sizes("axes", "AxesTensor", "AxesTensorList")),
    "transpose": _one(P.transpose, ("axis", None)),
    "transpose2": _one(P.transpose, ("axis", None)),
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
    # making and choosing
    "assign": _SAME,
    "share_data": _SAME,
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
