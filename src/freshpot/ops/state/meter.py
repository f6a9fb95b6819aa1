"""How good predictions were over the last rows."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator


class APMeter(Operator):
    """AP = average precision of each class over the last ``buffer_size`` rows of all runs.

    Shapes:   predictions: (N, D); labels: (N, D) int32, 0 or 1 -> AP: (D,)
    Raises:   ArgumentError if ``buffer_size`` is not positive; ShapeError if D changes between runs.
    Source:   caffe2/operators/apmeter_op.cc
    """

    inputs = (Port("predictions", FLOAT, "N D"), Port("labels", INT, "N D"))
    outputs = (Port("AP"),)
    args = (Arg("buffer_size", int, 1000, "rows to remember"),)
    remembers = True
    no_gradient = "it only measures"

    def setup(self) -> None:
        if self.buffer_size < 1:
            self.refuse(f"argument 'buffer_size' must be positive, got {self.buffer_size}.", ArgumentError)
        self._rows: tuple[Tensor, Tensor] | None = None

    def infer(self, X: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        return (X.new_empty(X.shape[1]),)

    def kernel(self, X: Tensor, labels: Tensor) -> Tensor:
        if self._rows is None:
            self._rows = X[:0].clone(), labels[:0].clone()
        if self._rows[0].shape[1] != X.shape[1]:
            self.refuse(f"there were {self._rows[0].shape[1]} classes before, now there are {X.shape[1]}.")
        # the original sorts what it remembers, class by class, so what is dropped next are the best
        new = X[-self.buffer_size :], labels[-self.buffer_size :]
        old = max(0, len(self._rows[0]) + len(new[0]) - self.buffer_size)
        scores, truth = (torch.cat([kept[old:], added]) for kept, added in zip(self._rows, new, strict=True))
        order = scores.argsort(dim=0, descending=True, stable=True)
        scores, truth = scores.gather(0, order), truth.gather(0, order)
        self._rows = scores, truth
        right = truth == 1
        rank = torch.arange(1, len(truth) + 1, device=X.device)[:, None]
        precision = truth.cumsum(0).float() / rank
        return (precision * right).sum(0) / right.sum(0).clamp(min=1)
