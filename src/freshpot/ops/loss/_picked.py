"""Softmax and cross entropy of small batches, by numpy on memory that is there: a few passes over few numbers.

Owned here: the arithmetic, in one order, for kernels and for calls in memory. Who calls it: `caffe_losses`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.ops._memory import arrays


class Rows:
    """Scores or probabilities (rows, classes), and a label for each row.

    Args:
        labels: float32, as many as rows.
        outside: called if a label is no class; it raises.
    """

    def __init__(self, labels: Any, shape: tuple[int, int], outside: Callable[[], Any]) -> None:
        self._labels, self._outside, (rows, self._classes) = labels, outside, shape
        self._starts = np.arange(rows) * self._classes
        self._numbers = np.empty(rows, np.int64)
        self._unsigned = self._numbers.view(np.uint64)
        self._picked = np.empty(rows, np.float32)

    def places(self) -> Any:
        """Where each row's label lies, counted over all numbers."""
        np.copyto(self._numbers, self._labels, casting="unsafe")
        if self._unsigned.max() >= self._classes:
            self._outside()
        return np.add(self._numbers, self._starts, self._numbers)

    def loss(self, p: Any, smallest: float, normalizer: float) -> Any:
        """The mean of -log(p) at the labels."""
        picked = p.take(self.places(), out=self._picked, mode="clip")
        np.maximum(picked, smallest, out=picked)
        np.log(picked, picked)
        return np.divide(-picked.sum(), np.float32(normalizer))

    def slope(self, p: Any, dloss: Any, normalizer: float, dx: Any) -> None:
        """dx = (p - 1 at the labels) * dloss / normalizer."""
        places = self.places()
        picked = p.take(places, out=self._picked, mode="clip")
        np.subtract(picked, np.float32(1), out=picked)
        np.copyto(dx, p)
        dx.put(places, picked, mode="clip")
        np.multiply(dx, dloss / np.float32(normalizer), dx)


def rows_of(X: Tensor, label: Tensor, axis: int, outside: Callable[[], Any]) -> Rows | None:
    """For scores X whose classes lie along the last axis; None where there are many, for PyTorch to do."""
    if axis % X.dim() != X.dim() - 1 or (found := arrays(X, label)) is None:
        return None
    labels, classes = found[1].reshape(-1), X.shape[-1]
    return Rows(labels, (X.numel() // classes, classes), outside)


def forward(
    rows: Rows, X: Tensor, P: Tensor, loss: Tensor, smallest: float, normalizer: float
) -> Callable[[], None]:
    """The call that fills P and the loss."""
    p, place = P.numpy().reshape(-1), loss.numpy()

    def run() -> None:
        torch.softmax(X, -1, out=P)
        place[...] = rows.loss(p, smallest, normalizer)

    return run


def backward(rows: Rows, P: Tensor, dloss: Tensor, dX: Tensor, normalizer: float) -> Callable[[], None]:
    """The call that fills dX."""
    p, dx, dl = P.numpy().reshape(-1), dX.numpy().reshape(-1), dloss.numpy().reshape(-1)

    def run() -> None:
        rows.slope(p, dl, normalizer, dx)

    return run
