"""Scale and bias as Caffe has them: a factor and an addend for some axes of a blob, broadcast over the others."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, as_first, gradient
from freshpot.ops._window import in_layout_of

#: elements a channel from which on the gradient is left to ATen's fused kernel
_FUSED = 64
_AXIS = Arg("axis", int, 1, "axis of X that the first axis of scale or bias goes with")


class _Along(Operator, abstract=True):
    args: tuple[Arg, ...] = (_AXIS,)

    def check_fits(self, X: Tensor, name: str, value: Tensor) -> None:
        """Refuse a value whose axes are not those of X from ``axis`` on."""
        wanted = X.shape[self.axis : self.axis + value.dim()]
        if value.shape != wanted:
            self.refuse(
                f"{name} {tuple(value.shape)} must have the sizes of X {tuple(X.shape)} from axis {self.axis} on, "
                f"which are {tuple(wanted)}."
            )

    def spread(self, value: Tensor, X: Tensor) -> Tensor:
        """The value with axes of size 1 added so that it broadcasts to X."""
        after = X.dim() - self.axis - value.dim() if value.dim() else 0
        return value.reshape((*value.shape, *(1,) * after))

    def gathered(self, dY: Tensor, value: Tensor) -> Tensor:
        """dY summed over the axes that ``value`` was broadcast over."""
        end = self.axis + value.dim() if value.dim() else 0
        others = [i for i in range(dY.dim()) if not (value.dim() and self.axis <= i < end)]
        return dY.sum(others) if others else dY.clone(memory_format=torch.contiguous_format)


def _scale_rule(g: GradientMaker) -> list[Op]:
    bias = [g.GI(2)] if len(g.op.inputs) == 3 else []
    args = {} if bias else {"no_bias": 1}
    return [g.new("CaffeScaleGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0), g.GI(1), *bias], args)]


class CaffeScale(_Along):
    """Y = X * scale (+ bias), both broadcast over the axes of X before and after their own.

    Shapes:   X: any; scale, bias: X's sizes from ``axis`` on, or () -> Y: as X
    Raises:   ShapeError if they are not.
    Source:   caffe/layers/scale_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("scale", FLOAT), Port("bias", FLOAT, optional=True))
    outputs = (Port("Y"),)
    args = (_AXIS, Arg("no_bias", int, 0, "of the gradient: there is no bias"))
    gradient_rule = staticmethod(_scale_rule)
    infer = as_first

    def check(self, X: Tensor, scale: Tensor, bias: Tensor | None = None) -> None:
        self.check_fits(X, "scale", scale)
        if bias is not None:
            self.check_fits(X, "bias", bias)

    def kernel(self, X: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
        if bias is None:
            return X * self.spread(scale, X)
        return torch.addcmul(self.spread(bias, X), X, self.spread(scale, X))


class CaffeScaleGradient(_Along):
    """Gradient of CaffeScale: dX, dscale, dbias (unless no_bias). Source: caffe/layers/scale_layer.cpp"""

    inputs = (Port("X", FLOAT), Port("scale", FLOAT), Port("dY", FLOAT))
    outputs = (Port("dX"), Port("dscale", optional=True), Port("dbias", optional=True))
    args = CaffeScale.args
    inplace = ((2, 0),)
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, scale: Tensor, dY: Tensor) -> None:
        self.check_fits(X, "scale", scale)
        if dY.shape != X.shape:
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, scale: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        if self.num_outputs > 1 and self._by_channel(X, scale):
            return _fused_gradient(X, scale, dY)[: self.num_outputs]
        made: tuple[Tensor, ...] = (dY * self.spread(scale, X),)
        if self.num_outputs > 1:
            made += (self.gathered(dY * X, scale),)
        if self.num_outputs > 2:
            made += (self.gathered(dY, scale),)
        return made

    def _by_channel(self, X: Tensor, scale: Tensor) -> bool:
        """True for many pixels a channel: what batch normalisation's kernels do in one pass."""
        return (
            self.axis == 1
            and scale.dim() == 1
            and X.dim() > 2
            and X.numel() >= _FUSED * scale.numel() > 0
            and not X.is_meta
        )


def _fused_gradient(X: Tensor, scale: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
    """dX, dscale, dbias as those of a batch normalisation with mean 0 and variance 1."""
    zero, one = torch.zeros_like(scale), torch.ones_like(scale)
    return torch.ops.aten.native_batch_norm_backward(
        in_layout_of(X, dY), X, scale, zero, one, None, None, False, 0.0, [True, True, True]
    )


class Bias(_Along):
    """Y = X + bias, broadcast over the axes of X before and after its own.

    Shapes:   X: any; bias: X's sizes from ``axis`` on, or () -> Y: as X
    Raises:   ShapeError if it is not.
    Source:   caffe/layers/bias_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("bias", FLOAT))
    outputs = (Port("Y"),)
    inplace = ((0, 0),)
    infer = as_first

    def check(self, X: Tensor, bias: Tensor, *_: Tensor) -> None:
        self.check_fits(X, "bias", bias)

    def kernel(self, X: Tensor, bias: Tensor) -> Tensor:
        return X + self.spread(bias, X)

    @gradient("bias dY -> dbias dX", inplace=((1, 1),), check=Operator.check)
    def backward(self, bias: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        dbias = self.gathered(dY, bias)
        return (dbias,) if self.num_outputs < 2 else (dbias, dY.clone())
