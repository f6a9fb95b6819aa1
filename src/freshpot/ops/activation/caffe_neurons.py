"""Activations as Caffe has them, where Caffe2 has none or one that differs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, as_first, gradient


class _Neuron(Operator, abstract=True):
    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    inplace = ((0, 0),)
    infer = as_first


class CaffeReLU(_Neuron):
    """Y = X where X > 0, else slope * X; the gradient at 0 is the slope's.

    Shapes:   X: any -> Y: as X
    Differs:  LeakyRelu of Caffe2 lets the gradient through at 0.
    Source:   caffe/layers/relu_layer.cpp
    """

    args = (Arg("slope", float, 0.0, "slope of the negative side"),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.where(X > 0, X, X * self.slope)

    @gradient("X dY -> dX", inplace=((1, 0),))
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return torch.where(X > 0, dY, dY * self.slope)


class CaffeClip(_Neuron):
    """Y = min(max(X, low), high); the gradient passes on the bounds too.

    Shapes:   X: any -> Y: as X
    Differs:  Clip of Caffe2 stops the gradient on the bounds.
    Source:   caffe/layers/clip_layer.cpp
    """

    args = (Arg("min", float, doc="lowest value"), Arg("max", float, doc="highest value"))

    def kernel(self, X: Tensor) -> Tensor:
        return X.clamp(self.min, self.max)

    @gradient("X dY -> dX", inplace=((1, 0),))
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return torch.where((X >= self.min) & (X <= self.max), dY, 0.0)


class CaffeSwish(_Neuron):
    """Y = X * S with S = sigmoid(beta * X), which is an output too.

    Shapes:   X: any -> Y, S: as X
    Source:   caffe/layers/swish_layer.cpp
    """

    outputs = (Port("Y"), Port("S"))
    args = (Arg("beta", float, 1.0, "steepness"),)

    def kernel(self, X: Tensor) -> tuple[Tensor, Tensor]:
        S = torch.sigmoid(X * self.beta)
        return X * S, S

    @gradient("Y S dY -> dX", inplace=((2, 0),))
    def backward(self, Y: Tensor, S: Tensor, dY: Tensor) -> Tensor:
        scaled = Y * self.beta
        return dY * (scaled + S * (1 - scaled))


class BNLL(_Neuron):
    """Y = log(1 + e^X), the binomial normal log likelihood.

    Shapes:   X: any -> Y: as X
    Source:   caffe/layers/bnll_layer.cpp
    """

    def kernel(self, X: Tensor) -> Tensor:
        return X.clamp(min=0) + torch.log1p(torch.exp(-X.abs()))

    @gradient("X dY -> dX", inplace=((1, 0),))
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        grown = X.clamp(max=50).exp_()
        return dY * grown / (grown + 1)


class Threshold(_Neuron):
    """Y = 1 where X > threshold, else 0.

    Shapes:   X: any -> Y: as X
    Source:   caffe/layers/threshold_layer.cpp
    """

    args = (Arg("threshold", float, 0.0, "what X must exceed"),)
    no_gradient = "it is a step"

    def kernel(self, X: Tensor) -> Tensor:
        return (X > self.threshold).to(X.dtype)


#: Where the original builds dY/dX in the memory of dX and multiplies by dY afterwards, a layer that runs in
#: place (dX and dY are one memory) gets the slope's square. Nets that were trained so must train so again.
_OVERWRITES = Arg("overwrites", int, 0, "1: dX and dY are one memory, as the original's layer in place")


def _times_top(op: Operator, slope: Tensor, dY: Tensor) -> Tensor:
    return slope * slope if op.overwrites else dY * slope


class Power(_Neuron):
    """Y = (shift + scale * X)^power.

    Shapes:   X: any -> Y: as X
    Differs:  with overwrites=1 the "gradient" is the slope's square, as in the original's layer in place.
    Source:   caffe/layers/power_layer.cpp
    """

    args = (
        Arg("power", float, 1.0, "the exponent"),
        Arg("scale", float, 1.0, "factor of X"),
        Arg("shift", float, 0.0, "added to the scaled X"),
        _OVERWRITES,
    )

    def kernel(self, X: Tensor) -> Tensor:
        if self.power * self.scale == 0:
            return torch.full_like(
                X, 1.0 if self.power == 0 else float(torch.tensor(self.shift) ** self.power)
            )
        inner = torch.add(X * self.scale, self.shift)
        return inner if self.power == 1 else inner.pow_(self.power)

    @gradient("X Y dY -> dX", inplace=((2, 0),))
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        return _times_top(self, self._slope(X, Y), dY)

    def _slope(self, X: Tensor, Y: Tensor) -> Tensor:
        factor = self.power * self.scale
        if factor == 0 or self.power == 1:
            return torch.full_like(X, factor)
        if self.power == 2:
            return X * (factor * self.scale) + factor * self.shift
        if self.shift == 0:
            return Y / X * self.power
        return Y / (X * self.scale + self.shift) * factor


_E = -1.0
_BASE = Arg("base", float, _E, "base; -1 stands for e")


def _log_of_base(op: Operator) -> float:
    if op.base == _E:
        return 1.0
    if op.base <= 0:
        op.refuse(f"argument 'base' must be positive, or -1 for e; got {op.base}.", ArgumentError)
    return math.log(op.base)


class CaffeExp(_Neuron):
    """Y = base^(shift + scale * X).

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError for a base that is neither positive nor -1.
    Source:   caffe/layers/exp_layer.cpp
    """

    args = (_BASE, Arg("scale", float, 1.0, "factor of X"), Arg("shift", float, 0.0, "added to the scaled X"))

    def setup(self) -> None:
        log_base = _log_of_base(self)
        self._inner = log_base * self.scale
        self._outer = math.exp(log_base * self.shift)

    def kernel(self, X: Tensor) -> Tensor:
        return (X * self._inner).exp_() * self._outer

    @gradient("Y dY -> dX", inplace=((1, 0),))
    def backward(self, Y: Tensor, dY: Tensor) -> Tensor:
        return dY * Y * self._inner


class CaffeLog(_Neuron):
    """Y = logarithm of (shift + scale * X) to a base.

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError for a base that is neither positive nor -1, or 1.
    Differs:  with overwrites=1 the "gradient" is the slope's square, as in the original's layer in place.
    Source:   caffe/layers/log_layer.cpp
    """

    args = (*CaffeExp.args, _OVERWRITES)

    def setup(self) -> None:
        log_base = _log_of_base(self)
        if log_base == 0:
            self.refuse("argument 'base' may not be 1: there are no logarithms to it.", ArgumentError)
        self._outer = 1 / log_base

    def kernel(self, X: Tensor) -> Tensor:
        return (X * self.scale + self.shift).log_().mul_(self._outer)

    @gradient("X dY -> dX", inplace=((1, 0),))
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return _times_top(self, (self.scale * self._outer) / (X * self.scale + self.shift), dY)
