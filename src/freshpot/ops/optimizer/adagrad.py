"""Adagrad and Adadelta."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Call, call
from freshpot.ops.optimizer._update import INDICES, LR, SparseUpdate, Update, f32, fusable, scalar

_EPSILON = Arg("epsilon", float, 1e-5, "added to the divisor, >= 0")
_WEIGHT_DECAY = Arg("weight_decay", float, 0.0, "factor of param that is added to the gradient")
_STATE = (Port("param", FLOAT), Port("moment", FLOAT))


class Adagrad(Update):
    """moment = decay * moment + g²; param = param + lr / (sqrt(moment) + epsilon) * g.

    Shapes:   param, moment, grad: of one size; lr: (1,) -> param, moment, the effective learning rates, the step
    Source:   caffe2/sgd/adagrad_op.h
    """

    inputs = (*_STATE, Port("grad", FLOAT), LR)
    outputs = (
        Port("param"),
        Port("moment"),
        Port("effective_lr", optional=True),
        Port("update", optional=True),
    )
    args = (_EPSILON, Arg("decay", float, 1.0, "share of the moment that is kept"), _WEIGHT_DECAY)
    inplace = ((0, 0), (1, 1))
    alike = ("param", "moment", "grad")

    def kernel_inplace(self, param: Tensor, moment: Tensor, grad: Tensor, lr: Tensor) -> tuple[Tensor, ...]:
        if self.num_outputs == 2 and self.decay == 1 and fusable(param, moment, grad, lr):
            self.fused([param], [grad], [moment], lr)()
            return param, moment
        if self.weight_decay:
            grad = grad.add(param, alpha=self.weight_decay)
        if self.decay != 1:
            moment.mul_(self.decay)
        moment.addcmul_(grad, grad)
        divisor = moment.sqrt().add_(self.epsilon)
        if self.num_outputs == 2 and lr.device.type == "cpu":
            return param.addcdiv_(grad, divisor, value=lr.item()), moment
        rates = scalar(lr) / divisor
        update = rates * grad
        return param.add_(update), moment, rates, update

    def fused(
        self, params: list[Tensor], grads: list[Tensor], moments: list[Tensor], lr: Tensor
    ) -> Callable[[], None]:
        """One call of torch's that updates all the parameters."""
        update = partial(
            torch._fused_adagrad_,
            *(params, grads, moments, [torch.ones(())] * len(params)),
            lr_decay=0.0,
            weight_decay=-self.weight_decay,
            eps=self.epsilon,
            maximize=True,
        )
        return lambda: update(lr=lr.item())

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        return self.calls_together([inputs], [outputs])

    def calls_together(
        self, inputs: Sequence[Sequence[Tensor]], outputs: Sequence[Sequence[Tensor]]
    ) -> list[Call] | None:
        """All parameters that have one learning rate."""
        lr = inputs[0][3]
        if self.decay != 1 or not all(x[3] is lr and fusable(*x) for x in inputs):
            return None
        if any(
            len(y) != 2 or y[0] is not x[0] or y[1] is not x[1] for x, y in zip(inputs, outputs, strict=True)
        ):
            return None
        params, moments, grads = (list(column) for column in zip(*(x[:3] for x in inputs), strict=True))
        return [call(self.fused(params, grads, moments, lr))]


class SparseAdagrad(SparseUpdate):
    """As Adagrad, for some rows.

    Shapes:   param, moment: (rows, ...); indices: (n,); grad: (n, ...); lr: (1,) -> param, moment
    Source:   caffe2/sgd/adagrad_op.h
    """

    inputs = (*_STATE, INDICES, Port("grad", FLOAT), LR)
    outputs = (Port("param"), Port("moment"))
    args: ClassVar[tuple[Arg, ...]] = (_EPSILON, _WEIGHT_DECAY, Arg("decay", float, 1.0, "must be 1"))
    must_inplace = ((0, 0), (1, 1))
    alike: ClassVar[tuple[str, ...]] = ("param", "moment")

    def setup(self) -> None:
        if self.decay != 1:
            self.refuse(f"argument 'decay' must be 1 here, got {self.decay}.", ArgumentError)

    def kernel_inplace(
        self, param: Tensor, moment: Tensor, indices: Tensor, grad: Tensor, lr: Tensor
    ) -> tuple[Tensor, ...]:
        rate = scalar(lr)

        def step(g: Tensor, p: Tensor, m: Tensor) -> None:
            if self.weight_decay:
                g = g.add(p, alpha=self.weight_decay)
            p.add_(g * rate / self.grow(m, g).sqrt().add_(self.epsilon))

        self.update_rows(indices, grad, (param, moment), step)
        return param, moment

    def grow(self, moment: Tensor, g: Tensor) -> Tensor:
        """Add g² to the moment; the moment for each element."""
        return moment.addcmul_(g, g)


