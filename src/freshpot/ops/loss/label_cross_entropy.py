"""Cross entropy against a class label."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Port
from freshpot.ops._operator import Operator, gradient

#: probabilities are kept at or above this, so that the logarithm is finite
SMALLEST = 1e-20


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
        picked = self.rows(X).gather(1, label.long().view(-1, 1))
        return picked.clamp_(min=SMALLEST).log_().neg_().view(-1)

    @gradient("X label dY -> dX", check=check)
    def backward(self, X: Tensor, label: Tensor, dY: Tensor) -> Tensor:
        at = label.long().view(-1, 1)
        rows = self.rows(X)
        slope = dY.reshape(-1, 1) / rows.gather(1, at).clamp_(min=SMALLEST)
        return torch.zeros_like(rows).scatter_(1, at, slope.neg_()).view(X.shape)
