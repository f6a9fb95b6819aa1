"""Convolution with the memory of images along the batch, by machine code (`freshpot.native.conv`).

Owned here: for which convolutions it can be done, and its passes over tensors. Who calls it: `conv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Parameter

from freshpot.native.machine import lanes
from freshpot.ops._memory import make
from freshpot.ops._operator import Call, call
from freshpot.ops._window import empty_batch_last, into_batch_last, is_batch_last
from freshpot.ops.convolution import _pieces

if TYPE_CHECKING:
    from freshpot.native.conv import Shape
    from freshpot.ops._window import Layout

#: images below which vectors would be all but empty
_FEWEST = 3
#: multiplications below which code is not worth making
_WORTH = 1_000_000
#: columns of a filter: each is a register of the weights' gradient
_WIDEST = 11
#: what may be computed on by address
_PLAIN = (Tensor, Parameter)


def shape_of(X: Tensor, W: Tensor, layout: Layout, strides: list[int]) -> Shape | None:
    """The sizes, if the convolution X (N, C, H, W) * W (K, C, R, S) can be done so, else None."""
    if (
        not lanes()
        or X.dim() != 4
        or X.shape[0] < _FEWEST
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
    Y = empty_batch_last(s.N, s.K, s.P, s.Q)
    make(_forward(s, X, W.contiguous(), None if b is None else b.contiguous(), Y))
    return Y


def forward_calls(s: Shape, X: Tensor, W: Tensor, b: Tensor | None, Y: Tensor) -> list[Call] | None:
    """The same as calls in memory."""
    if not (is_batch_last(Y) and W.is_contiguous() and (b is None or b.is_contiguous())):
        return None
    return _forward(s, X, W, b, Y)


def _forward(s: Shape, X: Tensor, W: Tensor, b: Tensor | None, Y: Tensor) -> list[Call]:
    from freshpot.native import conv

    bias = [] if b is None else [b]
    if _pieces.wanted(s.N):
        return _pieces.forward(s, X, W, bias, Y)
    X, made = _turned(X)
    return [*made, call(conv.forward(s, bool(bias)).bind(X, W, Y, *bias))]


def weights(s: Shape, X: Tensor, dY: Tensor, with_bias: bool) -> list[Tensor]:
    """dW and, if asked for, db."""
    dW = torch.empty((s.K, s.C, s.R, s.S))
    made = [dW, torch.empty(s.K)] if with_bias else [dW]
    make(weights_calls(s, X, dY, made) or ())
    return made


def data(s: Shape, W: Tensor, dY: Tensor) -> Tensor:
    """dX, for stride 1."""
    dX = empty_batch_last(s.N, s.C, s.H, s.W)
    make(data_calls(s, W.contiguous(), dY, dX) or ())
    return dX


def weights_calls(s: Shape, X: Tensor, dY: Tensor, dWb: Sequence[Tensor]) -> list[Call] | None:
    """`weights` as calls in memory, into dW (and db)."""
    from freshpot.native import conv

    if not all(t.is_contiguous() for t in dWb):
        return None
    padded, made = _frame(s), []
    if padded is not None:
        made = [call(_picture(s, padded).copy_, _reached(s, X))]
        X = padded
    if _pieces.wanted(s.N):
        return [*made, *_pieces.weights(_framed(s), X, dY, dWb)]
    X, turned = _turned(X)
    dY, more = _turned(dY)
    return [*made, *turned, *more, call(conv.weights(_framed(s), len(dWb) > 1).bind(X, dY, *dWb))]


def data_calls(s: Shape, W: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """`data` as calls in memory."""
    from freshpot.native import conv

    if not (W.is_contiguous() and is_batch_last(dX)):
        return None
    if _pieces.wanted(s.N):
        return _pieces.data(s, W, dY, dX)
    dY, turned = _turned(dY)
    return [*turned, call(conv.data(s).bind(dY, W, dX))]


def _turned(X: Tensor) -> tuple[Tensor, list[Call]]:
    """X along the batch: itself, or memory for it and the call that fills it."""
    if is_batch_last(X):
        return X, []
    memory = empty_batch_last(*X.shape)
    return memory, [call(into_batch_last(X, memory))]


# ---- padding: the weights' gradient wants it in memory --------------------------------------------


def _framed(s: Shape) -> Shape:
    """The sizes with the padding as part of the image, as far as windows reach."""
    if not any(s.pad):
        return s
    height, width = (
        (n - 1) * step + size for n, step, size in zip((s.P, s.Q), s.stride, (s.R, s.S), strict=True)
    )
    return replace(s, H=height, W=width, pad=(0, 0))


def _frame(s: Shape) -> Tensor | None:
    """Zeros of that size, along the batch; None where there is no padding."""
    if not any(s.pad):
        return None
    whole = _framed(s)
    return empty_batch_last(s.N, s.C, whole.H, whole.W).zero_()


def _reached(s: Shape, X: Tensor) -> Tensor:
    """The part of X that windows reach."""
    whole = _framed(s)
    return X[:, :, : whole.H - s.pad[0], : whole.W - s.pad[1]]


def _picture(s: Shape, frame: Tensor) -> Tensor:
    """The part of a frame where that lies."""
    top, left = s.pad
    return frame[:, :, top : top + s.H, left : left + s.W]
