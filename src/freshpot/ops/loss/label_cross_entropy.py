"""Cross entropy against a class label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, contiguous, full, make
from freshpot.ops._operator import Call, Operator, call, gradient

#: probabilities are kept at or above this, so that the logarithm is finite
SMALLEST = 1e-20


def _picking(rows: Tensor, label: Tensor) -> tuple[list[Call], Tensor, Any]:
    """Calls that take each row's probability at its label, kept from 0; where they put it, also as an array."""
    at, picked = label.new_empty((len(rows), 1), dtype=torch.int64), rows.new_empty((len(rows), 1))
    p = picked.numpy()
    return (
        [
            call(at.copy_, label.view(-1, 1)),
            call(torch.gather, rows, 1, at, out=picked),
            call(np.maximum, p, full(p, SMALLEST), out=p),
        ],
        picked,
        p,
    )


class LabelCrossEntropy(Operator):
    """Y[i] = -log(max(X[i, label[i]], 1e-20)).

    Shapes:   X: (N, D) probabilities; label: (N,) or (N, 1), classes from 0 to D - 1 -> Y: (N,)
    Raises:   ShapeError if label has another number of rows; KernelError for a label outside 0..D-1.
    Source:   caffe2/operators/cross_entropy_op.h
    """

    inputs = (Port("X", FLOAT), Port("label", INT))
    outputs = (Port("Y"),)

    def check(self, X: Tensor, label: Tensor, *_: Tensor) -> None:
        rows = X.shape[0] if X.dim() else 1
        if tuple(label.shape) not in ((rows,), (rows, 1)):
            self.refuse(
                f"label must have shape ({rows},), one class for each row of X, got {tuple(label.shape)}."
            )

    @staticmethod
    def rows(X: Tensor) -> Tensor:
        """X as a matrix, a row an example: also where there is no example."""
        return X.flatten(1) if X.dim() > 1 else X.reshape(X.shape[0] if X.dim() else 1, 1)

    def kernel(self, X: Tensor, label: Tensor) -> Tensor:
        rows = self.rows(X)
        if _small.unwatched() and _small.fits(rows):
            Y = rows.new_empty(len(rows))
            if made := _small.cross_entropy(rows, label, Y):
                make(made)
                return Y
        picked = rows.gather(1, label.long().view(-1, 1))
        return picked.clamp_(min=SMALLEST).log_().neg_().view(-1)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        X, label = inputs
        if not contiguous(X, label, *outputs):
            return None
        if found := _small.cross_entropy(self.rows(X), label, outputs[0]):
            return found
        made, picked, p = _picking(self.rows(X), label)
        small = arrays(picked, outputs[0])
        if small is None:
            return None
        y = small[1].reshape(p.shape)
        return [*made, call(np.log, p, p), call(np.negative, p, y)]

    def _gradient_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        X, label, dY = inputs
        if not contiguous(*inputs, *outputs):
            return None
        if found := _small.cross_entropy_gradient(self.rows(X), label, dY, self.rows(outputs[0])):
            return found
        made, picked, p = _picking(self.rows(X), label)
        small = arrays(picked, dY)
        if small is None:
            return None
        dX, dy = self.rows(outputs[0]), small[1].reshape(p.shape)
        at = made[1][1][2]
        return [
            *made,
            call(np.divide, dy, p, p),
            call(np.negative, p, p),
            call(dX.zero_),
            call(dX.scatter_, 1, at, picked),
        ]

    @gradient("X label dY -> dX", check=check, calls=_gradient_calls)
    def backward(self, X: Tensor, label: Tensor, dY: Tensor) -> Tensor:
        at = label.long().view(-1, 1)
        rows = self.rows(X)
        slope = dY.reshape(-1, 1) / rows.gather(1, at).clamp_(min=SMALLEST)
        return torch.zeros_like(rows).scatter_(1, at, slope.neg_()).view(X.shape)
