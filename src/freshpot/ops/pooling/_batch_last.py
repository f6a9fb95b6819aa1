"""Max pooling with the memory of images along the batch, by machine code (`freshpot.native.pool`).

Owned here: for which poolings it can be done, and its passes over tensors. Who calls it: `max_pool`, `caffe_pool`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from freshpot.native.machine import lanes
from freshpot.ops._operator import Call, call
from freshpot.ops._window import batch_last, empty_batch_last, is_batch_last

if TYPE_CHECKING:
    from freshpot.native.pool import Shape

#: pixels of a window: each is a register
_LARGEST = 16


def shape_of(X: Tensor, kernels: list[int], strides: list[int], outputs: tuple[int, ...]) -> Shape | None:
    """The sizes, if X (N, C, H, W) lies so and the windows lie on the image, else None."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled():  # they want to see what is done
        return None
    if (
        not lanes()
        or not X.is_cpu
        or type(X) is not Tensor
        or not is_batch_last(X)
        or X.dtype is not torch.float32
        or kernels[0] * kernels[1] > _LARGEST
    ):
        return None
    N, C, H, W = X.shape
    if any((n - 1) * s + k > size for n, s, k, size in zip(outputs, strides, kernels, (H, W), strict=True)):
        return None
    from freshpot.native.pool import Shape

    return Shape(N, C, H, W, kernels[0], kernels[1], (strides[0], strides[1]), outputs[0], outputs[1])


def forward(s: Shape, X: Tensor) -> Tensor:
    """Y: the windows' maxima."""
    from freshpot.native import pool

    Y = empty_batch_last(s.N, s.C, s.P, s.Q)
    pool.forward(s)(X, Y)
    return Y


def backward(s: Shape, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
    """dX: each pixel gets dY of every window whose maximum it equals."""
    from freshpot.native import pool

    dX = empty_batch_last(s.N, s.C, s.H, s.W)
    if not s.covers:
        dX.zero_()
    pool.backward(s)(X, batch_last(Y), batch_last(dY), dX)
    return dX


def forward_calls(s: Shape, X: Tensor, Y: Tensor) -> list[Call] | None:
    """`forward` as calls in memory."""
    from freshpot.native import pool

    return [call(pool.forward(s).bind(X, Y))] if is_batch_last(Y) else None


def backward_calls(s: Shape, X: Tensor, Y: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """`backward` as calls in memory."""
    from freshpot.native import pool

    if not (is_batch_last(Y) and is_batch_last(dX)):
        return None
    made, dY = _before_backward(s, dY, dX)
    return [*made, call(pool.backward(s).bind(X, Y, dY, dX))]


def forward_with_index(s: Shape, X: Tensor, narrow: bool) -> tuple[Tensor, Tensor]:
    """Y, and where in the image (int64, row by row) the first maximum of each window lies; or, if the index is to be
    narrow, in the window (uint8)."""
    from freshpot.native import pool

    Y = empty_batch_last(s.N, s.C, s.P, s.Q)
    index = empty_batch_last(s.N, s.C, s.P, s.Q, torch.uint8 if narrow else torch.int64)
    pool.forward_with_index(s, narrow)(X, Y, index)
    return Y, index


def backward_by_index(s: Shape, X: Tensor, index: Tensor, dY: Tensor) -> Tensor:
    """dX: the pixel that the index names gets its window's dY."""
    from freshpot.native import pool

    dX = empty_batch_last(s.N, s.C, s.H, s.W)
    if not s.covers:
        dX.zero_()
    index = batch_last(index)
    pool.backward_by_index(s, index.dtype is torch.uint8)(index, index, batch_last(dY), dX)
    return dX


def forward_with_index_calls(s: Shape, X: Tensor, Y: Tensor, index: Tensor) -> list[Call] | None:
    """`forward_with_index` as calls in memory."""
    from freshpot.native import pool

    if not (is_batch_last(Y) and is_batch_last(index)):
        return None
    return [call(pool.forward_with_index(s, index.dtype is torch.uint8).bind(X, Y, index))]


def backward_by_index_calls(s: Shape, index: Tensor, dY: Tensor, dX: Tensor) -> list[Call] | None:
    """`backward_by_index` as calls in memory."""
    from freshpot.native import pool

    if not (is_batch_last(index) and is_batch_last(dX)):
        return None
    made, dY = _before_backward(s, dY, dX)
    code = pool.backward_by_index(s, index.dtype is torch.uint8)
    return [*made, call(code.bind(index, index, dY, dX))]


def _before_backward(s: Shape, dY: Tensor, dX: Tensor) -> tuple[list[Call], Tensor]:
    """Zeros where no window lies, and dY along the batch."""
    made = [] if s.covers else [call(dX.zero_)]
    if is_batch_last(dY):
        return made, dY
    turned = empty_batch_last(*dY.shape)
    return [*made, call(turned.copy_, dY)], turned
