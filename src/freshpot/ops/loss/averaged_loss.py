"""Mean of all elements, the usual last step of a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, full, make, plain_arrays
from freshpot.ops._operator import Call, Operator, call, gradient


class AveragedLoss(Operator):
    """Y = mean of all elements of X; 0 if X has none.

    Shapes:   X: any -> Y: ()
    Source:   caffe2/operators/loss_op.h
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)

    def kernel(self, X: Tensor) -> Tensor:
        Y = X.new_zeros(())
        if plain_arrays(X):
            make(self.calls([X], [Y]))
            return Y
        return X.mean() if X.numel() else Y

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call]:
        if made := _small.mean(inputs[0], outputs[0]):
            return made
        if small := arrays(inputs[0], outputs[0]):
            x, y = small
            return [call(np.dot, x.ravel(), np.full(x.size, 1 / x.size, x.dtype), y)]
        return [call(torch.mean, inputs[0], list(range(inputs[0].dim())), out=outputs[0])]

    def _gradient_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if made := _small.mean_gradient(inputs[1], outputs[0]):
            return made
        if small := arrays(inputs[1], outputs[0]):
            dy, dx = small
            return [call(np.divide, dy.reshape(()), full(dx, dx.size), dx)]
        return None

    @gradient("X dY -> dX", calls=_gradient_calls)
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return (dY.reshape(()) / max(X.numel(), 1)).expand(X.shape).contiguous()
