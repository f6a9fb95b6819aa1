"""Scaling of weights and gradients between updates."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.optimizer._update import ITER

_NEVER = 2**63 - 1


class WeightScale(Operator):
    """Y = scale * w where iter + 1 is a multiple of stepsize and less than upper_bound_iter, else w.

    Shapes:   w: any; iter: (1,) int64 -> Y: as w
    Source:   caffe2/sgd/weight_scale_op.h
    """

    inputs = (Port("w", FLOAT), ITER)
    outputs = (Port("Y"),)
    args = (
        Arg("stepsize", int, _NEVER, "iterations between two scalings, > 0"),
        Arg("upper_bound_iter", int, _NEVER, "iteration from which on nothing is scaled"),
        Arg("scale", float, 1.0, "the factor"),
    )
    inplace = ((0, 0),)

    def setup(self) -> None:
        if self.stepsize <= 0:
            self.refuse(f"argument 'stepsize' must be > 0, got {self.stepsize}.", ArgumentError)

    def kernel(self, w: Tensor, it: Tensor) -> Tensor:
        t = int(it.reshape(-1)[0]) + 1
        return w * self.scale if t % self.stepsize == 0 and t < self.upper_bound_iter else w.clone()


class ClipTensorByScaling(Operator):
    """Y = X * threshold / val where val (usually X's norm) is greater than the threshold, else X.

    Shapes:   X: any, not empty; val: (1,); additional_threshold, a factor of the threshold: (1,) -> Y: as X
    Differs:  the original multiplies its threshold by the third input again at each run.
    Source:   caffe2/sgd/clip_tensor_op.h
    """

    inputs = (Port("X", FLOAT), Port("val", FLOAT), Port("additional_threshold", FLOAT, optional=True))
    outputs = (Port("Y"),)
    args = (Arg("threshold", float, 0.0, "greatest val that is let through, > 0"),)
    inplace = ((0, 0),)

    def setup(self) -> None:
        if self.threshold <= 0:
            self.refuse(f"argument 'threshold' must be > 0, got {self.threshold}.", ArgumentError)

    def check(self, X: Tensor, *numbers: Tensor) -> None:
        if not X.numel() or any(n.numel() != 1 for n in numbers):
            self.refuse("X must not be empty, and the other inputs must be one number each.")

    def kernel(self, X: Tensor, val: Tensor, *factor: Tensor) -> Any:
        threshold = self.threshold * factor[0].reshape(()) if factor else self.threshold
        size = val.reshape(())
        return X * torch.where(size > threshold, threshold / size, 1.0)
