"""A scale and a shift for each channel."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._window import ORDER
from freshpot.ops.normalization._channels import ByChannel, along_channels, reduced

_LEARNABLE = Arg("is_learnable", bool, False, "True: scale and bias get gradients too")


def _gradient(g: GradientMaker) -> list[Op]:
    if g.op.args.get("is_learnable"):
        inputs, outputs = [g.GO(0), g.I(1), g.I(0)], [g.GI(0), g.GI(1), g.GI(2)]
    else:
        inputs, outputs = [g.GO(0), g.I(1)], [g.GI(0)]
    return [g.new("AffineChannelGradient", inputs, outputs)]


class AffineChannel(ByChannel):
    """Y = scale * X + bias, one scale and bias a channel.

    Shapes:   X: (N, C, space) or (N, space, C); scale, bias: (C,) -> Y: as X
    Raises:   ShapeError if scale or bias has not C elements; ArityError in place where it is learnable.
    Source:   caffe2/operators/affine_channel_op.h
    """

    inputs = (Port("X", FLOAT), Port("scale", FLOAT), Port("bias", FLOAT))
    outputs = (Port("Y"),)
    args = (_LEARNABLE, ORDER)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_gradient)

    def setup(self) -> None:
        if self.is_learnable and self.op.inputs[0] == self.op.outputs[0]:
            self.refuse("with is_learnable it may not write over X: give Y another name.", ArityError)

    def check(self, X: Tensor, scale: Tensor, bias: Tensor) -> None:
        self.check_channels(self.channels(X), scale=scale, bias=bias)

    def kernel(self, X: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        X = self.channels_second(X)
        return self.in_order(torch.addcmul(along_channels(bias, X), X, along_channels(scale, X)))


class AffineChannelGradient(ByChannel):
    """Gradient of AffineChannel: dX, and dscale and dbias where it is learnable."""

    inputs = (Port("dY", FLOAT), Port("scale", FLOAT), Port("X", FLOAT, optional=True))
    outputs = (Port("dX"), Port("dscale", optional=True), Port("dbias", optional=True))
    args = (_LEARNABLE, ORDER)
    inplace = ((0, 0),)
    no_gradient = "it is itself a gradient"

    def setup(self) -> None:
        wanted = (3, 3) if self.is_learnable else (2, 1)
        if self.num_inputs < wanted[0] or self.num_outputs != wanted[1]:
            self.refuse(
                f"with is_learnable={int(self.is_learnable)} it takes {wanted[0]} inputs and makes {wanted[1]}"
                f" outputs; got {self.num_inputs} and {self.num_outputs}.",
                ArityError,
            )

    def check(self, dY: Tensor, scale: Tensor, X: Tensor | None = None) -> None:
        self.check_channels(self.channels(dY), scale=scale)
        if X is not None:
            self.check_alike(dY=dY, X=X)

    def kernel(self, dY: Tensor, scale: Tensor, X: Tensor | None = None) -> tuple[Tensor, ...]:
        dY = self.channels_second(dY)
        dX = self.in_order(dY * along_channels(scale, dY))
        if X is None or not self.is_learnable:
            return (dX,)
        return dX, (dY * self.channels_second(X)).sum(reduced(dY)), dY.sum(reduced(dY))
