"""Whole matrices of derivatives: :func:`freshpot.paddle.autograd.jacobian` and ``hessian``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import Tensor, wrap

__all__ = ["Jacobian", "hessian", "jacobian"]


class Jacobian:
    """The derivatives of every element of ``y`` by every element of ``x``, worked out when they are first looked at.

    ``made[:]`` is the tensor; parts of it, arithmetic, and a Tensor's methods work too.

    Attributes:
        shape: y's axes, then x's; behind the batch where there is one.
    """

    def __init__(self, y: torch.Tensor, x: torch.Tensor, batched: bool) -> None:
        self._y, self._x, self._batched = y, x, batched
        batch = [x.shape[0]] if batched else []
        self.shape = [*batch, *y.shape[len(batch) :], *x.shape[len(batch) :]]

    @functools.cached_property
    def tensor(self) -> Tensor:
        """All of it."""
        return wrap(self.plain())

    def plain(self) -> torch.Tensor:
        """All of it, as torch's tensor; one run back for each element of y (of one sample, where there is a batch)."""
        first = 1 if self._batched else 0
        rows = self._y.reshape(len(self._y), -1).T if self._batched else self._y.reshape(-1)
        made = []
        for row in rows:
            if not row.requires_grad:
                made.append(torch.zeros_like(self._x))
                continue
            (grad,) = torch.autograd.grad(
                row.sum(), self._x, create_graph=True, retain_graph=True, allow_unused=True
            )
            made.append(torch.zeros_like(self._x) if grad is None else grad)
        return torch.stack(made, first).reshape(self.shape)

    def __getitem__(self, index: Any) -> Tensor:
        return self.tensor[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tensor, name)


def _operator(name: str) -> Callable[[Jacobian, Any], Any]:
    def call(self: Jacobian, other: Any) -> Any:
        return getattr(self.tensor, name)(other.tensor if isinstance(other, Jacobian) else other)

    return call


for _name in (
    "add",
    "radd",
    "sub",
    "rsub",
    "mul",
    "rmul",
    "truediv",
    "rtruediv",
    "pow",
    "matmul",
    "eq",
    "ne",
):
    setattr(Jacobian, f"__{_name}__", _operator(f"__{_name}__"))


def _check(name: str, tensor: Tensor, batch_axis: int | None) -> torch.Tensor:
    most = 1 if batch_axis is None else 2
    if batch_axis not in (None, 0):
        raise ArgumentError(f"batch_axis must be None or 0, got {batch_axis}")
    if not isinstance(tensor, Tensor) or not most - 1 <= tensor.ndim <= most:
        found = f"shape {tensor.shape}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ArgumentError(
            f"{name} must have {most - 1} or {most} axes{' with batch_axis=0' if most == 2 else ''}; got {found}"
        )
    return tensor.data_


def jacobian(ys: Any, xs: Any, batch_axis: int | None = None) -> Any:
    """Derivatives of ``ys`` by ``xs``; of several, a tuple for each of ``ys`` with one for each of ``xs``.

    Args:
        ys, xs: tensors of up to one axis; with ``batch_axis=0`` of up to two, the batch first.

    Raises:
        ArgumentError: other axes.
    """
    if isinstance(ys, (list, tuple)):
        return tuple(jacobian(y, xs, batch_axis) for y in ys)
    if isinstance(xs, (list, tuple)):
        return tuple(jacobian(ys, x, batch_axis) for x in xs)
    y, x = _check("ys", ys, batch_axis), _check("xs", xs, batch_axis)
    return Jacobian(y, x, batch_axis is not None)


def hessian(ys: Any, xs: Any, batch_axis: int | None = None) -> Any:
    """Second derivatives of a single number (of one for each sample) by ``xs``; of several, of each by each.

    Raises:
        ArgumentError: ``ys`` is more than one number; other axes.
    """
    y = _check("ys", ys, batch_axis)
    single = y.numel() == (1 if batch_axis is None else y.shape[0])
    if not single:
        raise ArgumentError(
            f"hessian: ys must be one number (with batch_axis=0 one a sample), got shape {ys.shape}"
        )
    y = y.reshape(y.shape[:1] if batch_axis is not None else ())
    leaves = list(xs) if isinstance(xs, (list, tuple)) else [xs]
    plain = [_check("xs", x, batch_axis) for x in leaves]
    slopes = [Jacobian(y, x, batch_axis is not None).plain() for x in plain]
    made = tuple(tuple(Jacobian(slope, x, batch_axis is not None) for x in plain) for slope in slopes)
    return made if isinstance(xs, (list, tuple)) else made[0][0]
