"""Divergence of two coins."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient

_LEAST = 1e-20


def _logit(p: Tensor) -> Tensor:
    return -torch.log(1 / p.clamp(_LEAST, 1.0) - 1)


def _entropy(p: Tensor) -> Tensor:
    inside = (p >= _LEAST) & (1 - p >= _LEAST)
    return torch.where(inside, -p * p.log() - (1 - p) * (1 - p).log(), 0.0)


class BernoulliJSD(Operator):
    """L = H((T + S) / 2) - (H(T) + H(S)) / 2, where H(p) = -p log p - (1 - p) log(1 - p).

    Shapes:   T, S: any, equally large -> L: as T
    Source:   caffe2/operators/jsd_op.h
    """

    inputs = (Port("T", FLOAT), Port("S", FLOAT))
    outputs = (Port("L"),)

    def check(self, *inputs: Tensor) -> None:
        if len({t.numel() for t in inputs}) > 1:
            self.refuse(
                f"the inputs must be equally large, got {', '.join(str(tuple(t.shape)) for t in inputs)}."
            )

    def kernel(self, T: Tensor, S: Tensor) -> Tensor:
        S = S.reshape(T.shape)
        return _entropy((T + S) / 2) - (_entropy(T) + _entropy(S)) / 2

    @gradient("dL T S -> dT")
    def backward(self, dL: Tensor, T: Tensor, S: Tensor) -> Tensor:
        return dL.reshape(T.shape) * (_logit(T) - _logit((T + S.reshape(T.shape)) / 2)) / 2
