"""Batch normalisation of images."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops._window import ORDER
from freshpot.ops.normalization import _rows

_ATEN = torch.ops.aten
#: numbers of images from which on machine code is faster than ATen, a tenth to a third; it is more exact, too
_LARGE = 1 << 20


def _gradient(g: GradientMaker) -> list[Op]:
    """It takes the statistics of the batch, or (is_test) what was used instead of them."""
    made = [g.GI(0), g.GI(1), g.GI(2)]
    if g.op.args.get("is_test"):
        inputs = [g.I(0), g.I(1), g.GO(0), g.I(3), g.I(4)]
    else:
        inputs = [g.I(0), g.I(1), g.GO(0), g.O(3), g.O(4)]
        if int(g.op.args.get("num_batches", 1)) > 1:  # type: ignore[call-overload]
            inputs += made[1:]
    return [g.new("SpatialBNGradient", inputs, made)]


class _BatchNorm(Operator, abstract=True):
    """What SpatialBN and its gradient share."""

    def setup(self) -> None:
        if self.epsilon <= 0 or not 0 <= self.momentum <= 1:
            self.refuse(
                f"epsilon must be greater than 0 and momentum between 0 and 1;"
                f" got {self.epsilon}, {self.momentum}.",
                ArgumentError,
            )
        wanted = 7 if self.num_batches > 1 else 5
        if self.num_inputs not in (5, 7) or self.num_inputs < wanted:
            self.refuse(
                f"with num_batches={self.num_batches} it takes {wanted} inputs, got {self.num_inputs}.",
                ArityError,
            )

    def channels(self, X: Tensor) -> int:
        """Number of channels of X, whose shape is checked here."""
        if X.dim() < 2:
            self.refuse(f"X must have batch and channels, got {tuple(X.shape)}.")
        return X.shape[1 if self.order == "NCHW" else -1]

    def channels_second(self, X: Tensor) -> Tensor:
        """X as (N, C, …), a view."""
        return X.movedim(-1, 1) if self.order == "NHWC" else X

    def in_order(self, Y: Tensor) -> Tensor:
        """(N, C, …) in the order the net asked for."""
        return Y.movedim(1, -1).contiguous() if self.order == "NHWC" else Y

    def check_channels(self, C: int, **values: Tensor) -> None:
        """Refuse what has not one element a channel."""
        for name, value in values.items():
            if value.numel() != C:
                self.refuse(f"{name} must have {C} elements, one a channel; got {tuple(value.shape)}.")


_ARGS = (
    Arg("epsilon", float, 1e-5, "added to the variance"),
    Arg("momentum", float, 0.9, "how much of the running statistics stays, 0 to 1"),
    Arg("num_batches", int, 1, "batches whose sums make the statistics, if more than one"),
    ORDER,
)


class SpatialBN(_BatchNorm):
    """Y = scale * (X - mean) / sqrt(var + epsilon) + bias, mean and var of each channel over batch and space.

    In training they are the batch's, and running_mean and running_var move towards them (the variance
    as n / (n - 1) times the batch's), in place. Under ``is_test`` they are the given ones. saved_var is
    1 / sqrt(var + epsilon). With ``num_batches`` > 1 the batch's are made from sums over several batches.

    Shapes:   X: (N, C, space) or (N, space, C); all others: (C,) -> Y: as X; others (C,)
    Raises:   ShapeError if an input has not C elements; ArityError for other numbers of blobs than 1 output
              (is_test) or 5 (training).
    Source:   caffe2/operators/spatial_batch_norm_op.h; Ioffe and Szegedy, 2015
    """

    inputs = (
        Port("X", FLOAT),
        Port("scale", FLOAT),
        Port("bias", FLOAT),
        Port("mean", FLOAT),
        Port("var", FLOAT),
        Port("sums", FLOAT, optional=True),
        Port("sumsq", FLOAT, optional=True),
    )
    outputs = (
        Port("Y"),
        Port("running_mean", optional=True),
        Port("running_var", optional=True),
        Port("saved_mean", optional=True),
        Port("saved_var", optional=True),
    )
    args = (Arg("is_test", int, doc="1: use the given mean and var, only Y is made"), *_ARGS)
    inplace = ((0, 0), (5, 3), (6, 4))
    must_inplace = ((3, 1), (4, 2))
    gradient_rule = staticmethod(_gradient)

    def setup(self) -> None:
        super().setup()
        wanted = 1 if self.is_test else 5
        if self.num_outputs != wanted:
            self.refuse(
                f"with is_test={self.is_test} it makes {wanted} outputs, got {self.num_outputs}.", ArityError
            )

    def check(self, X: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *sums: Tensor) -> None:
        C = self.channels(X)
        self.check_channels(C, scale=scale, bias=bias)
        if self.is_test:
            self.check_channels(C, mean=mean, var=var)
        if self.num_batches > 1:
            self.check_channels(C, sums=sums[0], sumsq=sums[1])

    def kernel(
        self, X: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *sums: Tensor
    ) -> tuple[Tensor, ...]:
        if not self.is_test:
            return self.kernel_inplace(X, scale, bias, mean.clone(), var.clone(), *sums)
        images = self.channels_second(X)
        Y = _ATEN.native_batch_norm(images, scale, bias, mean, var, False, 0.0, self.epsilon)[0]
        return (self.in_order(Y),)

    def kernel_inplace(
        self, X: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, *sums: Tensor
    ) -> tuple[Tensor, ...]:
        C = scale.numel()
        if mean.numel() != C:
            mean = torch.zeros_like(scale)
        if var.numel() != C:
            var = torch.zeros_like(scale)
        if X.shape[0] == 0:
            return X.clone(), mean, var, torch.zeros_like(scale), torch.zeros_like(scale)
        images = self.channels_second(X)
        if self.num_batches > 1:
            return self._from_sums(images, scale, bias, mean, var, *sums)
        if images.numel() >= _LARGE and _rows.fits(images, scale, bias, mean, var):
            return self._by_rows(images, scale, bias, mean, var)
        Y, saved_mean, saved_rstd = _ATEN.native_batch_norm(
            images, scale, bias, mean, var, True, 1.0 - self.momentum, self.epsilon
        )
        return self.in_order(Y), mean, var, saved_mean, saved_rstd

    def _by_rows(
        self, images: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor
    ) -> tuple[Tensor, ...]:
        """The same by machine code."""
        exact, variance = _rows.moments(images)
        batch_mean, rstd = exact.float(), (variance + self.epsilon).rsqrt_()
        count, fresh = images.numel() // scale.numel(), 1.0 - self.momentum
        mean.mul_(self.momentum).add_(batch_mean, alpha=fresh)
        var.mul_(self.momentum).add_(variance.mul_(count / (count - 1)).float(), alpha=fresh)
        Y = _rows.applied(images, batch_mean, (rstd * scale).float(), bias, False)
        return self.in_order(Y), mean, var, batch_mean, rstd.float()

    def _from_sums(
        self,
        images: Tensor,
        scale: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        sums: Tensor,
        sumsq: Tensor,
    ) -> tuple[Tensor, ...]:
        count = self.num_batches * images.numel() // scale.numel()
        batch_mean = sums / count
        batch_var = sumsq / count - batch_mean.square()
        fresh = 1.0 - self.momentum
        mean.mul_(self.momentum).add_(batch_mean, alpha=fresh)
        unbiased = count / (count - 1) if count > 1 else float("inf")
        var.mul_(self.momentum).add_(batch_var, alpha=fresh * unbiased)
        Y = _ATEN.native_batch_norm(images, scale, bias, batch_mean, batch_var, False, 0.0, self.epsilon)[0]
        return self.in_order(Y), mean, var, batch_mean, torch.rsqrt(batch_var + self.epsilon)


class SpatialBNGradient(_BatchNorm):
    """Gradient of SpatialBN: dX, dscale, dbias.

    With ``num_batches`` > 1 the sums of dscale and dbias over the batches come in, and their means go out.
    Under ``is_test`` the variance stands where 1 / standard deviation is meant, as in the original.

    Source:   caffe2/operators/spatial_batch_norm_gradient_op.cc
    """

    inputs = (
        Port("X", FLOAT),
        Port("scale", FLOAT),
        Port("dY", FLOAT),
        Port("mean", FLOAT),
        Port("rstd", FLOAT),
        Port("dscale_sum", FLOAT, optional=True),
        Port("dbias_sum", FLOAT, optional=True),
    )
    outputs = (Port("dX"), Port("dscale"), Port("dbias"))
    args = (Arg("is_test", int, 0, "1: mean and var were given"), *_ARGS)
    inplace = ((5, 1), (6, 2))
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, scale: Tensor, dY: Tensor, mean: Tensor, rstd: Tensor, *sums: Tensor) -> None:
        self.check_channels(self.channels(X), scale=scale, mean=mean, rstd=rstd)
        if X.dim() < 3:
            self.refuse(f"X must have batch, channels and space; got {tuple(X.shape)}.")
        if dY.shape != X.shape:
            self.refuse(f"dY must be as X {tuple(X.shape)}, got {tuple(dY.shape)}.")

    def kernel(
        self, X: Tensor, scale: Tensor, dY: Tensor, mean: Tensor, rstd: Tensor, *sums: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        if X.shape[0] == 0:
            return torch.empty_like(X), torch.zeros_like(scale), torch.zeros_like(scale)
        X, dY = self.channels_second(X), self.channels_second(dY)
        if self.num_batches > 1:
            return self._from_sums(X, scale, dY, mean, rstd, *sums)
        if X.numel() >= _LARGE and dY.dtype is X.dtype and _rows.fits(X, scale, mean, rstd):
            dX, dscale, dbias = _rows.gradients(X, mean, rstd, scale, dY, None)
            return self.in_order(dX), dscale, dbias
        dX, dscale, dbias = _ATEN.native_batch_norm_backward(
            dY, X, scale, None, None, mean, rstd, True, self.epsilon, [True, True, True]
        )
        return self.in_order(dX), dscale, dbias

    def _from_sums(
        self,
        X: Tensor,
        scale: Tensor,
        dY: Tensor,
        mean: Tensor,
        rstd: Tensor,
        dscale_sum: Tensor,
        dbias_sum: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        dscale, dbias = dscale_sum / self.num_batches, dbias_sum / self.num_batches
        count = X.numel() // scale.numel()
        shape = (1, -1, *(1,) * (X.dim() - 2))
        normal = (X - mean.view(shape)) * rstd.view(shape)
        inner = dY - (normal * dscale.view(shape) + dbias.view(shape)) / count
        return self.in_order(inner.mul_((scale * rstd).view(shape))), dscale, dbias
