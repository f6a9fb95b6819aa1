"""Numbers that are none."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import KernelError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, FLOATS, Arg, Port
from freshpot.ops._operator import Operator


class IsNaN(Operator):
    """output = 1 where the tensor is NaN, else 0.

    Shapes:   tensor: any -> output: as tensor, uint8
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("tensor", FLOATS),)
    outputs = (Port("output"),)

    def kernel(self, X: Tensor) -> Tensor:
        return X.isnan().to(torch.uint8)


class ReplaceNaN(Operator):
    """output = input, with ``value`` where it is NaN.

    Shapes:   input: any -> output: as input
    Source:   caffe2/operators/replace_nan_op.h
    """

    inputs = (Port("input", FLOATS),)
    outputs = (Port("output"),)
    args = (Arg("value", float, 0.0, "what takes NaN's place"),)
    inplace = ((0, 0),)

    def kernel(self, X: Tensor) -> Tensor:
        return torch.where(X.isnan(), self.value, X)


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("NanCheck", [g.GO(0)], [g.GI(0)])]


class NanCheck(Operator):
    """output = tensor, which must be finite; further inputs are only named in the message.

    Shapes:   tensor: any; further ones: any -> output: as tensor
    Raises:   KernelError if there is a NaN or an infinity.
    Source:   caffe2/operators/utility_ops.cc
    """

    inputs = (Port("tensor", FLOAT, many=True),)
    outputs = (Port("output"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_rule)

    def infer(self, X: Tensor, *_: Tensor) -> tuple[Tensor]:
        return (torch.empty_like(X),)

    def kernel(self, X: Tensor, *_: Tensor) -> Tensor:
        bad = int((~X.isfinite()).sum())
        if bad:
            self.refuse(
                f"{bad} of {X.numel()} elements of '{self.op.inputs[0]}' {tuple(X.shape)} are NaN or infinite.",
                KernelError,
            )
        return X.clone()
