"""Products that keep the memory layout of images. Who calls it: fully connected layers and their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.ops._operator import Call, call
from freshpot.ops._window import empty_batch_last, is_batch_last


def product_in_layout_of(X: Tensor, dY: Tensor, W: Tensor) -> Tensor:
    """dY (M, N) times W (N, K), in X's shape; along the images of the batch where X's memory runs so."""
    if is_batch_last(X) and X.shape[0] == dY.shape[0]:
        dX = empty_batch_last(*X.shape)
        torch.mm(W.t(), dY.t(), out=dX.view(len(dY), -1).t())
        return dX
    return torch.mm(dY, W).view(X.shape)


def matrices_of(images: Sequence[Tensor], rows: int) -> list[Tensor] | None:
    """All as matrices over the same memory, contiguous or along the batch; None where one is neither."""
    if all(X.is_contiguous() or (is_batch_last(X) and X.shape[0] == rows) for X in images):
        return [X.view(rows, -1) for X in images]
    return None


def product_call(dY: Tensor, W: Tensor, dX: Tensor) -> Call:
    """dY W into a matrix of such memory."""
    if dX.is_contiguous():
        return call(torch.mm, dY, W, out=dX)
    return call(torch.mm, W.t(), dY.t(), out=dX.t())
