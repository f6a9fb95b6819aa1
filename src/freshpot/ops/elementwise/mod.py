"""Remainders."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import INTS, Arg, Port
from freshpot.ops._operator import Operator


class Mod(Operator):
    """Y = remainder of X / divisor, with the sign of X, or of the divisor.

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError if the divisor is 0.
    Source:   caffe2/operators/mod_op.cc
    """

    inputs = (Port("X", INTS),)
    outputs = (Port("Y"),)
    args = (
        Arg("divisor", int, 0, "what to divide by"),
        Arg("sign_follow_divisor", bool, False, "1: the remainder has the sign of the divisor"),
    )
    inplace = ((0, 0),)

    def setup(self) -> None:
        if self.divisor == 0:
            self.refuse("argument 'divisor' must not be 0.", ArgumentError)

    def kernel(self, X: Tensor) -> Tensor:
        return (torch.remainder if self.sign_follow_divisor else torch.fmod)(X, self.divisor)
