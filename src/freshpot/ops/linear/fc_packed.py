"""Full connection with weights that were prepared once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator


class PackedWeights:
    """Weights (M, K) as the original's fast product sees them: rounded to half precision."""

    original_type = "std::unique_ptr<fbgemm::PackedGemmMatrixB<short unsigned int> >"

    def __init__(self, W: Tensor) -> None:
        self.rounded = W.half().float()


class FbGemmPack(Operator):
    """Weights for FbFCPacked.

    Shapes:   X: (M, K) -> packed weights
    Source:   caffe2/quantization/server/fb_fc_packed_op.h
    """

    inputs = (Port("X", FLOAT, "M K"),)
    outputs = (Port("Y"),)
    inplace = ((0, 0),)

    def kernel(self, W: Tensor) -> Any:
        return PackedWeights(W)

    def infer(self, W: Tensor) -> None:
        return None


class FbGemmPackTranspose(FbGemmPack):
    """Weights for FbFCPacked, from their transpose.

    Shapes:   X: (K, M) -> packed weights
    Source:   caffe2/quantization/server/fb_fc_packed_op.h
    """

    inputs = (Port("X", FLOAT, "K M"),)

    def kernel(self, W: Tensor) -> Any:
        return PackedWeights(W.t())


class FbFCPacked(Operator):
    """Y = X * W^T + b, with packed W.

    Shapes:   X: (N, K); W: packed (M, K); b: (M,) -> Y: (N, M)
    Raises:   ArgumentError if W is not packed; ShapeError if sizes do not fit.
    Source:   caffe2/quantization/server/fb_fc_packed_op.h
    """

    inputs = (Port("X", FLOAT), Port("W"), Port("b", FLOAT))
    outputs = (Port("Y"),)
    args = (Arg("axis", int, 1, "first dimension of X's columns"), Arg("axis_w", int, 1, "of no effect here"))

    def check(self, X: Tensor, W: Any, b: Tensor) -> None:
        if not isinstance(W, PackedWeights):
            self.refuse("W must hold packed weights; make them with FbGemmPack.", ArgumentError)
        M, K = W.rounded.shape
        if X.shape[self.axis :].numel() != K or b.numel() != M:
            self.refuse(
                f"rows of X must have {K} elements and b {M}; got {tuple(X.shape)}, {tuple(b.shape)}."
            )

    def kernel(self, X: Tensor, W: PackedWeights, b: Tensor) -> Tensor:
        rows = X.reshape(-1, W.rounded.shape[1])
        return torch.addmm(b, rows, W.rounded.t()).reshape(*X.shape[: self.axis], -1)
