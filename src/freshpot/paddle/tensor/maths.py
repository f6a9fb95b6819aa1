"""Arithmetic, elementwise functions and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from freshpot.paddle import _tensor
from freshpot.paddle._state import to_dtype
from freshpot.paddle._tensor import Tensor, lifted, unwrap, wrap


def _round(x: torch.Tensor) -> torch.Tensor:
    """The nearest whole number, halves away from 0, as in 2.x (3.x: to the even one)."""
    return torch.sign(x) * torch.floor(torch.abs(x) + 0.5) if x.is_floating_point() else torch.round(x)


#: Paddle's name -> torch's function of one tensor, elementwise
_UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "acosh": torch.acosh,
    "asin": torch.asin,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "bitwise_not": torch.bitwise_not,
    "ceil": torch.ceil,
    "conj": torch.conj_physical,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "digamma": torch.digamma,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "imag": torch.imag,
    "isfinite": torch.isfinite,
    "isinf": torch.isinf,
    "isnan": torch.isnan,
    "lgamma": torch.lgamma,
    "log": torch.log,
    "log10": torch.log10,
    "log1p": torch.log1p,
    "log2": torch.log2,
    "logical_not": torch.logical_not,
    "neg": torch.neg,
    "real": torch.real,
    "reciprocal": torch.reciprocal,
    "round": _round,
    "rsqrt": torch.rsqrt,
    "sigmoid": torch.sigmoid,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
    "trunc": torch.trunc,
}


def _divide(x: Any, y: Any) -> Any:
    return torch.true_divide(x, y)


def _python_mod(x: Any, y: Any) -> Any:
    return torch.remainder(x, y)


def _floor_divide(x: Any, y: Any) -> Any:
    return torch.floor_divide(x.detach(), y.detach() if isinstance(y, torch.Tensor) else y)


#: Paddle's name -> torch's function of two tensors, with broadcasting
_BINARY: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "atan2": torch.atan2,
    "bitwise_and": torch.bitwise_and,
    "bitwise_or": torch.bitwise_or,
    "bitwise_xor": torch.bitwise_xor,
    "divide": _divide,
    "equal": torch.eq,
    "floor_divide": _floor_divide,
    "floor_mod": _python_mod,
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "greater_equal": torch.ge,
    "greater_than": torch.gt,
    "less_equal": torch.le,
    "less_than": torch.lt,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "mod": _python_mod,
    "multiply": torch.mul,
    "not_equal": torch.ne,
    "pow": torch.pow,
    "remainder": _python_mod,
    "subtract": torch.sub,
}
_NEEDS_TENSORS = {"maximum", "minimum", "fmax", "fmin", "atan2", "logical_and", "logical_or", "logical_xor"}


def _make_unary(name: str, function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., Tensor]:
    def call(x: Tensor, name: str | None = None) -> Tensor:
        if _tensor.recorder is not None and isinstance(x, _tensor.Symbolic):
            return _tensor.recorder(call, (x,), {})
        return wrap(function(x.data_))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}`` of every element."
    return call


def _make_binary(name: str, function: Callable[..., torch.Tensor]) -> Callable[..., Tensor]:
    strict = name in _NEEDS_TENSORS

    def call(x: Tensor, y: Any, name: str | None = None) -> Tensor:
        if _tensor.recorder is not None and (
            isinstance(x, _tensor.Symbolic) or isinstance(y, _tensor.Symbolic)
        ):
            return _tensor.recorder(call, (x, y), {})
        left, right = unwrap(x), unwrap(y)
        if not isinstance(right, torch.Tensor) and (
            strict or not isinstance(right, (int, float, bool, complex))
        ):
            right = torch.as_tensor(right, device=left.device)
        return wrap(function(left, right))

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"``{name}`` of ``x`` and ``y``, element by element, with broadcasting."
    return call


globals().update({name: _make_unary(name, function) for name, function in _UNARY.items()})
globals().update({name: _make_binary(name, function) for name, function in _BINARY.items()})


# ---- reductions ----------------------------------------------------------------------------------------
def _axes(axis: Any, x: torch.Tensor) -> tuple[int, ...]:
    """Axes as a tuple; None (and an empty list) means all."""
    if isinstance(axis, torch.Tensor):
        axis = axis.reshape(-1).tolist()
    if axis is None or (isinstance(axis, (list, tuple)) and not axis):
        return tuple(range(x.dim()))
    return tuple(axis) if isinstance(axis, (list, tuple)) else (int(axis),)


@lifted
def mean(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The mean, over all axes or some; of whole numbers a whole number, towards 0."""
    if not (x.is_floating_point() or x.is_complex()):
        return torch.mean(x, _axes(axis, x), keepdim, dtype=torch.float64).to(x.dtype)
    return x.mean() if axis is None and not keepdim else x.mean(_axes(axis, x), keepdim)


