"""Arithmetic, reductions, comparisons, functions of one tensor, as entries of the table. Called by this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from freshpot.errors import NotSupportedError
from freshpot.paddle import tensor as _ops
from freshpot.paddle._tensor import wrap
from freshpot.paddle.jit._operators._call import Arguments, Entry, layout_of, of_x
from freshpot.paddle.nn import functional as _F

__all__ = ["OPERATORS"]

F: Any = _F
P: Any = _ops


def _broadcast(function: Callable[..., Any]) -> Entry:
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


def _reduce(function: Callable[..., Any]) -> Entry:
    def run(a: Arguments) -> Any:
        axes = None if a.get("reduce_all") else list(a.get("dim", [0]))
        return function(a.X, axis=axes or None, keepdim=a.get("keep_dim", False))

    return run


def _pow(a: Arguments) -> Any:
    return P.pow(a.X, a.get("factor", 1.0) if a.FactorTensor is None else a.FactorTensor)


def _cumsum(a: Arguments) -> Any:
    if a.get("exclusive") or a.get("reverse"):
        raise NotSupportedError("cumsum with exclusive or reverse is not done here")
    return P.cumsum(a.X, None if a.get("flatten") else a.get("axis", -1))


def _swish(a: Arguments) -> Any:
    beta, x = a.get("beta", 1.0), a.X.data_
    return wrap(x * torch.sigmoid(beta * x))


def _hard_swish(a: Arguments) -> Any:
    x = a.X.data_
    inner = (x + a.get("offset", 3.0)).clamp(0.0, a.get("threshold", 6.0))
    return wrap(x * inner / a.get("scale", 6.0))


def _prelu(a: Arguments) -> Any:
    mode = a.get("mode", "all")
    if mode == "element":
        x, alpha = a.X.data_, a.Alpha.data_
        return wrap(torch.where(x > 0, x, x * alpha.reshape(1, *x.shape[1:])))
    return F.prelu(a.X, P.reshape(a.Alpha, [-1]), layout_of(a))


OPERATORS: dict[str, Entry] = {
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
    **{name: of_x(getattr(P, name)) for name in (
        "abs", "ceil", "cos", "erf", "exp", "floor", "log", "log1p", "reciprocal", "round", "rsqrt", "sign", "sin",
        "sqrt", "square", "tanh", "atan", "log2",
    )},
    **{name: of_x(getattr(F, name)) for name in ("relu", "relu6", "sigmoid", "silu", "softsign", "mish")},
    "logsigmoid": of_x(F.log_sigmoid),
    "gelu": of_x(F.gelu, ("approximate", False)),
    "elu": of_x(F.elu, ("alpha", 1.0)),
    "leaky_relu": of_x(F.leaky_relu, ("alpha", 0.02)),
    "hard_sigmoid": of_x(F.hardsigmoid, ("slope", 0.2), ("offset", 0.5)),
    "hard_swish": _hard_swish,
    "swish": _swish,
    "softplus": of_x(F.softplus, ("beta", 1.0), ("threshold", 20.0)),
    "softmax": of_x(F.softmax, ("axis", -1)),
    "log_softmax": of_x(F.log_softmax, ("axis", -1)),
    "prelu": _prelu,
}  # fmt: skip
