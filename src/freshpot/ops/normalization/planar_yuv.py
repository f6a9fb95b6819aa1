"""Normalisation of images by given means and deviations."""

from __future__ import annotations

from torch import Tensor

from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator


class NormalizePlanarYUV(Operator):
    """Y = (X - M) / S, one M and S a channel, whatever the image.

    Shapes:   X: (N, C, H, W); M, S: (1, C), or more rows, of which the first counts -> Y: as X
    Raises:   ShapeError if X has not 4 dimensions, or M or S not C columns.
    Source:   caffe2/operators/norm_planar_yuv_op.cc
    """

    inputs = (Port("X", FLOAT, "N C H W"), Port("M", FLOAT, "* C"), Port("S", FLOAT, "* C"))
    outputs = (Port("Y"),)
    inplace = ((0, 0),)
    no_gradient = "it prepares data"

    def kernel(self, X: Tensor, M: Tensor, S: Tensor) -> Tensor:
        return (X - M[0, :, None, None]).div_(S[0, :, None, None])
