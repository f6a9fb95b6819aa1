"""Pooling by a p-norm."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from freshpot.net.schema import Arg
from freshpot.ops._operator import gradient
from freshpot.ops._window import fitted, unfitted
from freshpot.ops.pooling._pool import Pool
from freshpot.ops.pooling.average_pool import AveragePooling

_P = Arg("p", float, 2.0, "the norm's power")


class LpPool(AveragePooling):
    """Y[n, c, i] = (sum of |X[n, c]|^p in window i)^(1/p).

    Shapes:   X: (N, C, space) -> Y: (N, C, space'); with order NHWC X: (N, space, C) -> Y: (N, space', C)
    Raises:   ShapeError if X does not fit the window; ArgumentError for a window that makes no sense.
    Source:   caffe2/operators/lp_pool_op.cc
    """

    args: ClassVar[tuple[Arg, ...]] = (
        *Pool.args,
        _P,
        Arg("count_include_pad", int, 0, "not read: zeros do not change the sum"),
    )

    def kernel(self, X: Tensor) -> Tensor:
        X = self.channels_second(X)
        powers = X.abs().pow_(self.p)
        if self.global_pooling:
            sums = powers.sum(tuple(range(2, X.dim())), keepdim=True)
        else:
            layout = self.layout(tuple(X.shape[2:]))
            sums = self._sums(fitted(powers, layout, self.kernels, self.strides, 0.0))
        return self.in_order(sums.pow_(1.0 / self.p))

    @gradient("X Y dY -> dX", check=Pool.check_gradient)
    def backward(self, X: Tensor, Y: Tensor, dY: Tensor) -> Tensor:
        """dX = X * |X|^(p - 2) * sum over windows of dY * Y^(1 - p)."""
        X, Y, dY = (self.channels_second(t) for t in (X, Y, dY))
        slope = X if self.p == 2 else X * X.abs().pow_(self.p - 2)
        shares = dY * Y.pow(1.0 - self.p)
        if self.global_pooling:
            return self.in_order(slope * shares)
        layout = self.layout(tuple(X.shape[2:]))
        images = fitted(X, layout, self.kernels, self.strides, 0.0)
        spread = unfitted(self._spread(shares, images), layout, self.kernels, self.strides)
        return self.in_order(spread.mul_(slope))
