"""Normalisation of each row: layer norm and RMS norm."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient

_AXIS = Arg("axis", int, 1, "first dimension that belongs to a row; may be negative")


class _ByRow(Operator, abstract=True):
    """Base of operators that treat X as a matrix, split into rows and columns before ``axis``."""

    def split(self, X: Tensor) -> int:
        """The first dimension of X that belongs to a row."""
        axis = self.axis + X.dim() if self.axis < 0 else self.axis
        if not 0 <= axis < max(X.dim(), 1):
            self.refuse(f"axis {self.axis} is not a dimension of X {tuple(X.shape)}.")
        return axis

    def rows(self, X: Tensor) -> Tensor:
        """X as a matrix."""
        at = self.split(X)
        return X.reshape(X.shape[:at].numel(), X.shape[at:].numel())

    def check_row(self, X: Tensor, **values: Tensor) -> None:
        """Refuse what has not as many elements as a row."""
        width = X.shape[self.split(X) :].numel()
        for name, value in values.items():
            if value.numel() != width:
                self.refuse(f"{name} must have the {width} elements of a row, got {tuple(value.shape)}.")


class LayerNorm(_ByRow):
    """Y = (X - mean) / std [* gamma + beta], mean and std = sqrt(variance + epsilon) of each row.

    Shapes:   X: any; gamma, beta: the dimensions from axis on -> Y: as X; mean, std: those before axis, 1
    Raises:   ShapeError if they do not fit; ArityError if gamma and beta are not as elementwise_affine says.
    Source:   caffe2/operators/layer_norm_op.h; Ba et al., 2016
    """

    inputs = (Port("X", FLOAT), Port("gamma", FLOAT, optional=True), Port("beta", FLOAT, optional=True))
    outputs = (Port("Y"), Port("mean"), Port("std"))
    args = (
        _AXIS,
        Arg("epsilon", float, 1e-5, "added to the variance"),
        Arg("elementwise_affine", bool, False, "True: gamma and beta are given"),
    )

    def check(self, X: Tensor, *affine: Tensor) -> None:
        if len(affine) not in (0, 2) or (self.elementwise_affine and not affine):
            self.refuse(
                f"it takes X, or with elementwise_affine X, gamma and beta; got {1 + len(affine)} inputs.",
                ArityError,
            )
        self.check_row(X, **dict(zip(("gamma", "beta"), affine, strict=False)))

    def check_gradient(
        self, dY: Tensor, Y: Tensor, mean: Tensor, std: Tensor, X: Tensor, *gamma: Tensor
    ) -> None:
        """Of the gradient operator."""
        self.check_row(X, **({"gamma": gamma[0]} if gamma else {}))
        if dY.shape != X.shape:
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, *affine: Tensor) -> tuple[Tensor, ...]:
        rows = self.rows(X)
        gamma, beta = (t.flatten() for t in affine) if self.elementwise_affine else (None, None)
        Y, mean, rstd = torch.ops.aten.native_layer_norm(rows, [rows.shape[1]], gamma, beta, self.epsilon)
        shape = (*X.shape[: self.split(X)], 1)
        return Y.view(X.shape), mean.view(shape), rstd.reciprocal().view(shape)

    @gradient("dY Y mean std X gamma -> dX dgamma dbeta", check=check_gradient)
    def backward(
        self, dY: Tensor, Y: Tensor, mean: Tensor, std: Tensor, X: Tensor, gamma: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        rows, rstd = self.rows(X), std.reshape(-1, 1).reciprocal()
        dY, mean = dY.reshape(rows.shape), mean.reshape(-1, 1)
        weight = gamma.flatten() if gamma is not None and self.elementwise_affine else None
        dX = torch.ops.aten.native_layer_norm_backward(
            dY, rows, [rows.shape[1]], mean, rstd, weight, None, [True, False, False]
        )[0].view(X.shape)
        if gamma is None or weight is None:
            return (dX,)
        # in the original's order of operations, whose rounding shows where a row has one element
        dgamma = (dY * rows).mul_(rstd).sub_(dY * (mean * rstd)).sum(0)
        return dX, dgamma.view(gamma.shape), dY.sum(0).view(gamma.shape)


class RMSNorm(_ByRow):
    """Y = X * rrms * gamma + beta, rrms = 1 / sqrt(mean of X^2 in the row + eps).

    Shapes:   X: any; gamma, beta: the dimensions from axis on -> Y: as X; rrms: those before axis
    Raises:   ShapeError if they do not fit.
    Source:   caffe2/operators/rms_norm_op.h; Zhang and Sennrich, 2019
    """

    inputs = (Port("X", FLOAT), Port("gamma", FLOAT), Port("beta", FLOAT))
    outputs = (Port("Y"), Port("rrms"))
    args = (
        _AXIS,
        Arg("eps", float, 0.0, "added to the mean square"),
        Arg("epsilon", float, 0.0, "named in the original's documentation, not read by it"),
    )

    def check(self, X: Tensor, gamma: Tensor, beta: Tensor) -> None:
        self.check_row(X, gamma=gamma, beta=beta)

    def check_gradient(self, dY: Tensor, X: Tensor, gamma: Tensor, rrms: Tensor) -> None:
        """Of the gradient operator."""
        self.check_row(X, gamma=gamma)
        if dY.shape != X.shape:
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, ...]:
        rows = self.rows(X)
        rrms = torch.rsqrt(rows.square().mean(1) + self.eps)
        Y = torch.addcmul(beta.flatten(), rows * rrms[:, None], gamma.flatten())
        return Y.view(X.shape), rrms.view(X.shape[: self.split(X)])

    @gradient("dY X gamma rrms -> dX dgamma dbeta", check=check_gradient)
    def backward(self, dY: Tensor, X: Tensor, gamma: Tensor, rrms: Tensor) -> tuple[Tensor, ...]:
        rows = self.rows(X)
        dY, factor = dY.reshape(rows.shape), rrms.reshape(-1, 1)
        inner = dY * gamma.flatten()
        normal = rows * factor
        dX = (inner - normal * (inner * normal).mean(1, keepdim=True)).mul_(factor)
        return dX.view(X.shape), (dY * normal).sum(0).view(gamma.shape), dY.sum(0).view(gamma.shape)
