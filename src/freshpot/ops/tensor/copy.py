"""Copies, within a device and between devices."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import DTypeError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe
from freshpot.ops.tensor._clone import clone


class _Copier(Operator, abstract=True):
    inputs: ClassVar[tuple[Port, ...]] = (Port("X"),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("Y"),)

    def check(self, X: Any, *_: Any) -> None:
        if clone(X) is None:
            self.refuse(f"only tensors can be copied, got {describe(X)}.", DTypeError)

    def kernel(self, X: Any, *_: Any) -> Any:
        return clone(X)


def _copy_rule(g: GradientMaker) -> list[Op]:
    return [g.new("CopyOnDeviceLike", [g.GO(0), g.I(0)], [g.GI(0)])]


class Copy(_Copier):
    """Y = X, in memory of its own.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/utility_ops.h
    """

    gradient_rule = staticmethod(_copy_rule)


class StopGradient(_Copier):
    """Y = X; no gradient flows back.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/stop_gradient.h
    """

    inplace = ((0, 0),)
    gradient_stops = True

    def kernel_inplace(self, X: Any) -> Any:
        return X


class CopyOnDeviceLike(_Copier):
    """Y = X, on the device that holds ``like``.

    Shapes:   X: any; like: any -> Y: as X
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("X"), Port("like"))

    def kernel(self, X: Any, *others: Any) -> Any:
        like = others[0]
        if isinstance(X, Tensor) and isinstance(like, Tensor) and X.device != like.device:
            return X.to(like.device)
        return clone(X)


class CopyFromCPUInput(_Copier):
    """Y = X, which is in main memory, on this operator's device.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/utility_ops.h
    """

    no_gradient = "the original defines none either"

    def kernel(self, X: Any, *_: Any) -> Any:
        if isinstance(X, torch.Tensor) and X.device != self.device and not X.is_meta:
            return X.to(self.device)
        return clone(X)


class EnsureCPUOutput(_Copier):
    """Y = X, in main memory.

    Shapes:   X: any -> Y: as X
    Source:   caffe2/operators/ensure_cpu_output_op.h
    """

    gradient_stops = True

    def kernel(self, X: Any, *_: Any) -> Any:
        if isinstance(X, torch.Tensor) and X.is_cuda:
            return X.cpu()
        return clone(X)
