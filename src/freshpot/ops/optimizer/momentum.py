"""Gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops import _small
from freshpot.ops._memory import arrays, full, make, plain_arrays
from freshpot.ops._operator import Call, call
from freshpot.ops.exposure import written
from freshpot.ops.optimizer._update import INDICES, LR, SparseUpdate, Update, scalar

_MOMENTUM = Arg("momentum", float, 0.0, "share of the last step that is kept, 0 to 1")
_NESTEROV = Arg("nesterov", bool, False, "use Nesterov's form: look ahead by one more step")
_PORTS = (Port("grad", FLOAT), Port("moment", FLOAT), LR, Port("param", FLOAT))
_MADE = (Port("step"), Port("moment"), Port("param"))


def momentum_step(grad: Tensor, moment: Tensor, lr: Any, momentum: float, nesterov: bool) -> None:
    """grad becomes the step to subtract, moment the new moment; both in place."""
    if nesterov:
        last = moment * -momentum
        moment.mul_(momentum).add_(grad.mul_(lr))
        torch.add(last, moment, alpha=1 + momentum, out=grad)
    else:
        grad.mul_(lr)
        if momentum:
            grad.add_(moment, alpha=momentum)
        moment.copy_(grad)


class MomentumSGD(Update):
    """moment = momentum * moment + lr * grad; the step to subtract is the new moment (or Nesterov's form).

    Shapes:   grad, moment: of one size; lr: (1,) -> step: as grad; moment: as it was
    Source:   caffe2/sgd/momentum_sgd_op.h
    """

    inputs = _PORTS[:3]
    outputs = _MADE[:2]
    args = (_MOMENTUM, _NESTEROV)
    inplace = ((0, 0), (1, 1))
    device_numbers = ("lr",)
    alike = ("grad", "moment")

    def kernel_inplace(self, grad: Tensor, moment: Tensor, lr: Tensor) -> tuple[Tensor, ...]:
        momentum_step(grad, moment, scalar(lr), self.momentum, self.nesterov)
        return grad, moment


class MomentumSGDUpdate(Update):
    """As MomentumSGD, then param = param - step.

    Shapes:   grad, moment, param: of one size; lr: (1,) -> step: as grad; moment, param: as they were
    Source:   caffe2/sgd/momentum_sgd_op.h
    """

    inputs = _PORTS
    outputs = _MADE
    args = (_MOMENTUM, _NESTEROV)
    inplace = ((0, 0), (1, 1), (3, 2))
    device_numbers = ("lr",)
    alike = ("grad", "moment", "param")

    def kernel_inplace(self, grad: Tensor, moment: Tensor, lr: Tensor, param: Tensor) -> tuple[Tensor, ...]:
        inputs = (grad, moment, lr, param)
        if plain_arrays(*inputs) and (calls := self.calls(inputs, (grad, moment, param))):
            make(calls)
            return grad, moment, param
        momentum_step(grad, moment, scalar(lr), self.momentum, self.nesterov)
        return grad, moment, param.sub_(grad)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        small = arrays(*inputs)
        if (
            small is None
            or outputs[0] is not inputs[0]
            or len({t.shape for t in (*inputs[:2], inputs[3])}) > 1
        ):
            return None
        more = [self.momentum, 1 + self.momentum] if self.nesterov else [self.momentum]
        more = more if self.momentum or self.nesterov else []
        name = "nesterov_step" if self.nesterov else "momentum_step" if self.momentum else "plain_step"
        if made := _small.step(name, [*inputs[:2], inputs[3]], [inputs[2], *more]):
            return made
        grad, moment, lr, param = small
        kept, last = full(moment, self.momentum), np.empty_like(moment)
        scale, move = call(np.multiply, grad, lr.ravel(), grad), call(np.subtract, param, grad, param)
        noted = call(written, inputs[3])  # for those who keep what they made from it
        if self.nesterov:
            return [
                call(np.multiply, moment, kept, last),
                scale,
                call(np.add, last, grad, moment),
                call(np.multiply, moment, full(moment, 1 + self.momentum), grad),
                call(np.subtract, grad, last, grad),
                move,
                noted,
            ]
        old = (
            [call(np.multiply, moment, kept, moment), call(np.add, grad, moment, grad)]
            if self.momentum
            else []
        )
        return [scale, *old, call(np.copyto, moment, grad), move, noted]


class FP32MomentumSGDUpdate(Update):
    """As MomentumSGDUpdate, of grad + weight_decay * param.

    Shapes:   grad, moment, param: of one size; lr: (1,) -> step: as grad; moment, param: as they were
    Differs:  the original has it on GPUs alone.
    Source:   caffe2/sgd/fp32_momentum_sgd_op.h
    """

    inputs = _PORTS
    outputs = _MADE
    args: ClassVar[tuple[Arg, ...]] = (
        _MOMENTUM,
        Arg("nesterov", int, 0, "1: use Nesterov's form"),
        Arg("weight_decay", float, 0.0, "factor of param that is added to the gradient"),
    )
    inplace = ((0, 0), (1, 1), (3, 2))
    device_numbers = ("lr",)
    alike = ("grad", "moment", "param")

    def kernel_inplace(self, grad: Tensor, moment: Tensor, lr: Tensor, param: Tensor) -> tuple[Tensor, ...]:
        if self.weight_decay:
            grad.add_(param, alpha=self.weight_decay)
        momentum_step(grad, moment, scalar(lr), self.momentum, bool(self.nesterov))
        return grad, moment, param.sub_(grad)


class FP16MomentumSGDUpdate(FP32MomentumSGDUpdate):
    """As FP32MomentumSGDUpdate, of tensors in half precision.

    Shapes:   grad, moment, param: float16, of one size; lr: (1,) float32 -> as FP32MomentumSGDUpdate
    Differs:  the original has it on GPUs alone.
    Source:   caffe2/sgd/fp16_momentum_sgd_op.h
    """

    inputs = (Port("grad", ("float16",)), Port("moment", ("float16",)), LR, Port("param", ("float16",)))
    args = (*FP32MomentumSGDUpdate.args, Arg("fp32_update", int, 0, "1: compute in single precision"))

    def kernel_inplace(self, grad: Tensor, moment: Tensor, lr: Tensor, param: Tensor) -> tuple[Tensor, ...]:
        if not self.fp32_update:
            return super().kernel_inplace(grad, moment, lr, param)
        wide = [t.float() for t in (grad, moment, param)]
        super().kernel_inplace(wide[0], wide[1], lr, wide[2])
        for narrow, new in zip((grad, moment, param), wide, strict=True):
            narrow.copy_(new)
        return grad, moment, param


class SparseMomentumSGDUpdate(SparseUpdate):
    """As MomentumSGDUpdate, for some rows of moment and param.

    Shapes:   grad: (n, ...); moment, param: (rows, ...); lr: (1,); indices: (n,) -> step: as grad; moment, param
    Source:   caffe2/sgd/momentum_sgd_op.h
    """

    inputs = (*_PORTS, INDICES)
    outputs = _MADE
    args = (_MOMENTUM, _NESTEROV)
    inplace = ((0, 0),)
    must_inplace = ((1, 1), (3, 2))
    alike = ("moment", "param")

    def kernel_inplace(
        self, grad: Tensor, moment: Tensor, lr: Tensor, param: Tensor, indices: Tensor
    ) -> tuple[Tensor, ...]:
        rate, made = scalar(lr), torch.empty_like(grad, memory_format=torch.contiguous_format)
        flat = made.view(indices.numel(), *param.shape[1:])

        def step(g: Tensor, p: Tensor, m: Tensor) -> Tensor:
            g = g.clone()
            momentum_step(g, m, rate, self.momentum, self.nesterov)
            p.sub_(g)
            return g

        for at, g in self.update_rows(indices, grad, (param, moment), step):
            flat[slice(None) if at is None else at] = g
        return made, moment, param
