"""New tensors: filled, ranged, drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._state import current_device, default_float, to_dtype
from freshpot.paddle._tensor import Tensor, drawn, lifted, recorded, to_tensor, unwrap, wrap

__all__ = [
    "arange",
    "assign",
    "bernoulli",
    "clone",
    "diag",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "gaussian",
    "linspace",
    "logspace",
    "meshgrid",
    "multinomial",
    "normal",
    "numel",
    "ones",
    "ones_like",
    "rand",
    "randint",
    "randint_like",
    "randn",
    "randperm",
    "seed",
    "standard_normal",
    "to_tensor",
    "tril",
    "tril_indices",
    "triu",
    "triu_indices",
    "uniform",
    "zeros",
    "zeros_like",
]

Shape = Sequence[int] | int | Tensor


def sizes(shape: Any) -> list[int]:
    """A shape as plain integers, from a list, a tuple, one integer or a tensor.

    Raises:
        ArgumentError: a negative size.
    """
    if isinstance(shape, Tensor):
        shape = shape.data_.reshape(-1).tolist()
    whole = [shape] if isinstance(shape, int) else [int(size) for size in shape]
    if any(size < 0 for size in whole):
        raise ArgumentError(f"shape {whole}: sizes must not be negative")
    return whole


def _options(dtype: Any) -> dict[str, Any]:
    return {"dtype": default_float() if dtype is None else to_dtype(dtype), "device": current_device()}


def zeros(shape: Shape, dtype: Any = None, name: str | None = None) -> Tensor:
    """All zeros; default type float32."""
    return wrap(torch.zeros(sizes(shape), **_options(dtype)))


def ones(shape: Shape, dtype: Any = None, name: str | None = None) -> Tensor:
    """All ones; default type float32."""
    return wrap(torch.ones(sizes(shape), **_options(dtype)))


def empty(shape: Shape, dtype: Any = None, name: str | None = None) -> Tensor:
    """Whatever the memory holds."""
    return wrap(torch.empty(sizes(shape), **_options(dtype)))


def full(shape: Shape, fill_value: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """All ``fill_value``, a number, its text or a tensor; the type is the default float's unless given (bool for True
    and False).

    Raises:
        ArgumentError: a text that is no number.
    """
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ArgumentError(f"full: {value!r} is no number") from None
    dtype = "bool" if dtype is None and isinstance(value, bool) else dtype
    return wrap(torch.full(sizes(shape), value, **_options(dtype)))


def _like(x: Any, dtype: Any) -> torch.dtype:
    return x.dtype if dtype is None else to_dtype(dtype)


@lifted
def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros of the shape of ``x``."""
    return torch.zeros_like(x, dtype=_like(x, dtype))


@lifted
def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones of the shape of ``x``."""
    return torch.ones_like(x, dtype=_like(x, dtype))


@lifted
def empty_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Whatever the memory holds, in the shape of ``x``."""
    return torch.empty_like(x, dtype=_like(x, dtype))


@lifted
def full_like(x: Any, fill_value: Any, dtype: Any = None, name: str | None = None) -> Any:
    """``fill_value`` in the shape of ``x``."""
    return torch.full_like(x, fill_value, dtype=_like(x, dtype))


def arange(
    start: Any = 0, end: Any = None, step: Any = 1, dtype: Any = None, name: str | None = None
) -> Tensor:
    """From ``start`` up to, without, ``end``; integers are int64."""
    first, last, by = (unwrap(value) for value in (start, end, step))
    if last is None:
        first, last = 0, first
    first, last, by = (v.item() if isinstance(v, torch.Tensor) else v for v in (first, last, by))
    if dtype is None:
        dtype = "int64" if all(isinstance(v, int) for v in (first, last, by)) else None
    return wrap(torch.arange(first, last, by, **_options(dtype)))


def linspace(start: Any, stop: Any, num: int, dtype: Any = None, name: str | None = None) -> Tensor:
    """``num`` values at equal distances, both ends counted."""
    return wrap(torch.linspace(float(start), float(stop), int(num), **_options(dtype)))


