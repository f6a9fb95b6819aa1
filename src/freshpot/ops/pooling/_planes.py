"""Max pooling over images as they come, in planes, by machine code (`freshpot.native.plane_pool`).

Owned here: for which poolings it can be done, and its passes over tensors, under the names that `_batch_last` has.
Who calls it: `max_pool`, `caffe_pool`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from freshpot.native.machine import lanes
from freshpot.ops._operator import Call, call

#: elements below which code is not worth making; rows of a window: each is done by lines of its own
_WORTH, _HIGHEST = 1 << 10, 4


@dataclass(frozen=True)
class Shape:
    """Windows of ``rows`` rows and two columns, side by side, over ``planes`` planes (H, W); (P, Q) windows."""

    planes: int
    H: int
    W: int
    P: int
    Q: int
    rows: int

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.planes, self.H, self.W, self.P, self.Q

    @property
    def covers(self) -> bool:
        """True if every pixel lies in a window."""
        return (self.P * self.rows, self.Q * 2) == (self.H, self.W)


def shape_of(X: Tensor, kernels: list[int], strides: list[int], outputs: tuple[int, ...]) -> Shape | None:
    """The sizes, if X (N, C, H, W) lies in planes and the windows are such, else None."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled():  # they want to see what is done
        return None
    if (
        not lanes()
        or not X.is_cpu
        or type(X) is not Tensor
        or X.numel() < _WORTH
        or X.dtype is not torch.float32
        or not X.is_contiguous()
        or kernels != strides
        or kernels[1] != 2
        or kernels[0] > _HIGHEST
    ):
        return None
    N, C, H, W = X.shape
    (P, Q), (R, S) = outputs, kernels
    return None if P * R > H or Q * S > W else Shape(N * C, H, W, P, Q, R)


def forward(s: Shape, X: Tensor) -> Tensor:
    """Y: the windows' maxima."""
    from freshpot.native import plane_pool

    Y = X.new_empty((*X.shape[:2], s.P, s.Q))
    plane_pool.forward(s.rows)(X, Y, numbers=s.numbers)
    return Y


def forward_calls(s: Shape, X: Tensor, Y: Tensor) -> list[Call] | None:
    """`forward` as calls in memory."""
    from freshpot.native import plane_pool

    return [call(plane_pool.forward(s.rows).bind(X, Y, numbers=s.numbers))] if Y.is_contiguous() else None


def backward(s: Shape, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
    """dX: each pixel gets dY of every window whose maximum it equals."""
    from freshpot.native import plane_pool

    dX = _memory(s, X)
    plane_pool.backward(s.rows)(X, Y.contiguous(), dY.contiguous(), dX, numbers=s.numbers)
    return dX


def backward_calls(s: Shape, X: Tensor, Y: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """`backward` as calls in memory."""
    from freshpot.native import plane_pool

    if not (Y.is_contiguous() and dX.is_contiguous()):
        return None
    made, dY = _before_backward(s, dY, dX)
    return [*made, call(plane_pool.backward(s.rows).bind(X, Y, dY, dX, numbers=s.numbers))]


def forward_with_index(s: Shape, X: Tensor, narrow: bool) -> tuple[Tensor, Tensor]:
    """Y, and where in the image (int64, row by row) the first maximum of each window lies: few are never narrow."""
    from freshpot.native import plane_pool

    Y = X.new_empty((*X.shape[:2], s.P, s.Q))
    index = torch.empty(Y.shape, dtype=torch.int64)
    plane_pool.forward_with_index(s.rows)(X, Y, index, numbers=s.numbers)
    return Y, index


def forward_with_index_calls(s: Shape, X: Tensor, Y: Tensor, index: Tensor) -> list[Call] | None:
    """`forward_with_index` as calls in memory."""
    from freshpot.native import plane_pool

    if not (Y.is_contiguous() and index.is_contiguous()):
        return None
    return [call(plane_pool.forward_with_index(s.rows).bind(X, Y, index, numbers=s.numbers))]


def backward_by_index(s: Shape, X: Tensor, index: Tensor, dY: Tensor) -> Tensor:
    """dX: the pixel that the index names gets its window's dY."""
    from freshpot.native import plane_pool

    dX, index = _memory(s, X), index.contiguous()
    plane_pool.backward_by_index(s.rows)(index, index, dY.contiguous(), dX, numbers=s.numbers)
    return dX


def backward_by_index_calls(s: Shape, index: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """`backward_by_index` as calls in memory."""
    from freshpot.native import plane_pool

    if not (index.is_contiguous() and dX.is_contiguous()):
        return None
    made, dY = _before_backward(s, dY, dX)
    code = plane_pool.backward_by_index(s.rows)
    return [*made, call(code.bind(index, index, dY, dX, numbers=s.numbers))]


def _memory(s: Shape, X: Tensor) -> Tensor:
    """For dX: zeros where no window lies."""
    return torch.empty(X.shape) if s.covers else torch.zeros(X.shape)


def _before_backward(s: Shape, dY: Tensor, dX: Tensor) -> tuple[list[Call], Tensor]:
    """Zeros where no window lies, and dY in planes."""
    made = [] if s.covers else [call(dX.zero_)]
    if dY.is_contiguous():
        return made, dY
    plain = torch.empty(dY.shape)
    return [*made, call(plain.copy_, dY)], plain
