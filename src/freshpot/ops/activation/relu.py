"""Rectifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, full
from freshpot.ops._operator import Call, Operator, call, gradient

_threshold_backward = torch.ops.aten.threshold_backward.grad_input


class Relu(Operator):
    """Y = max(X, 0), elementwise.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/relu_op.cc; caffe/layers/relu_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    inplace = ((0, 0),)

    def infer(self, X: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty(X.shape, dtype=X.dtype, device="meta"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.relu(X)

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return torch.relu_(X)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call]:
        if made := _small.relu(inputs[0], outputs[0]):
            return made
        if small := arrays(inputs[0], outputs[0]):
            x, y = small
            return [call(np.maximum, x, full(x, 0), out=y)]
        return [call(torch.clamp_min, inputs[0], 0, out=outputs[0])]

    def _gradient_calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call]:
        if made := _small.relu_gradient(inputs[0], inputs[1], outputs[0]):
            return made
        if small := arrays(*inputs, outputs[0]):
            y, dy, dx = small
            positive = np.empty_like(y, bool)
            return [
                call(np.greater, y, full(y, 0), positive),
                call(dx.fill, 0),
                call(np.copyto, dx, dy, where=positive),
            ]
        return [call(_threshold_backward, inputs[1], inputs[0], 0, grad_input=outputs[0])]

    @gradient("Y dY -> dX", inplace=((1, 0),), calls=_gradient_calls)
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.ops.aten.threshold_backward(dY, Y, 0)
