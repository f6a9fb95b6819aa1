"""Products that keep the memory layout of images. Who calls it: the gradients of fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.ops._window import is_batch_last


def product_in_layout_of(X: Tensor, dY: Tensor, W: Tensor) -> Tensor:
    """dY (M, N) times W (N, K), in X's shape; along the images of the batch where X's memory runs so."""
    if is_batch_last(X) and X.shape[0] == dY.shape[0]:
        return torch.mm(W.t(), dY.t()).t().view(X.shape)
    return torch.mm(dY, W).view(X.shape)