def logspace(
    start: float, stop: float, num: int, base: float = 10.0, dtype: Any = None, name: str | None = None
) -> Tensor:
    """``base`` to the powers of :func:`linspace`."""
    return wrap(torch.logspace(float(start), float(stop), int(num), float(base), **_options(dtype)))


def eye(num_rows: int, num_columns: int | None = None, dtype: Any = None, name: str | None = None) -> Tensor:
    """Ones on the diagonal."""
    return wrap(torch.eye(num_rows, num_columns or num_rows, **_options(dtype)))


@lifted
def diag(x: Any, offset: int = 0, padding_value: float = 0, name: str | None = None) -> Any:
    """A vector as a matrix's diagonal, or a matrix's diagonal as a vector."""
    made = torch.diag(x, offset)
    if x.dim() == 1 and padding_value:
        mask = torch.diag(torch.ones_like(x, dtype=torch.bool), offset)
        made = torch.where(mask, made, torch.full_like(made, padding_value))
    return made


@lifted
def tril(x: Any, diagonal: int = 0, name: str | None = None) -> Any:
    """The lower triangle; zeros above."""
    return torch.tril(x, diagonal)


@lifted
def triu(x: Any, diagonal: int = 0, name: str | None = None) -> Any:
    """The upper triangle; zeros below."""
    return torch.triu(x, diagonal)


@recorded
def meshgrid(*args: Any, **keywords: Any) -> list[Tensor]:
    """Grids of every combination, the first input along the first axis."""
    parts = args[0] if len(args) == 1 and isinstance(args[0], (list, tuple)) else args
    return [wrap(part) for part in torch.meshgrid(*unwrap(list(parts)), indexing="ij")]


@lifted
def clone(x: Any, name: str | None = None) -> Any:
    """A copy through which gradients flow."""
    return x.clone()


@recorded
def assign(x: Any, output: Tensor | None = None) -> Tensor:
    """A copy; or ``output``, which becomes one (of another shape and type, too, where it does not learn)."""
    made = wrap(unwrap(x).clone()) if isinstance(x, Tensor) else to_tensor(x)
    if output is None:
        return made
    if made.shape == output.shape or not output.stop_gradient:
        output.set_value(made)
    else:
        output.data_ = made.data_
    return output


@lifted
def numel(x: Any, name: str | None = None) -> Any:
    """How many elements."""
    return torch.tensor(x.numel())


# ---- at random -----------------------------------------------------------------------------------------
def seed(seed: int) -> torch.Generator:
    """Start the random numbers of this process anew."""
    return torch.manual_seed(int(seed))


@drawn
def rand(shape: Shape, dtype: Any = None, name: str | None = None) -> Tensor:
    """Uniform in [0, 1)."""
    return wrap(torch.rand(sizes(shape), **_options(dtype)))


@drawn
def uniform(
    shape: Shape,
    dtype: Any = None,
    min: float = -1.0,
    max: float = 1.0,
    seed: int = 0,
    name: str | None = None,
) -> Tensor:
    """Uniform in [min, max); a ``seed`` other than 0 makes the draw repeatable."""
    made = torch.empty(sizes(shape), **_options(dtype))
    return wrap(made.uniform_(float(min), float(max), generator=_generator(seed)))


def _generator(seed: int) -> torch.Generator | None:
    return torch.Generator(current_device()).manual_seed(seed) if seed else None


@drawn
def randn(shape: Shape, dtype: Any = None, name: str | None = None) -> Tensor:
    """Normal, mean 0, deviation 1."""
    return wrap(torch.randn(sizes(shape), **_options(dtype)))


standard_normal = randn


@drawn
def gaussian(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    seed: int = 0,
    dtype: Any = None,
    name: str | None = None,
) -> Tensor:
    """Normal with a mean and a deviation."""
    return wrap(torch.empty(sizes(shape), **_options(dtype)).normal_(mean, std, generator=_generator(seed)))


