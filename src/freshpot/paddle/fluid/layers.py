"""``fluid.layers``: functions with 1.8's names and arguments, in both modes."""

from __future__ import annotations

from typing import Any

from freshpot.errors import near_matches
from freshpot.paddle import nn as _nn
from freshpot.paddle import tensor as _ops
from freshpot.paddle._tensor import Tensor
from freshpot.paddle.nn.layer import create_parameter
from freshpot.paddle.static import accuracy as accuracy
from freshpot.paddle.static import create_global_var
from freshpot.paddle.static import nn as _static
from freshpot.paddle.static.nn import _activated, batch_norm, conv2d, embedding, layer_norm, pool2d
from freshpot.paddle.static.program import data as _data

F: Any = _nn.functional
P: Any = _ops

#: functions that are the door's, under the same name and with the same first arguments
_SAME = {
    "abs": P.abs, "argmax": P.argmax, "argmin": P.argmin, "assign": P.assign, "cast": P.cast, "ceil": P.ceil,
    "concat": P.concat, "cos": P.cos, "exp": P.exp, "floor": P.floor, "gather": P.gather, "log": P.log,
    "log_softmax": F.log_softmax, "ones": P.ones, "reciprocal": P.reciprocal, "relu": F.relu, "reshape": P.reshape,
    "round": P.round, "rsqrt": P.rsqrt, "scale": P.scale, "shape": P.shape, "sigmoid": F.sigmoid, "sign": P.sign,
    "sin": P.sin, "softplus": F.softplus, "softsign": F.softsign, "split": P.split, "sqrt": P.sqrt, "square": P.square,
    "square_error_cost": F.square_error_cost, "stack": P.stack, "tanh": P.tanh, "topk": P.topk,
    "transpose": P.transpose, "unstack": P.unstack, "where": P.where, "zeros": P.zeros, "zeros_like": P.zeros_like,
    "ones_like": P.ones_like, "equal": P.equal, "less_than": P.less_than, "greater_than": P.greater_than,
}  # fmt: skip
globals().update(_SAME)

__all__ = [
    *_SAME, "accuracy", "batch_norm", "clip", "conv2d", "create_global_var", "create_parameter", "cross_entropy",
    "data", "dropout", "elementwise_add", "elementwise_div", "elementwise_max", "elementwise_min", "elementwise_mul",
    "elementwise_pow", "elementwise_sub", "embedding", "fc", "fill_constant", "flatten", "layer_norm", "leaky_relu",
    "matmul", "mean", "mul", "one_hot", "pool2d", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod",
    "reduce_sum", "relu6", "softmax", "softmax_with_cross_entropy", "squeeze", "sums", "unsqueeze",
]  # fmt: skip


def data(
    name: str,
    shape: Any,
    append_batch_size: bool = True,
    dtype: Any = "float32",
    lod_level: int = 0,
    **more: Any,
) -> Any:
    """A variable that a run is fed; an open batch is put before its sizes unless one of them is open already."""
    sizes = list(shape)
    if append_batch_size and not any(size is None or size < 0 for size in sizes):
        sizes = [-1, *sizes]
    return _data(name, sizes, dtype)


def fc(
    input: Any,
    size: int,
    num_flatten_dims: int = 1,
    param_attr: Any = None,
    bias_attr: Any = None,
    act: str | None = None,
    name: str | None = None,
) -> Any:
    """A full layer: axes from ``num_flatten_dims`` on are one row."""
    return _static.fc(input, size, num_flatten_dims, param_attr, bias_attr, act, name)


def dropout(
    x: Any,
    dropout_prob: float,
    is_test: bool = False,
    seed: int | None = None,
    name: str | None = None,
    dropout_implementation: str = "downgrade_in_infer",
) -> Any:
    """Elements zeroed with a probability; by default they are scaled down afterwards, not up while training."""
    upscale = dropout_implementation == "upscale_in_train"
    mode = "upscale_in_train" if upscale else "downscale_in_infer"
    return F.dropout(x, dropout_prob, training=not is_test, mode=mode)


def softmax(input: Any, use_cudnn: bool = False, name: str | None = None, axis: int = -1) -> Any:
    """exp(x) over its sum along an axis."""
    return F.softmax(input, axis)


def cross_entropy(input: Any, label: Any, soft_label: bool = False, ignore_index: int = -100) -> Any:
    """-log of the probability of each label: ``input`` are probabilities. Shapes: (N, C), (N, 1) -> (N, 1)."""
    return F.cross_entropy(
        input, label, soft_label=soft_label, ignore_index=ignore_index, reduction="none", use_softmax=False
    )


def softmax_with_cross_entropy(
    logits: Any,
    label: Any,
    soft_label: bool = False,
    ignore_index: int = -100,
    numeric_stable_mode: bool = True,
    return_softmax: bool = False,
    axis: int = -1,
) -> Any:
    """-log of the softmax at each label. Shapes: (N, C), (N, 1) -> (N, 1)."""
    return F.softmax_with_cross_entropy(
        logits,
        label,
        soft_label=soft_label,
        ignore_index=ignore_index,
        return_softmax=return_softmax,
        axis=axis,
    )


