"""Batch normalisation as Caffe has it: normalisation alone, and sums that decay in place of averages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops._window import in_layout_of
from freshpot.ops.normalization import _rows
from freshpot.ops.normalization._channels import along_channels, reduced

NORM_ARGS = (
    Arg("eps", float, 1e-5, "added to the variance"),
    Arg("moving_average_fraction", float, 0.999, "what is kept of the sums at each run"),
)
_ARGS = (
    *NORM_ARGS,
    Arg("use_global_stats", int, 0, "1: normalise by the sums and leave them as they are"),
)

#: elements a channel from which on the work is left to ATen's fused kernels: where they are few, the terms of the
#: gradient nearly cancel, and the rounding of another order of operations shows
_FUSED = 64


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("BatchNormGradient", [g.I(0), g.O(4), g.O(5), g.GO(0)], [g.GI(0)])]


class BatchNorm(Operator):
    """Y = (X - mean) / sqrt(variance + eps), channel by channel.

    Of the batch, whose mean and (unbiased) variance are added to the decayed ``means`` and ``variances``, as 1
    is to the decayed ``weight``; with use_global_stats, of all: means / weight and variances / weight.

    Shapes:   X: (N, C, …) -> Y: as X; means, variances: (C,), weight: (1,), which the outputs of these names must
              overwrite; mean, deviation used: (C,)
    Raises:   ShapeError if X has no channels, or other tensors' elements do not fit.
    Source:   caffe/layers/batch_norm_layer.cpp; Ioffe and Szegedy, 2015
    """

    inputs = (
        Port("X", FLOAT),
        Port("means", FLOAT, "C"),
        Port("variances", FLOAT, "C"),
        Port("weight", FLOAT, "1"),
    )
    outputs = (
        Port("Y"),
        Port("means"),
        Port("variances"),
        Port("weight"),
        Port("mean"),
        Port("deviation"),
    )
    args = _ARGS
    must_inplace = ((1, 1), (2, 2), (3, 3))
    gradient_rule = staticmethod(_rule)

    def check(self, X: Tensor, means: Tensor, variances: Tensor, weight: Tensor) -> None:
        if X.dim() < 2 or X.shape[1] != means.shape[0]:
            self.refuse(
                f"X must have batch and {means.shape[0]} channels as the averages, got {tuple(X.shape)}."
            )

    def infer(self, X: Tensor, means: Tensor, variances: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        return X, means, variances, weight, means, means

    def kernel(self, X: Tensor, means: Tensor, variances: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        if self.use_global_stats:
            scale = torch.where(weight == 0, 0.0, 1.0 / weight)
            mean, variance = means * scale, variances * scale
            sums: tuple[Tensor, ...] = tuple(t.clone() for t in (means, variances, weight))
        else:
            mean, variance = of_batch(X)
            sums = decayed(X, mean, variance, (means, variances, weight), self.moving_average_fraction)
        Y, deviation = normalised(X, mean, variance, self.eps)
        return Y, *sums, mean, deviation


def of_batch(X: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a batch's channels; while a tracer looks on, such that autograd derives them."""
    if torch.compiler.is_compiling():
        variance, mean = torch.var_mean(X, reduced(X), correction=0)
        return mean, variance
    mean, variance = torch.ops.aten.batch_norm_update_stats(X, None, None, 0.0)
    return mean, variance


def decayed(
    X: Tensor, mean: Tensor, variance: Tensor, sums: Sequence[Tensor], kept: float
) -> tuple[Tensor, ...]:
    """Means, variances and weight after the batch X was added to them."""
    count = X.numel() // X.shape[1]
    unbiased = variance * (count / (count - 1)) if count > 1 else variance
    means, variances, weight = sums
    return means * kept + mean, variances * kept + unbiased, weight * kept + 1


def normalised(
    X: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(X - mean) / deviation, times scale and plus bias if they are given; and the deviation."""
    # rounded correctly, which vectorised roots of float32 are not
    deviation = (variance + eps).double().sqrt_().float()
    fused = X.numel() // max(X.shape[1], 1) >= _FUSED and not X.is_meta
    if fused and not mean.requires_grad:  # ATen derives nothing with respect to statistics that it is given
        return torch.ops.aten.native_batch_norm(X, scale, bias, mean, variance, False, 0.0, eps)[0], deviation
    Y = (X - along_channels(mean, X)).div_(along_channels(deviation, X))
    if scale is not None and bias is not None:
        Y = torch.addcmul(along_channels(bias, X), Y, along_channels(scale, X))
    return Y, deviation


def through_statistics(
    X: Tensor, mean: Tensor, deviation: Tensor, eps: float, dY: Tensor, scale: Tensor | None = None
) -> tuple[Tensor, ...]:
    """dX of `normalised` with the batch's own statistics; with a scale, dscale and dbias too."""
    count = X.numel() // X.shape[1]
    if count >= _FUSED:
        asked = [True, scale is not None, scale is not None]
        made = torch.ops.aten.native_batch_norm_backward(
            dY, X, scale, None, None, mean, 1.0 / deviation, True, eps, asked
        )
        return tuple(made[: 1 if scale is None else 3])
    divisor, dims = along_channels(deviation, X), reduced(X)
    Y = (X - along_channels(mean, X)).div_(divisor)
    of_parameters: tuple[Tensor, ...] = ()
    if scale is not None:
        of_parameters = (dY * Y).sum(dims), dY.sum(dims)
        dY = dY * along_channels(scale, X)
    through = (Y * (dY * Y).sum(dims, keepdim=True)).add_(dY.sum(dims, keepdim=True))
    return (dY - through.div_(count)).div_(divisor), *of_parameters


class BatchNormGradient(Operator):
    """dX of BatchNorm: through the batch's own statistics, or (use_global_stats) past constant ones.

    Source:   caffe/layers/batch_norm_layer.cpp
    """

    inputs = (
        Port("X", FLOAT),
        Port("mean", FLOAT, "C"),
        Port("deviation", FLOAT, "C"),
        Port("dY", FLOAT),
    )
    outputs = (Port("dX"),)
    args = _ARGS
    inplace = ((3, 0),)
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, mean: Tensor, deviation: Tensor, dY: Tensor) -> None:
        if dY.shape != X.shape:
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, mean: Tensor, deviation: Tensor, dY: Tensor) -> Tensor:
        dY = in_layout_of(X, dY)
        if self.use_global_stats:
            return dY / along_channels(deviation, X)
        if _rows.fits(X, mean, deviation):
            return _rows.gradients(X, mean, deviation.double().reciprocal_(), None, dY, None)[0]
        return through_statistics(X, mean, deviation, self.eps, dY)[0]
