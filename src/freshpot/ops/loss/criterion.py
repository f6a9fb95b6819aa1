"""Losses with a margin."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class MarginRankingCriterion(Operator):
    """loss = max(0, margin - Y * (X1 - X2)).

    Shapes:   X1, X2, Y: as many elements each -> loss: as X1
    Raises:   ShapeError if they differ in size.
    Source:   caffe2/operators/margin_ranking_criterion_op.h
    """

    inputs = (Port("X1", FLOAT), Port("X2", FLOAT), Port("Y", INT))
    outputs = (Port("loss"),)
    args = (Arg("margin", float, 1.0, "how far apart X1 and X2 must be"),)

    def check(self, X1: Tensor, X2: Tensor, Y: Tensor) -> None:
        if not X1.numel() == X2.numel() == Y.numel():
            self.refuse(
                f"inputs must be of one size, got {X1.numel()}, {X2.numel()} and {Y.numel()} elements."
            )

    def kernel(self, X1: Tensor, X2: Tensor, Y: Tensor) -> Tensor:
        return (self.margin - Y.reshape(X1.shape) * (X1 - X2.reshape(X1.shape))).clamp_(min=0)

    @gradient("X1 X2 Y dloss -> dX1 dX2", check=Operator.check)
    def backward(self, X1: Tensor, X2: Tensor, Y: Tensor, dloss: Tensor) -> tuple[Tensor, Tensor]:
        distance = Y.reshape(X1.shape) * (X1 - X2.reshape(X1.shape)) - self.margin
        dX1 = torch.where(distance >= 0, 0.0, -Y.reshape(X1.shape) * dloss.reshape(X1.shape))
        return dX1, -dX1.reshape(X2.shape)


class CosineEmbeddingCriterion(Operator):
    """loss = 1 - S where Y is 1, max(0, S - margin) elsewhere.

    Shapes:   S, Y: as many elements each -> loss: as S
    Raises:   ShapeError if they differ in size.
    Source:   caffe2/operators/cosine_embedding_criterion_op.h
    """

    inputs = (Port("S", FLOAT), Port("Y", INT))
    outputs = (Port("loss"),)
    args = (Arg("margin", float, 0.0, "similarity that is still free of loss"),)

    def check(self, S: Tensor, Y: Tensor) -> None:
        if S.numel() != Y.numel():
            self.refuse(f"S and Y must be of one size, got {S.numel()} and {Y.numel()} elements.")

    def kernel(self, S: Tensor, Y: Tensor) -> Tensor:
        return torch.where(Y.reshape(S.shape) == 1, 1 - S, (S - self.margin).clamp(min=0))

    @gradient("S Y dloss -> dS", check=Operator.check)
    def backward(self, S: Tensor, Y: Tensor, dloss: Tensor) -> Tensor:
        other = torch.where(S >= self.margin, dloss, 0.0)
        return torch.where(Y.reshape(S.shape) == 1, -dloss, other)
