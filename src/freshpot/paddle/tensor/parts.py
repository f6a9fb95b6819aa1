"""Parts of tensors put elsewhere, and a few functions that fit nowhere else."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import lifted, recorded, unwrap

__all__ = [
    "cauchy_", "check_shape", "diagonal_scatter", "fill_diagonal_tensor", "fill_diagonal_tensor_", "frexp",
    "geometric_", "multigammaln", "multigammaln_", "multiplex", "select_scatter", "where_",
]  # fmt: skip


@lifted
def multiplex(inputs: Any, index: Any, name: str | None = None) -> Any:
    """Row i of the input that ``index[i]`` names."""
    rows = torch.arange(inputs[0].shape[0], device=index.device)
    return torch.stack(list(inputs))[index.reshape(-1).long()[: len(rows)], rows]


@lifted
def frexp(x: Any, name: str | None = None) -> Any:
    """Mantissas from 0.5 up to 1, and powers of two, as floats."""
    mantissa, power = torch.frexp(x)
    return mantissa, power.to(x.dtype)


@lifted
def diagonal_scatter(
    x: Any, y: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, name: str | None = None
) -> Any:
    """A copy with ``y`` on a diagonal."""
    return torch.diagonal_scatter(x, y, offset, axis1, axis2)


@lifted
def fill_diagonal_tensor(
    x: Any, y: Any, offset: int = 0, dim1: int = 0, dim2: int = 1, name: str | None = None
) -> Any:
    """A copy with ``y`` on a diagonal."""
    return torch.diagonal_scatter(x, y.to(x.dtype), offset, dim1, dim2)


def fill_diagonal_tensor_(
    x: Any, y: Any, offset: int = 0, dim1: int = 0, dim2: int = 1, name: str | None = None
) -> Any:
    """``y`` on a diagonal, in place."""
    x.data_ = fill_diagonal_tensor(x, y, offset, dim1, dim2).data_
    return x


@lifted
def select_scatter(x: Any, values: Any, axis: int, index: int, name: str | None = None) -> Any:
    """A copy with ``values`` as one slice."""
    return torch.select_scatter(x, values.to(x.dtype), axis, index)


@lifted
def multigammaln(x: Any, p: int, name: str | None = None) -> Any:
    """The log of the gamma function of ``p`` variables."""
    return torch.special.multigammaln(x, p)


def multigammaln_(x: Any, p: int, name: str | None = None) -> Any:
    """``multigammaln``, in place."""
    x.data_ = multigammaln(x, p).data_
    return x


@recorded
def where_(condition: Any, x: Any = None, y: Any = None, name: str | None = None) -> Any:
    """``x`` where true, else ``y``, in place of ``x``.

    Raises:
        ArgumentError: no ``x`` or ``y``.
    """
    if x is None or y is None:
        raise ArgumentError("where_: give x and y")
    x.data_ = torch.where(condition.data_, unwrap(x), unwrap(y))
    return x


@torch.no_grad()
def cauchy_(x: Any, loc: float = 0, scale: float = 1, name: str | None = None) -> Any:
    """Draw from a Cauchy distribution, in place."""
    x.data_.cauchy_(loc, scale)
    return x


@torch.no_grad()
def geometric_(x: Any, probs: Any, name: str | None = None) -> Any:
    """Draw from a geometric distribution of real numbers (log u / log(1 - probs)), in place."""
    chance = torch.rand_like(x.data_).clamp_min(torch.finfo(x.data_.dtype).tiny)
    rest = torch.log1p(-torch.as_tensor(unwrap(probs), dtype=x.data_.dtype))
    x.data_.copy_(torch.log(chance) / rest)
    return x


def check_shape(shape: Any, op_name: str = "", *expected: Any) -> None:
    """Whether a shape is a list of whole numbers, none below 0 but one -1.

    Raises:
        ArgumentError: it is not.
    """
    parts = list(shape) if isinstance(shape, (list, tuple)) else None
    if parts is None or not all(isinstance(part, int) and part >= -1 for part in parts):
        raise ArgumentError(f"{op_name or 'shape'}: {shape!r} is no list of sizes")
