"""Convolution with the memory of images along the batch, by machine code (`freshpot.native.conv`).

Owned here: for which convolutions it can be done, and its passes over tensors. Who calls it: `conv`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Parameter

from freshpot.native.machine import lanes
from freshpot.ops._window import batch_last, empty_batch_last

if TYPE_CHECKING:
    from freshpot.native.conv import Shape
    from freshpot.ops._window import Layout

#: multiplications below which code is not worth making
_WORTH = 1_000_000
#: columns of a filter: each is a register of the weights' gradient
_WIDEST = 11
#: what may be computed on by address
_PLAIN = (Tensor, Parameter)


def shape_of(X: Tensor, W: Tensor, layout: Layout, strides: list[int]) -> Shape | None:
    """The sizes, if the convolution X (N, C, H, W) * W (K, C, R, S) can be done so, else None."""
    width = lanes()
    if (
        not width
        or X.dim() != 4
        or X.shape[0] % width
        or not X.numel()
        or X.dtype is not torch.float32
        or not (X.is_cpu and W.is_cpu and type(X) in _PLAIN and type(W) in _PLAIN)
        or X.shape[1] != W.shape[1]  # groups
        or W.shape[3] > _WIDEST
        or min(layout.heads) < 0
    ):
        return None
    from freshpot.native.conv import Shape

    (N, C, H, width_), (K, _, R, S), (P, Q) = X.shape, W.shape, layout.outputs
    if N * C * K * R * S * P * Q < _WORTH:
        return None
    return Shape(N, C, H, width_, K, R, S, (strides[0], strides[1]), (layout.heads[0], layout.heads[1]), P, Q)


def forward(s: Shape, X: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """Y (N, K, P, Q)."""
    from freshpot.native import conv

    Y = empty_batch_last(s.N, s.K, s.P, s.Q)
    if b is None:
        conv.forward(s, False)(batch_last(X), W.contiguous(), Y)
    else:
        conv.forward(s, True)(batch_last(X), W.contiguous(), Y, b.contiguous())
    return Y


def backward(
    s: Shape, X: Tensor, W: Tensor, dY: Tensor, with_bias: bool, with_input: bool
) -> tuple[Tensor, ...]:
    """dW, db, dX, as far as they are asked for; dX needs stride 1."""
    from freshpot.native import conv

    dY = batch_last(dY)
    dW = torch.empty((s.K, s.C, s.R, s.S))
    padded, shape = _padded(s, batch_last(X))
    conv.weights(shape)(padded, dY, dW)
    made = [dW]
    if with_bias:
        made.append(dY.permute(1, 2, 3, 0).reshape(s.K, -1).sum(1))
    if with_input:
        dX = empty_batch_last(s.N, s.C, s.H, s.W)
        conv.data(s)(dY, W.contiguous(), dX)
        made.append(dX)
    return tuple(made)


def _padded(s: Shape, X: Tensor) -> tuple[Tensor, Shape]:
    """X with zeros around it as far as the windows reach, and its sizes."""
    from freshpot.native.conv import Shape

    if not any(s.pad):
        return X, s
    height, width = (
        (n - 1) * step + size for n, step, size in zip((s.P, s.Q), s.stride, (s.R, s.S), strict=True)
    )
    whole = torch.zeros((s.C, height, width, s.N)).permute(3, 0, 1, 2)
    top, left = s.pad
    rows, columns = min(s.H, height - top), min(s.W, width - left)
    whole[:, :, top : top + rows, left : left + columns] = X[:, :, :rows, :columns]
    return whole, Shape(s.N, s.C, height, width, s.K, s.R, s.S, s.stride, (0, 0), s.P, s.Q)
