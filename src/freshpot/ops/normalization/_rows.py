"""Batch normalisation by machine code (`freshpot.native.norm`), for images whose memory runs along the channels.

Owned here: for which images it can be done; statistics put together from those of parts, in double precision.
Who calls it: the batch normalisations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.native.machine import lanes

#: numbers from which on passes over memory are what a normalisation costs, and fewest rows of a part
_LARGE, _FEWEST = 1 << 16, 4


def fits(X: Tensor, *vectors: Tensor) -> bool:
    """True if it can be done and is worth it. ``vectors``: what must have one number a channel."""
    if X.dim() != 4 or X.numel() < _LARGE or not lanes() or X.shape[1] % lanes():
        return False
    if torch.compiler.is_compiling() or torch.is_grad_enabled():  # they want to see what is done
        return False
    if type(X) is not Tensor or not X.is_cpu or X.dtype is not torch.float32:
        return False
    if not X.is_contiguous(memory_format=torch.channels_last):
        return False
    if any(v.shape != X.shape[1:2] or v.dtype is not torch.float32 or not v.is_cpu for v in vectors):
        return False
    from freshpot.native import norm

    return norm.part(*_sizes(X)) >= _FEWEST


def _sizes(X: Tensor) -> tuple[int, int]:
    """Rows, and numbers in a row."""
    return X.numel() // X.shape[1], X.shape[1]


def _empty(X: Tensor) -> Tensor:
    return torch.empty_like(X, memory_format=torch.channels_last)


def moments(X: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of each channel, in double precision."""
    from freshpot.native import norm

    rows, C = _sizes(X)
    size = norm.part(rows, C)
    made = torch.empty(rows // size, 3, C)
    norm.moments(rows, C)(X, made, torch.tensor([1 / size]))
    near, off, squares = made.double().unbind(1)
    means = torch.add(near, off, alpha=1 / size)
    mean = means.sum(0).mul_(size / rows)
    apart = means.sub_(mean)
    spread = squares.addcmul_(off, off, value=-1 / size).addcmul_(apart, apart, value=size)
    return mean, spread.sum(0).mul_(1 / rows)


def applied(X: Tensor, mean: Tensor, factor: Tensor, addend: Tensor, relu: bool) -> Tensor:
    """(X - mean) * factor + addend, rectified if asked for."""
    from freshpot.native import norm

    Y = _empty(X)
    norm.apply(*_sizes(X), relu)(X, mean.contiguous(), factor.contiguous(), addend.contiguous(), Y)
    return Y


def gradients(
    X: Tensor, mean: Tensor, rstd: Tensor, scale: Tensor | None, dY: Tensor, Y: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """dX, dscale, dbias of ((X - mean) * rstd) * scale + bias with the batch's own mean and rstd.

    ``rstd`` may be in double precision; ``Y``: what came out of a rectifier behind it.
    """
    from freshpot.native import norm

    rows, C = _sizes(X)
    dY = dY.contiguous(memory_format=torch.channels_last)
    last = [] if Y is None else [Y.contiguous(memory_format=torch.channels_last)]
    parts = torch.empty(rows // norm.part(rows, C), 2, C)
    mean = mean.contiguous()
    norm.sums(rows, C, bool(last))(X, mean, dY, parts, *last)
    total, products = parts.sum(0, dtype=torch.float64)
    rstd = rstd.double()
    dscale = products * rstd
    factor = rstd if scale is None else rstd * scale
    level, slope = total / rows, dscale * rstd / rows
    dX = _empty(X)
    norm.gradient(rows, C, bool(last))(X, mean, dY, factor.float(), level.float(), slope.float(), dX, *last)
    return dX, dscale.float(), total.float()
