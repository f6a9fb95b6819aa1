"""Activations that are linear on one side, and their smooth relatives with parameters."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, as_first, gradient
from freshpot.ops._window import in_layout_of


class _Activation(Operator, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    inplace: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    infer = as_first


class LeakyRelu(_Activation):
    """Y = X where X >= 0, else alpha * X.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/leaky_relu_op.h
    """

    args = (Arg("alpha", float, 0.01, "slope of the negative side"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu(X, self.alpha)

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return torch.nn.functional.leaky_relu_(X, self.alpha)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where(Y < 0, dY * self.alpha, dY)


class Elu(_Activation):
    """Y = X where X > 0, else alpha * (exp(X) - 1).

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/elu_op.h
    """

    args = (Arg("alpha", float, 1.0, "what Y tends to (negated) for small X"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.nn.functional.elu(X, self.alpha)

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return torch.nn.functional.elu_(X, self.alpha)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where(Y > 0, dY, dY * (Y + self.alpha))


class Selu(_Activation):
    """Y = scale * X where X > 0, else scale * alpha * (exp(X) - 1).

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/selu_op.h; Klambauer et al. 2017
    """

    args = (
        Arg("alpha", float, 1.673263192176818848, "what Y / scale tends to (negated) for small X"),
        Arg("scale", float, 1.0507010221481323242, "slope of the positive side"),
    )

    def kernel(self, X: Tensor) -> Tensor:
        return torch.where(X > 0, X, torch.expm1(X) * self.alpha) * self.scale

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where(Y > 0, dY * self.scale, dY * (Y + self.scale * self.alpha))


#: the least positive float32
_LEAST = 2.0**-149


class PRelu(_Activation):
    """Y = X where X > 0, else Slope * X, with a slope for each channel or one for all.

    Shapes:   X: any, with channels in dimension 1 (order NCHW) or the last (NHWC); Slope: (C,) or (1,) -> Y: as X
    Raises:   ShapeError if Slope has neither 1 nor C elements; ArgumentError for another order.
    Source:   caffe2/operators/prelu_op.cc
    """

    inputs = (Port("X", FLOAT), Port("Slope", FLOAT))
    args = (Arg("order", str, "NCHW", "where the channels are", choices=("NCHW", "NHWC")),)

    def _slope(self, X: Tensor, Slope: Tensor) -> Tensor:
        """Slope in a shape that broadcasts to X."""
        if Slope.numel() == 1:
            return Slope.reshape(())
        behind = X.dim() - 2 if self.order == "NCHW" else 0
        return Slope.reshape(-1, *(1,) * behind)

    def check(self, X: Tensor, Slope: Tensor, *_: Tensor) -> None:
        if Slope.numel() == 1:
            return
        channels = X.shape[1 if self.order == "NCHW" else -1] if X.dim() > 1 else None
        if Slope.numel() != channels:
            self.refuse(
                f"Slope must have 1 or {channels} elements for X {tuple(X.shape)}, got {Slope.numel()}."
            )

    def kernel(self, X: Tensor, Slope: Tensor) -> Tensor:
        return torch.ops.aten._prelu_kernel(X, self._slope(X, Slope))

    @gradient("Y dY X Slope -> dX dSlope", check=Operator.check)
    def backward(self, Y: Tensor, dY: Tensor, X: Tensor, Slope: Tensor) -> tuple[Tensor, Tensor]:
        slope = self._slope(X, Slope)
        dY = in_layout_of(X, dY)
        # dY where X > 0, and where X <= 0: without branches, which cost more than all the rest
        above = torch.ops.aten.threshold_backward(dY, X, 0.0)
        below = torch.ops.aten.threshold_backward(dY, -X, -_LEAST)
        dSlope = (below * X).sum_to_size(slope.shape)
        return torch.addcmul(above, below, slope), dSlope.reshape(Slope.shape).clone()


class ReluN(_Activation):
    """Y = min(max(X, 0), n).

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError if n is not positive.
    Source:   caffe2/operators/relu_n_op.h
    """

    args = (Arg("n", float, 6.0, "largest value"),)

    def setup(self) -> None:
        if not self.n > 0:
            self.refuse(f"argument 'n' must be positive, got {self.n}.", ArgumentError)

    def kernel(self, X: Tensor) -> Tensor:
        return X.clamp(0, self.n)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where((Y > 0) & (Y < self.n), dY, 0.0)


class ThresholdedRelu(_Activation):
    """Y = X where X > alpha, else 0.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/thresholded_relu_op.h
    """

    args = (Arg("alpha", float, 1.0, "the threshold"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.where(X > self.alpha, X, 0.0)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where(Y > 0, dY, 0.0)


class HardSigmoid(_Activation):
    """Y = alpha * X + beta, kept between 0 and 1.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/hard_sigmoid_op.cc
    """

    args = (Arg("alpha", float, 0.2, "slope"), Arg("beta", float, 0.5, "value at 0"))

    def kernel(self, X: Tensor) -> Tensor:
        return (X * self.alpha + self.beta).clamp_(0, 1)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where((Y > 0) & (Y < 1), dY * self.alpha, 0.0)


class Clip(_Activation):
    """Y = X, kept between min and max.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/clip_op.h
    """

    args = (
        Arg("min", float, torch.finfo(torch.float32).min, "smallest value"),
        Arg("max", float, torch.finfo(torch.float32).max, "largest value"),
    )

    def kernel(self, X: Tensor) -> Tensor:
        return X.clamp(self.min, self.max)

    def kernel_inplace(self, X: Tensor) -> Tensor:
        return X.clamp_(self.min, self.max)

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return torch.where((Y > self.min) & (Y < self.max), dY, 0.0)


class Logit(_Activation):
    """Y = log(X / (1 - X)), with X kept between eps and 1 - eps.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/logit_op.h
    """

    args = (Arg("eps", float, 1e-6, "distance kept from 0 and 1"),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.clamp(self.eps, 1 - self.eps).logit_()

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        inside = (X >= self.eps) & (X <= 1 - self.eps)
        return torch.where(inside, dY / (X * (1 - X)), 0.0)


class Gelu(_Activation):
    """Y = X * Phi(X), with the normal distribution function Phi (or its tanh approximation).

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/gelu_op.cc; Hendrycks, Gimpel 2016
    """

    args = (Arg("fast_gelu", bool, False, "1: approximate with tanh"),)
    inplace = ()

    def setup(self) -> None:
        self.how = "tanh" if self.fast_gelu else "none"

    def kernel(self, X: Tensor) -> Tensor:
        return torch.nn.functional.gelu(X, approximate=self.how)

    @gradient("dY X -> dX")
    def backward(self, dY: Tensor, X: Tensor) -> Tensor:
        return torch.ops.aten.gelu_backward(dY, X, approximate=self.how)
