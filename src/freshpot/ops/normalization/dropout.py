"""Dropout."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import BOOL, FLOAT, Arg, Port
from freshpot.ops._operator import Operator

_RATIO = Arg("ratio", float, 0.5, "probability of setting an element to zero, 0 <= ratio < 1")


def _gradient(g: GradientMaker) -> list[Op]:
    kept = [] if g.op.args.get("is_test") else [g.O(1)]
    return [g.new("DropoutGrad", [g.GO(0), *kept], [g.GI(0)])]


class Dropout(Operator):
    """Y = mask * X / (1 - ratio), the mask drawn at every run; Y = X if is_test.

    Shapes:   X: any -> Y, mask (bool): as X
    Raises:   ArgumentError unless 0 <= ratio < 1; ArityError if there is no mask in training.
    Differs:  under is_test a mask, if named, is all true; the original leaves it empty.
    Source:   caffe2/operators/dropout_op.h; Srivastava et al., 2014
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"), Port("mask", optional=True))
    args = (_RATIO, Arg("is_test", int, doc="1: let X pass"))
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_gradient)

    def setup(self) -> None:
        if not 0 <= self.ratio < 1:
            self.refuse(f"ratio must be at least 0 and less than 1, got {self.ratio}.", ArgumentError)
        if not self.is_test and self.num_outputs < 2:
            self.refuse("in training (is_test=0) it needs a second output for the mask.", ArityError)
        self._scale = 1.0 / (1.0 - self.ratio)

    def infer(self, X: Tensor) -> tuple[Tensor, ...]:
        made = (torch.empty(X.shape, dtype=dtype, device="meta") for dtype in (X.dtype, torch.bool))
        return tuple(made)[: self.num_outputs]

    def kernel(self, X: Tensor) -> tuple[Tensor, ...]:
        return self._drop(X, X.clone() if self.is_test else torch.mul(X, self._scale))

    def kernel_inplace(self, X: Tensor) -> tuple[Tensor, ...]:
        return self._drop(X, X if self.is_test else X.mul_(self._scale))

    def _drop(self, X: Tensor, Y: Tensor) -> tuple[Tensor, ...]:
        if self.is_test:
            return Y, torch.ones_like(X, dtype=torch.bool)
        mask = torch.empty_like(X, dtype=torch.bool).bernoulli_(1.0 - self.ratio, generator=self.generator)
        return Y.mul_(mask), mask


class DropoutGrad(Operator):
    """Gradient of Dropout: dX = mask * dY / (1 - ratio); dX = dY if is_test.

    Source:   caffe2/operators/dropout_op.h
    """

    inputs = (Port("dY", FLOAT), Port("mask", BOOL, optional=True))
    outputs = (Port("dX"),)
    args = (_RATIO, Arg("is_test", int, 0, "1: let dY pass"))
    inplace = ((0, 0),)
    no_gradient = "it is itself a gradient"

    def setup(self) -> None:
        if not 0 <= self.ratio < 1:
            self.refuse(f"ratio must be at least 0 and less than 1, got {self.ratio}.", ArgumentError)
        if not self.is_test and self.num_inputs < 2:
            self.refuse("in training (is_test=0) it needs the mask as second input.", ArityError)
        self._scale = 1.0 / (1.0 - self.ratio)

    def check(self, dY: Tensor, mask: Tensor | None = None) -> None:
        if not self.is_test and mask is not None and mask.shape != dY.shape:
            self.refuse(f"mask must be as dY {tuple(dY.shape)}, got {tuple(mask.shape)}.")

    def kernel(self, dY: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.is_test or mask is None:
            return dY.clone()
        return torch.mul(dY, mask).mul_(self._scale)
