"""Measures of predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Port
from freshpot.ops._operator import Operator


class MultiClassAccuracy(Operator):
    """For each class: the share of its rows that are predicted right (0 if it has none), and its rows.

    Shapes:   prediction: (N, D); labels: (N,) -> accuracies: (D,); amounts: (D,) int32
    Source:   caffe2/operators/multi_class_accuracy_op.cc
    """

    inputs = (Port("prediction", FLOAT, "N D"), Port("labels", INT, "N"))
    outputs = (Port("accuracies"), Port("amounts"))

    def kernel(self, prediction: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        at = labels.long()
        right = (prediction.argmax(1) == at).float()
        sums = prediction.new_zeros(prediction.shape[1])
        amounts = sums.index_add(0, at, torch.ones_like(right))
        return sums.index_add(0, at, right) / amounts.clamp(min=1), amounts.int()


class Perplexity(Operator):
    """output = product of probabilities^(-1 / N).

    Shapes:   probabilities: (N,) -> output: ()
    Source:   caffe2/operators/perplexity_op.cc
    """

    inputs = (Port("probabilities", FLOAT, "N"),)
    outputs = (Port("output"),)

    def kernel(self, probabilities: Tensor) -> Tensor:
        return probabilities.pow(-1.0 / max(probabilities.numel(), 1)).prod()
