"""The loss of box regression: squares near zero, lengths beyond."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class CaffeSmoothL1Loss(Operator):
    """loss = sum of outside * f(inside * (A - B)) / normalizer, f(d) = (sigma d)^2 / 2 where |d| < 1 / sigma^2,
    else |d| - 1 / (2 sigma^2).

    Shapes:   A, B, inside, outside: (N, C, …), equally many -> loss: (); rows: (N, 1, …), the sum over C
    Raises:   ShapeError if they differ; ArgumentError unless sigma and normalizer are greater than 0.
    Source:   Girshick, Fast R-CNN, 2015, with sigma and weights as py-faster-rcnn's branch of Caffe has them
    """

    inputs = (
        Port("A", FLOAT),
        Port("B", FLOAT),
        Port("inside", FLOAT, optional=True),
        Port("outside", FLOAT, optional=True),
    )
    outputs = (Port("loss"), Port("rows", optional=True))
    args = (
        Arg("sigma", float, 1.0, "the steeper, the sooner lengths count"),
        Arg("normalizer", float, 0.0, "what the sum is divided by; 0: N"),
    )

    def setup(self) -> None:
        if self.sigma <= 0 or self.normalizer < 0:
            self.refuse(
                f"sigma must be greater than 0 and normalizer not less than 0, got {self.sigma}, {self.normalizer}.",
                ArgumentError,
            )
        self._square = self.sigma * self.sigma

    def check(self, A: Tensor, B: Tensor, *weights: Tensor) -> None:
        for name, other in zip(("B", "inside", "outside"), (B, *weights), strict=False):
            if other.numel() != A.numel() or other.shape[:1] != A.shape[:1]:
                self.refuse(
                    f"{name} {tuple(other.shape)} must be as many and as A {tuple(A.shape)} in the first dimension."
                )

    def _scale(self, A: Tensor) -> float:
        return self.normalizer or float(max(len(A), 1))

    def _distance(self, A: Tensor, B: Tensor, inside: Tensor | None) -> Tensor:
        distance = A - B.reshape(A.shape)
        return distance if inside is None else distance.mul_(inside.reshape(A.shape))

    def kernel(
        self, A: Tensor, B: Tensor, inside: Tensor | None = None, outside: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        distance = self._distance(A, B, inside)
        length = distance.abs()
        errors = torch.where(
            length < 1 / self._square,
            distance.square_().mul_(0.5 * self._square),
            length - 0.5 / self._square,
        )
        if outside is not None:
            errors = errors * outside.reshape(A.shape)
        rows = errors.sum(1, keepdim=True) if errors.dim() > 1 else errors.clone()
        return errors.sum() / self._scale(A), rows

    @gradient("A B dloss inside outside -> dA dB")
    def backward(
        self, A: Tensor, B: Tensor, dloss: Tensor, inside: Tensor | None = None, outside: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        distance = self._distance(A, B, inside)
        dA = torch.where(distance.abs() < 1 / self._square, self._square * distance, distance.sign())
        for weight in (inside, outside):
            if weight is not None:
                dA *= weight.reshape(A.shape)
        dA *= dloss / self._scale(A)
        return dA, -dA.reshape(B.shape)
