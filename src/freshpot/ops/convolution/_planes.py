"""Convolution over few images as they come, in planes, by machine code (`freshpot.native.planes`).

Owned here: for which convolutions it is worth trying, and its passes over tensors. Who calls it: `conv`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from freshpot.native.machine import lanes
from freshpot.ops._operator import Call, call

if TYPE_CHECKING:
    from freshpot.native.planes import Shape
    from freshpot.ops._window import Layout

#: images from which on vectors along the batch are full enough
_MOST = 16
#: multiplications below which code is not worth making, and those of an image above which others do as well
_WORTH, _MOST_WORK = 1 << 18, 1 << 24
#: what may be computed on by address
_PLAIN = (Tensor, Parameter)


class Sizes(NamedTuple):
    """The convolution of images that have their padding in memory; padding; sizes of the images without it."""

    shape: Shape
    pad: tuple[int, int]
    height: int
    width: int

    @property
    def frame(self) -> Shape | None:
        """The convolution of dY in a frame of zeros that makes dX, where that can be done."""
        s = self.shape
        if s.stride != (1, 1) or self.pad[0] >= s.R or self.pad[1] >= s.S:
            return None
        height, width = self.height + s.R - 1, self.width + s.S - 1
        return replace(s, C=s.K, H=height, W=width, K=s.C, P=self.height, Q=self.width)


def sizes_of(X: Tensor, W: Tensor, layout: Layout, strides: list[int]) -> Sizes | None:
    """The sizes, if the convolution X (N, C, H, W) * W (K, C, R, S) can be done so, else None."""
    if (
        not lanes()
        or X.dim() != 4
        or not 0 < X.shape[0] < _MOST
        or not X.numel()
        or X.dtype is not torch.float32
        or not (X.is_cpu and W.is_cpu and type(X) in _PLAIN and type(W) in _PLAIN)
        or X.shape[1] != W.shape[1]  # groups
        or W.shape[3] > lanes()
        or min(layout.heads) < 0
    ):
        return None
    from freshpot.native.planes import Shape

    (N, C, H, width), (K, _, R, S), (P, Q) = X.shape, W.shape, layout.outputs
    work = C * K * R * S * P * Q
    if N * work < _WORTH or work > _MOST_WORK:
        return None
    pad = (layout.heads[0], layout.heads[1])
    across = (strides[0], strides[1])
    whole = (H, width) if not any(pad) else ((P - 1) * across[0] + R, (Q - 1) * across[1] + S)
    return Sizes(Shape(N, C, *whole, K, R, S, across, P, Q), pad, H, width)


# ---- kernels ------------------------------------------------------------------------------------------


def forward(s: Sizes, X: Tensor, W: Tensor, b: Tensor | None) -> Tensor:
    """Y (N, K, P, Q)."""
    n = s.shape
    Y = torch.empty(n.N, n.K, n.P, n.Q)
    _make(forward_calls(s, X.contiguous(), W.contiguous(), None if b is None else b.contiguous(), Y))
    return Y


def weights(s: Sizes, X: Tensor, dY: Tensor, with_bias: bool) -> list[Tensor]:
    """dW and, if asked for, db."""
    n = s.shape
    made = [torch.empty(n.K, n.C, n.R, n.S), *([torch.empty(n.K)] if with_bias else [])]
    _make(weights_calls(s, X, dY, made))
    return made


def data(s: Sizes, W: Tensor, dY: Tensor) -> Tensor:
    """dX, for stride 1."""
    dX = torch.empty(s.shape.N, s.shape.C, s.height, s.width)
    _make(data_calls(s, W.contiguous(), dY, dX))
    return dX


def _make(calls: list[Call] | None) -> None:
    for function, args, kwargs in calls or ():
        function(*args, **kwargs)


# ---- calls in memory ----------------------------------------------------------------------------------


def forward_calls(s: Sizes, X: Tensor, W: Tensor, b: Tensor | None, Y: Tensor) -> list[Call] | None:
    """`forward` as calls in memory."""
    from freshpot.native import planes

    bias = [] if b is None else [b]
    if not all(t.is_contiguous() for t in (W, Y, *bias)):
        return None
    X, made = _padded(s, X)
    return [*made, call(planes.forward(s.shape, bool(bias)).bind(X, W, Y, *bias))]


def weights_calls(s: Sizes, X: Tensor, dY: Tensor, dWb: Sequence[Tensor]) -> list[Call] | None:
    """`weights` as calls in memory, into dW (and db)."""
    from freshpot.native import planes

    if not all(t.is_contiguous() for t in dWb):
        return None
    X, made = _padded(s, X)
    dY, turned = _plain(dY)
    dW, *db = dWb
    room = torch.empty(planes.scratch(s.shape))
    return [*made, *turned, call(planes.weights(s.shape, bool(db)).bind(X, dY, dW, room, *db))]


def data_calls(s: Sizes, W: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """`data` as calls in memory."""
    from freshpot.native import planes

    n, frame = s.shape, s.frame
    if frame is None or not (W.is_contiguous() and dX.is_contiguous()):
        return None
    framed = torch.zeros(n.N, n.K, frame.H, frame.W)
    top, left = n.R - 1 - s.pad[0], n.S - 1 - s.pad[1]
    picture = framed[:, :, top : top + n.P, left : left + n.Q]
    return [call(picture.copy_, dY), call(planes.data(frame).bind(framed, W, dX))]


def _plain(X: Tensor) -> tuple[Tensor, list[Call]]:
    """X in planes: itself, or memory for it and the call that fills it."""
    if X.is_contiguous():
        return X, []
    memory = torch.empty(X.shape)
    return memory, [call(memory.copy_, X)]


def _padded(s: Sizes, X: Tensor) -> tuple[Tensor, list[Call]]:
    """The same, with padding, as far as windows reach."""
    if not any(s.pad):
        return _plain(X)
    n, (top, left) = s.shape, s.pad
    whole = torch.zeros(n.N, n.C, n.H, n.W)
    picture = whole[:, :, top : top + s.height, left : left + s.width]
    reached = X[:, :, : n.H - top, : n.W - left]
    return whole, [call(picture.copy_, reached)]
