"""Share of right predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator


class Accuracy(Operator):
    """Share of rows whose label is among the ``top_k`` largest predictions (of equal ones, the first).

    Shapes:   predictions: (N, D); labels: (N,) classes -> accuracy: ()
    Raises:   ArgumentError if top_k is not positive.
    Differs:  a row of NaNs counts as class 0 here (with top_k = 1), as any class there.
    Source:   caffe2/operators/accuracy_op.cc
    """

    inputs = (Port("predictions", FLOAT, "N D"), Port("labels", INT, "N"))
    outputs = (Port("accuracy"),)
    args = (Arg("top_k", int, 1, "how many of the largest predictions count"),)

    def setup(self) -> None:
        if self.top_k < 1:
            self.refuse(f"argument 'top_k' must be positive, got {self.top_k}.", ArgumentError)

    def kernel(self, predictions: Tensor, labels: Tensor) -> Tensor:
        if self.top_k == 1:
            return (predictions.argmax(1) == labels).float().mean()
        at = labels.long().unsqueeze(1)
        own = predictions.gather(1, at)
        earlier = torch.arange(predictions.shape[1], device=predictions.device) < at
        ahead = (predictions > own) | ((predictions == own) & earlier)
        return (ahead.sum(1) < self.top_k).float().mean()
