"""Copies, within a device and between devices."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import DeviceError, DTypeError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import Port
from freshpot.ops._memory import copying
from freshpot.ops._operator import Call, Operator
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

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call]:
        return [copying(inputs[0], outputs[0])]


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


class CopyCPUToGPU(_Copier):
    """Y = X, which is in main memory, on this operator's GPU; in main memory where the machine has none.

    Shapes:   X: any -> Y: as X
    Raises:   DeviceError if the machine has a GPU and the operator was put on the CPU.
    Source:   caffe2/operators/copy_op.cc
    """

    def setup(self) -> None:
        _needs_gpu(self)

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("CopyGPUToCPU", [g.GO(0)], [g.GI(0)])]

    def kernel(self, X: Any, *_: Any) -> Any:
        return X.to(self.device, copy=True) if isinstance(X, Tensor) else clone(X)


class CopyGPUToCPU(_Copier):
    """Y = X, which is on a GPU, in main memory.

    Shapes:   X: any -> Y: as X
    Raises:   DeviceError if the machine has a GPU and the operator was put on the CPU.
    Source:   caffe2/operators/copy_op.cc
    """

    def setup(self) -> None:
        _needs_gpu(self)

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        return [g.new("CopyCPUToGPU", [g.GO(0)], [g.GI(0)])]

    def kernel(self, X: Any, *_: Any) -> Any:
        if isinstance(X, Tensor) and X.is_cuda:
            return X.to("cpu")
        return clone(X)


def _needs_gpu(operator: Operator) -> None:
    """Refuse to be on the CPU where there is a GPU; say, once, that there is none."""
    if operator.device.type != "cpu" or (operator.op.device and operator.op.device.is_cuda):
        return  # what became of a GPU that was asked for, the engine has said
    if torch.cuda.is_available():
        raise DeviceError(
            f"{operator.op}: runs on a GPU; make it with core.DeviceOption(caffe2_pb2.CUDA, number)."
        )
    _say_no_gpu(operator.type)


@functools.cache
def _say_no_gpu(type_name: str) -> None:
    warnings.warn(f"{type_name}: this machine has no GPU, tensors stay in main memory.", stacklevel=2)


class ZeroGradient(Operator):
    """Does nothing; the gradient of X through it is 0.

    Shapes:   X: any
    Source:   caffe2/operators/zero_gradient_op.h
    """

    inputs = (Port("X"),)

    @staticmethod
    def gradient_rule(g: GradientMaker) -> list[Op]:
        g.copy_arguments = False
        return [g.new("ConstantFill", [g.I(0)], [g.GI(0)], {"value": 0.0})]

    def kernel(self, X: Any) -> tuple[()]:
        return ()
