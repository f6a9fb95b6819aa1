"""Cross entropies against probabilities and against sigmoids."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.loss.label_cross_entropy import SMALLEST


class CrossEntropy(Operator):
    """Y[i] = -sum_j label[i, j] * log(max(X[i, j], 1e-20)).

    Shapes:   X, label: (N, …) alike -> Y: (N,)
    Raises:   ShapeError if X and label differ.
    Source:   caffe2/operators/cross_entropy_op.h
    """

    inputs = (Port("X", FLOAT), Port("label", FLOAT))
    outputs = (Port("Y"),)

    def check(self, X: Tensor, label: Tensor) -> None:
        if X.shape != label.shape or not X.dim():
            self.refuse(f"X {tuple(X.shape)} and label {tuple(label.shape)} must have one shape (N, …).")

    def kernel(self, X: Tensor, label: Tensor) -> Tensor:
        terms = X.clamp(min=SMALLEST).log_().mul_(label)
        return -terms.reshape(X.shape[0], X.shape[1:].numel()).sum(1)

    @gradient("X label dY -> dX", check=Operator.check)
    def backward(self, X: Tensor, label: Tensor, dY: Tensor) -> Tensor:
        return -dY.reshape(-1, *(1,) * (X.dim() - 1)) * label / X.clamp(min=SMALLEST)


class _OfLogits(Operator, abstract=True):
    def check(self, logits: Tensor, *others: Tensor) -> None:
        if not logits.dim() or any(other.shape != logits.shape for other in others):
            found = ", ".join(str(tuple(t.shape)) for t in (logits, *others))
            self.refuse(f"all inputs must have one shape, with at least one dimension; got {found}.")

    def share(self, dY: Tensor, logits: Tensor) -> Tensor:
        """The gradient of each term of the mean."""
        return dY.unsqueeze(-1) / -max(logits.shape[-1], 1)


def _log_likelihood(x: Tensor, t: Tensor) -> Tensor:
    return x * t - torch.nn.functional.softplus(x)


class SigmoidCrossEntropyWithLogits(_OfLogits):
    """xentropy = -mean over the last dimension of t * log(s) + (1 - t) * log(1 - s), s = sigmoid(logits).

    Shapes:   logits, targets: alike -> xentropy: without the last dimension
    Raises:   ShapeError if they differ; ArgumentError if both variants are asked for.
    Source:   caffe2/operators/cross_entropy_op.cc
    """

    inputs = (Port("logits", FLOAT), Port("targets", FLOAT))
    outputs = (Port("xentropy"),)
    args = (
        Arg("log_D_trick", bool, False, "1: (2 t - 1) * log(s) instead"),
        Arg("unjoined_lr_loss", bool, False, "1: t * x + (1 - t) * log(1 - s) instead"),
    )

    def setup(self) -> None:
        if self.log_D_trick and self.unjoined_lr_loss:
            self.refuse("'log_D_trick' and 'unjoined_lr_loss' exclude each other.", ArgumentError)

    def kernel(self, logits: Tensor, targets: Tensor) -> Tensor:
        x, t = logits, targets
        if self.log_D_trick:
            terms = (2 * t - 1) * torch.nn.functional.logsigmoid(x)
        elif self.unjoined_lr_loss:
            terms = t * x - (1 - t) * torch.nn.functional.softplus(x)
        else:
            terms = _log_likelihood(x, t)
        return -terms.mean(-1)

    @gradient("dxentropy logits targets -> dlogits", check=Operator.check)
    def backward(self, dY: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        s, t = logits.sigmoid(), targets
        if self.log_D_trick:
            slope = (2 * t - 1) * (1 - s)
        elif self.unjoined_lr_loss:
            slope = t - (1 - t) * s
        else:
            slope = t - s
        return slope * self.share(dY, logits)


class WeightedSigmoidCrossEntropyWithLogits(_OfLogits):
    """xentropy = -mean over the last dimension of w * (t * log(s) + (1 - t) * log(1 - s)), s = sigmoid(logits).

    Shapes:   logits, targets, weights: alike -> xentropy: without the last dimension
    Raises:   ShapeError if they differ.
    Source:   caffe2/operators/cross_entropy_op.cc
    """

    inputs = (Port("logits", FLOAT), Port("targets", FLOAT), Port("weights", FLOAT))
    outputs = (Port("xentropy"),)

    def kernel(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return -(_log_likelihood(logits, targets) * weights).mean(-1)

    @gradient("dxentropy logits targets weights -> dlogits", check=Operator.check)
    def backward(self, dY: Tensor, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        return (targets - logits.sigmoid()) * weights * self.share(dY, logits)


class MakeTwoClass(Operator):
    """Y = the probabilities (1 - X, X) along a new last dimension.

    Shapes:   X: any -> Y: X's dimensions, then 2
    Source:   caffe2/operators/cross_entropy_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.stack((1 - X, X), -1)

    @gradient("dY -> dX", check=Operator.check)
    def backward(self, dY: Tensor) -> Tensor:
        return dY[..., 1] - dY[..., 0]
