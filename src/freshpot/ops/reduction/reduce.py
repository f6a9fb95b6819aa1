"""Reductions over any dimensions."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, NUMERIC, Arg, Port
from freshpot.ops._operator import Operator, gradient

_ARGS = (
    Arg("axes", [int], [], "the dimensions; none: all of them"),
    Arg("keepdims", bool, True, "1: they stay, as 1"),
)


class _OverAxes(Operator, abstract=True):
    args = _ARGS

    def check(self, X: Tensor) -> None:
        if any(not -X.dim() <= axis < X.dim() for axis in self.axes):
            self.refuse(f"argument 'axes' {self.axes} does not fit X {tuple(X.shape)}.", ArgumentError)

    def dims(self, X: Tensor) -> list[int]:
        """The dimensions to reduce, counted from 0."""
        return sorted({axis % X.dim() for axis in self.axes} if self.axes else range(X.dim()))

    def count(self, X: Tensor) -> int:
        """How many elements of X make one of the result."""
        n = 1
        for d in self.dims(X):
            n *= X.shape[d]
        return n

    def widen(self, Y: Tensor, X: Tensor) -> Tensor:
        """A result in a shape that broadcasts to X."""
        shape = list(X.shape)
        for d in self.dims(X):
            shape[d] = 1
        return Y.reshape(shape)


class _Reduction(_OverAxes, abstract=True):
    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)


class ReduceSum(_Reduction):
    """Y = sum over ``axes``.

    Shapes:   X: any -> Y: X without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/reduce_ops.h
    """

    inputs = (Port("X", NUMERIC),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.sum(self.dims(X), self.keepdims, dtype=X.dtype) if X.dim() else X.clone()

    @gradient("dY X Y -> dX")
    def backward(self, dY: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        return self.widen(dY, X).expand(X.shape).clone(memory_format=torch.contiguous_format)


class ReduceMean(_Reduction):
    """Y = mean over ``axes``; 0 where there is nothing to average.

    Shapes:   X: any -> Y: X without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/reduce_ops.h
    """

    def kernel(self, X: Tensor) -> Tensor:
        return X.sum(self.dims(X), self.keepdims) / max(self.count(X), 1) if X.dim() else X.clone()

    @gradient("dY X Y -> dX")
    def backward(self, dY: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        return (self.widen(dY, X) / max(self.count(X), 1)).expand(X.shape).contiguous()


class _Extreme(_Reduction, abstract=True):
    inputs = (Port("X", NUMERIC),)
    largest: bool

    def kernel(self, X: Tensor) -> Tensor:
        if not X.numel():
            limits = torch.finfo(X.dtype) if X.is_floating_point() else torch.iinfo(X.dtype)
            empty = X.sum(self.dims(X), self.keepdims, dtype=X.dtype)
            return empty.fill_(limits.min if self.largest else limits.max)
        if not X.dim():
            return X.clone()
        return (torch.amax if self.largest else torch.amin)(X, self.dims(X), self.keepdims)

    @gradient("dY X Y -> dX")
    def backward(self, dY: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        return torch.where(X == self.widen(Y, X), self.widen(dY, X), 0)


class ReduceMax(_Extreme):
    """Y = largest element over ``axes``. Its gradient goes to all elements that are as large.

    Shapes:   X: any -> Y: X without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/reduce_ops.h
    """

    largest = True


class ReduceMin(_Extreme):
    """Y = smallest element over ``axes``. Its gradient goes to all elements that are as small.

    Shapes:   X: any -> Y: X without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/reduce_ops.h
    """

    largest = False


class ReduceL1(_Reduction):
    """Y = sum of magnitudes over ``axes``.

    Shapes:   X: any -> Y: X without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/reduce_ops.h
    """

    def kernel(self, X: Tensor) -> Tensor:
        return X.abs().sum(self.dims(X), self.keepdims) if X.dim() else X.abs()

    @gradient("dY X Y -> dX")
    def backward(self, dY: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        return self.widen(dY, X) * X.sign()


class ReduceL2(_Reduction):
    """Y = square root of the sum of squares over ``axes``.

    Shapes:   X: any -> Y: X without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/reduce_ops.h
    """

    def kernel(self, X: Tensor) -> Tensor:
        return X.square().sum(self.dims(X), self.keepdims).sqrt_() if X.dim() else X.abs()

    @gradient("dY X Y -> dX")
    def backward(self, dY: Tensor, X: Tensor, Y: Tensor) -> Tensor:
        Y = self.widen(Y, X)
        return torch.where(Y == 0, 0.0, self.widen(dY, X) * X / Y)


class Moments(_OverAxes):
    """mean and variance (of the population) over ``axes``.

    Shapes:   data: any -> mean, variance: data without ``axes``, or 1 there with ``keepdims``
    Raises:   ArgumentError if one of ``axes`` is not there.
    Source:   caffe2/operators/moments_op.h
    """

    inputs = (Port("data", FLOAT),)
    outputs = (Port("mean"), Port("variance"))

    def kernel(self, data: Tensor) -> tuple[Tensor, Tensor]:
        dims = self.dims(data)
        mean = data.mean(dims, True)
        variance = (data - mean).square_().mean(dims, self.keepdims)
        return mean if self.keepdims else mean.reshape(variance.shape), variance

    @gradient("dmean dvariance data mean -> ddata")
    def backward(self, dmean: Tensor, dvariance: Tensor, data: Tensor, mean: Tensor) -> Tensor:
        dmean, dvariance, mean = (self.widen(t, data) for t in (dmean, dvariance, mean))
        return (dmean + 2 * (data - mean) * dvariance) / max(self.count(data), 1)
