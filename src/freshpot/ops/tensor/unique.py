"""Different values, once each."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import INTS, Port
from freshpot.ops._operator import Operator


class Unique(Operator):
    """unique_indices = the different values, rising; remapping[i] = where indices[i] is among them.

    Shapes:   indices: (N,) -> unique_indices: (different values,); remapping: (N,) int32
    Source:   caffe2/operators/unique_ops.h
    """

    inputs = (Port("indices", INTS, "N"),)
    outputs = (Port("unique_indices"), Port("remapping", optional=True))

    def kernel(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        values, remapping = torch.unique(indices, sorted=True, return_inverse=True)
        return values, remapping.int()