@drawn
def normal(mean: Any = 0.0, std: Any = 1.0, shape: Any = None, name: str | None = None) -> Tensor:
    """Normal; ``mean`` and ``std`` may be tensors, which then give the shape."""
    centre, spread = unwrap(mean), unwrap(std)
    if isinstance(centre, torch.Tensor) or isinstance(spread, torch.Tensor):
        like = centre if isinstance(centre, torch.Tensor) else spread
        return wrap(torch.randn_like(like) * spread + centre)
    return gaussian([1] if shape is None else shape, float(mean), float(std))


@drawn
def randint(
    low: int = 0, high: int | None = None, shape: Shape = (1,), dtype: Any = None, name: str | None = None
) -> Tensor:
    """Whole numbers from ``low`` up to, without, ``high``."""
    first, last = (0, low) if high is None else (low, high)
    if last <= first:
        raise ArgumentError(f"randint: high ({last}) must be greater than low ({first})")
    return wrap(torch.randint(first, last, sizes(shape), **_options("int64" if dtype is None else dtype)))


@drawn
def randperm(n: int, dtype: Any = "int64", name: str | None = None) -> Tensor:
    """0 to n - 1 in random order."""
    return wrap(torch.randperm(n, **_options(dtype)))


@lifted
def bernoulli(x: Any, name: str | None = None) -> Any:
    """1 with the probability that each element states, else 0."""
    return torch.bernoulli(x)


@lifted
def multinomial(x: Any, num_samples: int = 1, replacement: bool = False, name: str | None = None) -> Any:
    """Positions drawn with the given weights."""
    return torch.multinomial(x, num_samples, replacement)


def randint_like(
    x: Tensor, low: int = 0, high: int | None = None, dtype: Any = None, name: str | None = None
) -> Tensor:
    """Whole numbers in the shape of ``x``, and of its element type unless another is named."""
    return randint(low, high, x.shape).astype(x.dtype if dtype is None else dtype)


def tril_indices(row: int, col: int | None = None, offset: int = 0, dtype: Any = "int64") -> Tensor:
    """The places of the lower triangle: rows, then columns."""
    return wrap(torch.tril_indices(row, row if col is None else col, offset, dtype=to_dtype(dtype)))


def triu_indices(row: int, col: int | None = None, offset: int = 0, dtype: Any = "int64") -> Tensor:
    """The places of the upper triangle: rows, then columns."""
    return wrap(torch.triu_indices(row, row if col is None else col, offset, dtype=to_dtype(dtype)))


# ---- methods of Tensor: in place -----------------------------------------------------------------------
def zero_(self: Tensor) -> Tensor:
    """Fill with zeros, in place."""
    return fill_(self, 0)


@torch.no_grad()
def fill_(self: Tensor, value: Any) -> Tensor:
    """Fill with one value, in place."""
    self.data_.fill_(unwrap(value))
    return self


@torch.no_grad()
def uniform_(
    self: Tensor, min: float = -1.0, max: float = 1.0, seed: int = 0, name: str | None = None
) -> Tensor:
    """Draw from [min, max), in place."""
    self.data_.uniform_(min, max, generator=_generator(seed))
    return self


@torch.no_grad()
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, name: str | None = None) -> Tensor:
    """Draw from a normal distribution, in place."""
    self.data_.normal_(mean, std)
    return self


@torch.no_grad()
def exponential_(self: Tensor, lam: float = 1.0, name: str | None = None) -> Tensor:
    """Draw from an exponential distribution, in place."""
    self.data_.exponential_(lam)
    return self


@torch.no_grad()
def fill_diagonal_(
    self: Tensor, value: float, offset: int = 0, wrap: bool = False, name: str | None = None
) -> Tensor:
    """Fill a diagonal with one value, in place."""
    if offset:
        torch.diagonal(self.data_, offset).fill_(value)
    else:
        self.data_.fill_diagonal_(value, wrap)
    return self
