"""Softmax and cross entropy in one step."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.dtypes import name_of
from freshpot.ops.loss.label_cross_entropy import SMALLEST


class SoftmaxWithLoss(Operator):
    """loss = scale * sum_i w_i * cross entropy(softmax(logits)_i, labels_i) / sum_i w_i.

    Without weights w_i = 1. The loss is 0 where the weights sum to 0.

    Shapes:   logits: N dimensions before ``axis``, D from there on; labels: N int32 classes, or with
              ``label_prob`` float probabilities like logits; weight: N -> softmax: as logits; loss: ()
    Raises:   ShapeError, DTypeError if labels or weights do not fit; KernelError for a label outside 0..D-1;
              ArgumentError for label probabilities that are negative or do not sum to 1.
    Source:   caffe2/operators/softmax_with_loss_op.cc
    """

    inputs = (Port("logits", FLOAT), Port("labels"), Port("weight", FLOAT, optional=True))
    outputs = (Port("softmax"), Port("loss"))
    args = (
        Arg("label_prob", int, 0, "1: labels are probabilities instead of classes"),
        Arg("axis", int, 1, "first dimension of the classes"),
        Arg("scale", float, 1.0, "factor on the loss"),
        Arg("average_by_batch_size", int, 0, "1: divide by N instead of by the sum of the weights"),
        Arg("order", str, "NCHW", "accepted and not used"),
    )

    def _rows(self, X: Tensor) -> tuple[int, int]:
        """N and D."""
        axis = self.axis + X.dim() if self.axis < 0 else self.axis
        return X.shape[:axis].numel(), X.shape[axis:].numel()

    def check(self, logits: Tensor, labels: Tensor, *rest: Tensor) -> None:
        N, D = self._rows(logits)
        wanted, dtype = (N * D, "float32") if self.label_prob else (N, "int32")
        if name_of(labels) != dtype:
            self.refuse(f"labels must be {dtype}, got {name_of(labels)}.", DTypeError)
        if labels.numel() != wanted:
            self.refuse(
                f"labels must have {wanted} elements for logits {tuple(logits.shape)}, got {labels.numel()}."
            )
        if len(self.op.inputs) in (3, 5) and rest[0].numel() != N:
            self.refuse(f"weight must have {N} elements, one a row, got {rest[0].numel()}.")

    def infer(self, logits: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        return torch.empty_like(logits), logits.new_empty(())

    def kernel(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        N, D = self._rows(logits)
        P = torch.softmax(logits.reshape(N, D), 1)
        if self.label_prob:
            target = labels.reshape(N, D)
            self._check_probabilities(target)
            losses = (P.clamp(min=SMALLEST).log_() * target).sum(1)
        else:
            losses = P.gather(1, labels.long().view(N, 1)).clamp_(min=SMALLEST).log_().view(N)
        if weight is not None:
            losses = losses * weight.reshape(N)
        return P.view(logits.shape), losses.sum() * self._factor(weight, N).neg_()

    def _check_probabilities(self, target: Tensor) -> None:
        if bool((target < 0).any()) or bool(((target.sum(1) - 1).abs() >= 1e-5).any()):
            self.refuse(
                "label probabilities must not be negative, and each row must sum to 1.", ArgumentError
            )

    def _factor(self, weight: Tensor | None, N: int) -> Tensor:
        """Scale over the number (or the weight) of rows, 0 if that is 0."""
        if weight is None or self.average_by_batch_size:
            return torch.tensor(self.scale / N if N else 0.0, device=self.device)
        total = weight.sum()
        return torch.where(total > 0, self.scale / total, 0.0)

    @gradient("logits labels weight softmax dloss -> dlogits", check=Operator.check)
    def backward(self, logits: Tensor, labels: Tensor, *rest: Tensor) -> Tensor:
        *weights, P, dloss = rest
        weight = weights[0] if weights else None
        N, D = self._rows(logits)
        if self.label_prob:
            target = labels.reshape(N, D)
            dX = P.reshape(N, D) * target.sum(1, keepdim=True) - target
        else:
            dX = P.reshape(N, D).clone()
            dX.scatter_add_(1, labels.long().view(N, 1), dX.new_full((N, 1), -1.0))
        if weight is not None:
            dX *= weight.reshape(N, 1)
        return dX.mul_(self._factor(weight, N) * dloss.reshape(())).view(logits.shape)
