"""Instance normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import gradient
from freshpot.ops._window import ORDER
from freshpot.ops.normalization._channels import ByChannel

_ATEN = torch.ops.aten


class InstanceNorm(ByChannel):
    """Y = scale * (X - mean) * inv_std + bias, mean and deviation of each channel of each image.

    Shapes:   X: (N, C, space) or (N, space, C); scale, bias: (C,) -> Y: as X;
              mean, inv_std = 1 / sqrt(variance + epsilon): (N, C)
    Raises:   ShapeError if they do not fit.
    Source:   caffe2/operators/instance_norm_op.cc; Ulyanov et al., 2016
    """

    inputs = (Port("X", FLOAT), Port("scale", FLOAT), Port("bias", FLOAT))
    outputs = (Port("Y"), Port("mean", optional=True), Port("inv_std", optional=True))
    args = (Arg("epsilon", float, 1e-5, "added to the variance"), ORDER)
    inplace = ((0, 0),)

    def check(self, X: Tensor, scale: Tensor, bias: Tensor) -> None:
        self.check_channels(self.channels(X), scale=scale, bias=bias)
        if X.dim() < 3:
            self.refuse(f"X must have batch, channels and space; got {tuple(X.shape)}.")

    def check_gradient(self, X: Tensor, scale: Tensor, bias: Tensor, dY: Tensor, *stats: Tensor) -> None:
        """Of the gradient operator."""
        InstanceNorm.check(self, X, scale, bias)
        self.check_alike(X=X, dY=dY)

    def _normalise(self, X: Tensor, scale: Tensor | None, bias: Tensor | None) -> tuple[Tensor, ...]:
        N, C = X.shape[:2]
        return _ATEN.native_group_norm(X, scale, bias, N, C, X.shape[2:].numel(), C, self.epsilon)

    def kernel(self, X: Tensor, scale: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
        Y, mean, inv_std = self._normalise(self.channels_second(X).contiguous(), scale, bias)
        return self.in_order(Y), mean, inv_std

    @gradient("X scale bias dY mean inv_std -> dX dscale dbias", check=check_gradient)
    def backward(
        self, X: Tensor, scale: Tensor, bias: Tensor, dY: Tensor, *stats: Tensor
    ) -> tuple[Tensor, ...]:
        X, dY = self.channels_second(X).contiguous(), self.channels_second(dY).contiguous()
        mean, inv_std = stats if len(stats) == 2 else self._normalise(X, None, None)[1:]
        N, C = X.shape[:2]
        dX, dscale, dbias = _ATEN.native_group_norm_backward(
            dY, X, mean, inv_std, scale, N, C, X.shape[2:].numel(), C, [True, True, True]
        )
        return self.in_order(dX), dscale, dbias