class RowWiseSparseAdagrad(SparseAdagrad):
    """As SparseAdagrad, with one moment for a row: the sum of the row's mean g².

    Shapes:   as SparseAdagrad, but moment: (rows,)
    Source:   caffe2/sgd/adagrad_op.h
    """

    args = (_EPSILON, _WEIGHT_DECAY)
    alike = ()

    def setup(self) -> None:
        """Nothing to derive."""

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        if inputs[1].numel() != inputs[0].shape[0]:
            self.refuse(f"moment must have one element for each of the {inputs[0].shape[0]} rows of param.")

    def grow(self, moment: Tensor, g: Tensor) -> Tensor:
        moment.add_(g.square().flatten(1).mean(1).view(moment.shape) if g.dim() > 1 else g.square())
        return moment.view(-1, *[1] * (g.dim() - 1))


class _Adadelta:
    """The arithmetic, in place on whatever rows it is given."""

    epsilon: float
    decay: float
    refuse: Any

    def setup(self) -> None:
        self.epsilon, self.decay = f32(self.epsilon), f32(self.decay)
        if self.epsilon < 0 or not 0 < self.decay < 1:
            self.refuse("argument 'epsilon' must be >= 0, and 'decay' between 0 and 1.", ArgumentError)

    def step(self, g: Tensor, p: Tensor, m: Tensor, d: Tensor, lr: Any) -> None:
        m.mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
        move = torch.sqrt(d + self.epsilon).div_(torch.sqrt(m + self.epsilon)).mul_(g)
        p.add_(move * lr)
        d.mul_(self.decay).addcmul_(move, move, value=1 - self.decay)


_DELTA = Port("moment_delta", FLOAT)
_DELTA_ARGS = (_EPSILON, Arg("decay", float, 0.95, "share of the moments that is kept, between 0 and 1"))


class Adadelta(_Adadelta, Update):
    """moment = mean of g²; d = sqrt(delta + eps) / sqrt(moment + eps) * g; param = param + lr * d; delta = mean of d².

    Shapes:   param, moment, moment_delta, grad: of one size; lr: (1,) -> the first three
    Source:   caffe2/sgd/adadelta_op.h; arXiv:1212.5701
    """

    inputs = (*_STATE, _DELTA, Port("grad", FLOAT), LR)
    outputs = (Port("param"), Port("moment"), Port("moment_delta"))
    args = _DELTA_ARGS
    inplace = ((0, 0), (1, 1), (2, 2))
    alike = ("param", "moment", "moment_delta", "grad")

    def kernel_inplace(
        self, param: Tensor, moment: Tensor, delta: Tensor, grad: Tensor, lr: Tensor
    ) -> tuple[Tensor, ...]:
        self.step(grad, param, moment, delta, scalar(lr))
        return param, moment, delta


class SparseAdadelta(_Adadelta, SparseUpdate):
    """As Adadelta, for some rows.

    Shapes:   param, moment, moment_delta: (rows, ...); indices: (n,); grad: (n, ...); lr: (1,) -> the first three
    Source:   caffe2/sgd/adadelta_op.h
    """

    inputs = (*_STATE, _DELTA, INDICES, Port("grad", FLOAT), LR)
    outputs = Adadelta.outputs
    args = _DELTA_ARGS
    must_inplace = ((0, 0), (1, 1), (2, 2))
    alike = ("param", "moment", "moment_delta")

    def kernel_inplace(
        self, param: Tensor, moment: Tensor, delta: Tensor, indices: Tensor, grad: Tensor, lr: Tensor
    ) -> tuple[Tensor, ...]:
        rate = scalar(lr)

        def step(g: Tensor, p: Tensor, m: Tensor, d: Tensor) -> None:
            self.step(g, p, m, d, rate)

        self.update_rows(indices, grad, (param, moment, delta), step)
        return param, moment, delta
