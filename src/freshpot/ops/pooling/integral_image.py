"""Sums over all rectangles that start in the corner."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad as pad_tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator, gradient


class IntegralImage(Operator):
    """Y[n, c, i, j] = sum of X[n, c] above row i and left of column j.

    Shapes:   X: (N, C, H, W) -> Y: (N, C, H + 1, W + 1)
    Raises:   ShapeError if X has not 4 dimensions.
    Differs:  not from the original, whose gradient operator sums from the first corner, where the
              mathematical gradient of Y sums from the opposite one.
    Source:   caffe2/operators/integral_image_op.cc; Viola and Jones, 2001
    """

    inputs = (Port("X", FLOAT, "* * * *"),)
    outputs = (Port("Y"),)

    def check_gradient(self, X: Tensor, dY: Tensor) -> None:
        """Of the gradient operator."""
        N, C, H, W = X.shape
        if tuple(dY.shape) != (N, C, H + 1, W + 1):
            self.refuse(f"dY must be {(N, C, H + 1, W + 1)}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor) -> Tensor:
        return pad_tensor(X.cumsum(2).cumsum(3), [1, 0, 1, 0])

    @gradient("X dY -> dX", check=check_gradient)
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        return dY[:, :, :-1, :-1].cumsum(2).cumsum(3)
