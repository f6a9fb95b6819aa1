"""Convolution with a rectifier behind it."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.ops.convolution.conv import Convolution


class ConvRelu(Convolution):
    """Y = max(Conv(X, W, b), 0): Conv and Relu in one operator, for inference.

    Shapes:   as Conv
    Raises:   as Conv
    Source:   caffe2/operators/conv_relu_op.cc
    """

    gradient_rule = None
    no_gradient = "it is for inference: train with Conv and Relu"

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        return torch.relu_(super().kernel(X, W, b))