@lifted
def sum(x: Any, axis: Any = None, dtype: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The sum, over all axes or some."""
    return torch.sum(x, _axes(axis, x), keepdim, dtype=None if dtype is None else to_dtype(dtype))


@lifted
def max(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The greatest value, over all axes or some."""
    return torch.amax(x, _axes(axis, x), keepdim)


@lifted
def min(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The least value, over all axes or some."""
    return torch.amin(x, _axes(axis, x), keepdim)


amax, amin = max, min


@lifted
def prod(x: Any, axis: Any = None, keepdim: bool = False, dtype: Any = None, name: str | None = None) -> Any:
    """The product, over all axes or some."""
    x = x if dtype is None else x.to(to_dtype(dtype))
    for one in sorted((a % x.dim() for a in _axes(axis, x)), reverse=True):
        x = torch.prod(x, one, keepdim)
    return x


@lifted
def var(
    x: Any, axis: Any = None, unbiased: bool = True, keepdim: bool = False, name: str | None = None
) -> Any:
    """The variance; ``unbiased`` divides by n - 1."""
    return torch.var(x, _axes(axis, x), correction=int(unbiased), keepdim=keepdim)


@lifted
def std(
    x: Any, axis: Any = None, unbiased: bool = True, keepdim: bool = False, name: str | None = None
) -> Any:
    """The standard deviation; ``unbiased`` divides by n - 1."""
    return torch.std(x, _axes(axis, x), correction=int(unbiased), keepdim=keepdim)


@lifted
def logsumexp(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """log(sum(exp(x)))."""
    return torch.logsumexp(x, _axes(axis, x), keepdim)


@lifted
def all(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """Whether every element is true."""
    return torch.all(x, _axes(axis, x), keepdim)


@lifted
def any(x: Any, axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """Whether some element is true."""
    return torch.any(x, _axes(axis, x), keepdim)


@lifted
def median(x: Any, axis: int | None = None, keepdim: bool = False, name: str | None = None) -> Any:
    """The middle value; the mean of the two middle ones of an even number."""
    flat, one = (x.flatten(), 0) if axis is None else (x, axis)
    made = torch.quantile(flat.double() if flat.dtype == torch.float64 else flat.float(), 0.5, one, keepdim)
    return made.reshape([1] * x.dim()) if axis is None and keepdim else made


@lifted
def cumsum(x: Any, axis: int | None = None, dtype: Any = None, name: str | None = None) -> Any:
    """Running sums, along an axis or of all elements in order."""
    flat, one = (x.flatten(), 0) if axis is None else (x, axis)
    return torch.cumsum(flat, one, dtype=None if dtype is None else to_dtype(dtype))


@lifted
def cumprod(x: Any, dim: int | None = None, dtype: Any = None, name: str | None = None) -> Any:
    """Running products."""
    flat, one = (x.flatten(), 0) if dim is None else (x, dim)
    return torch.cumprod(flat, one, dtype=None if dtype is None else to_dtype(dtype))


# ---- the rest ------------------------------------------------------------------------------------------
@lifted
def clip(x: Any, min: Any = None, max: Any = None, name: str | None = None) -> Any:
    """Values below ``min`` raised to it, values above ``max`` lowered to it."""
    return x.clone() if min is None and max is None else torch.clamp(x, min, max)


@lifted
def scale(
    x: Any,
    scale: Any = 1.0,
    bias: float = 0.0,
    bias_after_scale: bool = True,
    act: str | None = None,
    name: str | None = None,
) -> Any:
    """``scale * x + bias``, or ``scale * (x + bias)``."""
    made = x * scale + bias if bias_after_scale else (x + bias) * scale
    made = made.to(x.dtype)
    return made if act is None else getattr(torch, act)(made)


@lifted
def add_n(inputs: Any, name: str | None = None) -> Any:
    """The sum of tensors."""
    parts = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    total = parts[0].clone()
    for part in parts[1:]:
        total = total + part
    return total


@lifted
def lerp(x: Any, y: Any, weight: Any, name: str | None = None) -> Any:
    """``x + weight * (y - x)``."""
    return torch.lerp(x, y, weight.detach() if isinstance(weight, torch.Tensor) else weight)


def increment(x: Tensor, value: float = 1.0, name: str | None = None) -> Tensor:
    """Add to ``x`` itself."""
    with torch.no_grad():
        x.data_.add_(value)
    return x


@lifted
def equal_all(x: Any, y: Any, name: str | None = None) -> Any:
    """Whether shapes and all elements are equal."""
    return torch.tensor(x.shape == y.shape and bool((x == y).all()))


@lifted
def allclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False, name: str | None = None
) -> Any:
    """Whether all elements are nearly equal."""
    return torch.tensor(torch.allclose(x, y, float(rtol), float(atol), equal_nan))


@lifted
def isclose(
    x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False, name: str | None = None
) -> Any:
    """Which elements are nearly equal."""
    return torch.isclose(x, y, float(rtol), float(atol), equal_nan)


# ---- matrices ------------------------------------------------------------------------------------------
@lifted
def matmul(
    x: Any, y: Any, transpose_x: bool = False, transpose_y: bool = False, name: str | None = None
) -> Any:
    """The matrix product; vectors are as numpy's ``matmul`` takes them."""
    left = x.transpose(-1, -2) if transpose_x and x.dim() > 1 else x
    right = y.transpose(-1, -2) if transpose_y and y.dim() > 1 else y
    return torch.matmul(left, right)


mm = matmul


@lifted
def bmm(x: Any, y: Any, name: str | None = None) -> Any:
    """Matrix products of two batches."""
    return torch.bmm(x, y)


@lifted
def dot(x: Any, y: Any, name: str | None = None) -> Any:
    """Products summed along the last axis (kept, with size 1, where Paddle 2.0 keeps it)."""
    return (x * y).sum(-1)


@lifted
def addmm(input: Any, x: Any, y: Any, beta: float = 1.0, alpha: float = 1.0, name: str | None = None) -> Any:
    """``beta * input + alpha * x @ y``."""
    return torch.addmm(input, x, y, beta=beta, alpha=alpha)


@lifted
def t(input: Any, name: str | None = None) -> Any:
    """A matrix transposed."""
    return input.t()


@lifted
def norm(x: Any, p: Any = "fro", axis: Any = None, keepdim: bool = False, name: str | None = None) -> Any:
    """A vector's or a matrix's norm; over all elements where no axis is named."""
    order = 2.0 if p == "fro" else float(p)
    return torch.linalg.vector_norm(x, order, None if axis is None else _axes(axis, x), keepdim)


@lifted
def dist(x: Any, y: Any, p: float = 2) -> Any:
    """The norm of ``x - y``."""
    return torch.dist(x, y, float(p))


@lifted
def inverse(x: Any, name: str | None = None) -> Any:
    """The inverse of a matrix."""
    return torch.linalg.inv(x)


@lifted
def einsum(equation: str, *operands: Any) -> Any:
    """Products summed as Einstein wrote them."""
    return torch.einsum(equation, *operands)


__all__ = [
    *_UNARY,
    *_BINARY,
    "mean",
    "sum",
    "max",
    "min",
    "amax",
    "amin",
    "prod",
    "var",
    "std",
    "logsumexp",
    "all",
    "any",
    "median",
    "cumsum",
    "cumprod",
    "clip",
    "scale",
    "add_n",
    "lerp",
    "increment",
    "equal_all",
    "allclose",
    "isclose",
    "matmul",
    "mm",
    "bmm",
    "dot",
    "addmm",
    "t",
    "norm",
    "dist",
    "inverse",
    "einsum",
]