def mean(x: Any, name: str | None = None) -> Any:
    """The mean of all elements."""
    return P.mean(x)


def matmul(
    x: Any,
    y: Any,
    transpose_x: bool = False,
    transpose_y: bool = False,
    alpha: float = 1.0,
    name: str | None = None,
) -> Any:
    """The product of matrices, times alpha."""
    made = P.matmul(x, y, transpose_x, transpose_y)
    return made if alpha == 1.0 else P.scale(made, alpha)


def mul(x: Any, y: Any, x_num_col_dims: int = 1, y_num_col_dims: int = 1, name: str | None = None) -> Any:
    """The product of matrices whose rows and columns are several axes each."""
    left = P.reshape(P.flatten(x, x_num_col_dims), [-1, _product(x.shape[x_num_col_dims:])])
    right = P.reshape(y, [_product(y.shape[:y_num_col_dims]), _product(y.shape[y_num_col_dims:])])
    return P.reshape(P.matmul(left, right), [*x.shape[:x_num_col_dims], *y.shape[y_num_col_dims:]])


def _product(sizes: Any) -> int:
    made = 1
    for size in sizes:
        made *= size
    return made


def _elementwise(function: Any, name: str) -> Any:
    def call(x: Any, y: Any, axis: int = -1, act: str | None = None, name: str | None = None) -> Any:
        if axis != -1 and 0 < y.ndim < x.ndim:
            y = P.reshape(y, [*[1] * axis, *y.shape, *[1] * (x.ndim - axis - y.ndim)])
        return _activated(function(x, y), act)

    call.__name__ = call.__qualname__ = f"elementwise_{name}"
    call.__doc__ = f"``{name}`` of two tensors; the axes of ``y`` lie along those of ``x`` from ``axis`` on."
    return call


elementwise_add, elementwise_sub = _elementwise(P.add, "add"), _elementwise(P.subtract, "sub")
elementwise_mul, elementwise_div = _elementwise(P.multiply, "mul"), _elementwise(P.divide, "div")
elementwise_max, elementwise_min = _elementwise(P.maximum, "max"), _elementwise(P.minimum, "min")
elementwise_pow = _elementwise(P.pow, "pow")


def _reduced(function: Any, name: str) -> Any:
    def call(input: Any, dim: Any = None, keep_dim: bool = False, name: str | None = None) -> Any:
        return function(input, axis=dim, keepdim=keep_dim)

    call.__name__ = call.__qualname__ = f"reduce_{name}"
    call.__doc__ = f"``{name}`` along axes, or of all elements."
    return call


reduce_sum, reduce_mean = _reduced(P.sum, "sum"), _reduced(P.mean, "mean")
reduce_max, reduce_min, reduce_prod = _reduced(P.max, "max"), _reduced(P.min, "min"), _reduced(P.prod, "prod")


def fill_constant(
    shape: Any, dtype: Any, value: Any, force_cpu: bool = False, out: Any = None, name: str | None = None
) -> Any:
    """A tensor of one value."""
    return P.full(shape, value, dtype)


def flatten(x: Any, axis: int = 1, name: str | None = None) -> Any:
    """Two axes: those before ``axis``, and the others."""
    return P.flatten(x, axis) if axis == 1 and x.ndim > 1 else P.reshape(x, [_product(x.shape[:axis]), -1])


def one_hot(input: Any, depth: int, allow_out_of_range: bool = False) -> Any:
    """A row with a 1 at each number's place; a last axis of 1 is taken away."""
    return F.one_hot(P.squeeze(input, -1) if input.shape[-1] == 1 else input, depth)


def squeeze(input: Any, axes: Any, name: str | None = None) -> Any:
    """Without axes of size 1; all of them for an empty list."""
    return P.squeeze(input, list(axes) or None)


def unsqueeze(input: Any, axes: Any, name: str | None = None) -> Any:
    """With more axes of size 1."""
    return P.unsqueeze(input, axes)


def sums(input: Any, out: Tensor | None = None) -> Any:
    """The sum of tensors."""
    return P.add_n(input)


def clip(x: Any, min: float, max: float, name: str | None = None) -> Any:
    """Between two values."""
    return P.clip(x, min, max)


def relu6(x: Any, threshold: float = 6.0, name: str | None = None) -> Any:
    """Between 0 and a threshold."""
    return P.clip(x, 0.0, threshold)


def leaky_relu(x: Any, alpha: float = 0.02, name: str | None = None) -> Any:
    """x above 0, alpha * x below."""
    return F.leaky_relu(x, alpha)


def __getattr__(name: str) -> Any:
    raise AttributeError(f"paddle.fluid.layers has no '{name}' here.{near_matches(name, __all__)}")
