"""Caffe's batch normalisation, the scale and bias behind it, and a rectifier, as one operator.

Owned here: the joined operator, its gradient, and the value between, which is left until somebody looks. Who makes
them: `caffe._net.joining`, of the layers of a net that is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops._window import in_layout_of
from freshpot.ops.normalization import _rows
from freshpot.ops.normalization._channels import along_channels
from freshpot.ops.normalization.batch_norm import NORM_ARGS, decayed, normalised, of_batch, through_statistics

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

_RELU = Arg("relu", int, 0, "1: a rectifier comes last")


class BatchNormScale(Operator):
    """Y = scale * (X - mean) / sqrt(variance + eps) + bias, rectified if asked for: BatchNorm of a batch, CaffeScale
    and Relu in one.

    Shapes:   X: (N, C, …) -> Y: as X; the others as BatchNorm's and CaffeScale's
    Raises:   ShapeError if X has no channels, or other tensors' elements do not fit.
    """

    inputs = (
        Port("X", FLOAT),
        Port("means", FLOAT, "C"),
        Port("variances", FLOAT, "C"),
        Port("weight", FLOAT, "1"),
        Port("scale", FLOAT, "C"),
        Port("bias", FLOAT, "C"),
    )
    outputs = (
        Port("Y"),
        Port("means"),
        Port("variances"),
        Port("weight"),
        Port("mean"),
        Port("deviation"),
    )
    args = (*NORM_ARGS, _RELU)
    must_inplace = ((1, 1), (2, 2), (3, 3))
    no_gradient = "it is made for plans, whose backward passes are made before"

    def check(self, X: Tensor, means: Tensor, *_: Tensor) -> None:
        if X.dim() < 2 or X.shape[1] != means.shape[0]:
            self.refuse(
                f"X must have batch and {means.shape[0]} channels as the averages, got {tuple(X.shape)}."
            )

    def infer(
        self, X: Tensor, means: Tensor, variances: Tensor, weight: Tensor, *_: Tensor
    ) -> Sequence[Tensor]:
        return X, means, variances, weight, means, means

    def kernel(
        self, X: Tensor, means: Tensor, variances: Tensor, weight: Tensor, scale: Tensor, bias: Tensor
    ) -> tuple[Tensor, ...]:
        if scale.shape != means.shape or bias.shape != means.shape or X.shape[1:2] != means.shape:
            self.refuse(  # here too: ATen trusts them, and a program may have reshaped them since `check`
                f"scale {tuple(scale.shape)} and bias {tuple(bias.shape)} must have one number for each channel of X "
                f"{tuple(X.shape)}, as the averages {tuple(means.shape)}."
            )
        kept, relu = self.moving_average_fraction, bool(self.relu)
        if _rows.fits(X, scale, bias):
            mean, variance = _rows.moments(X)
            sums = decayed(X, mean.float(), variance.float(), (means, variances, weight), kept)
            deviation = variance.add_(self.eps).sqrt_()
            mean = mean.float()
            Y = _rows.applied(X, mean, (scale / deviation).float(), bias, relu)
            return Y, *sums, mean, deviation.float()
        mean, variance = of_batch(X)
        sums = decayed(X, mean, variance, (means, variances, weight), kept)
        Y, deviation = normalised(X, mean, variance, self.eps, scale, bias)
        return torch.relu_(Y) if relu else Y, *sums, mean, deviation


class BatchNormScaleGradient(Operator):
    """Gradient of BatchNormScale: dX, dscale, dbias. ``Y`` is read where a rectifier came last."""

    inputs = (
        Port("X", FLOAT),
        Port("mean", FLOAT, "C"),
        Port("deviation", FLOAT, "C"),
        Port("scale", FLOAT, "C"),
        Port("dY", FLOAT),
        Port("Y", FLOAT, optional=True),
    )
    outputs = (Port("dX"), Port("dscale"), Port("dbias"))
    args = (NORM_ARGS[0],)
    inplace = ((4, 0),)
    no_gradient = "it is itself a gradient"

    def check(
        self, X: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor, dY: Tensor, *Y: Tensor
    ) -> None:
        if any(t.shape != X.shape for t in (dY, *Y)):
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def kernel(
        self, X: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor, dY: Tensor, Y: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        if any(v.shape != X.shape[1:2] for v in (mean, deviation, scale)):
            self.refuse(
                f"mean, deviation and scale must have one number for each channel of X {tuple(X.shape)}."
            )
        if _rows.fits(X, mean, deviation, scale) and dY.dtype is X.dtype:
            return _rows.gradients(X, mean, deviation.double().reciprocal_(), scale, dY, Y)
        dY = in_layout_of(X, dY)
        if Y is not None:
            dY = torch.ops.aten.threshold_backward(dY, in_layout_of(X, Y), 0)
        return through_statistics(X, mean, deviation, self.eps, dY, scale)


class BatchNormLater(Operator):
    """Y = what BatchNorm made of X, computed when somebody looks at it.

    Shapes:   X: (N, C, …); mean, deviation: (C,) -> Y: as X
    """

    inputs = (Port("X", FLOAT), Port("mean", FLOAT, "C"), Port("deviation", FLOAT, "C"))
    outputs = (Port("Y"),)
    no_gradient = "it is made for plans, whose backward passes are made before"

    def infer(self, X: Tensor, *_: Tensor) -> Sequence[Tensor]:
        return (X,)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        outputs[0].leave(_normal, tuple(blob.value for blob in inputs))


def _normal(X: Tensor, mean: Tensor, deviation: Tensor) -> tuple[Tensor, ...]:
    return ((X - along_channels(mean, X)).div_(along_channels(deviation, X)),)
