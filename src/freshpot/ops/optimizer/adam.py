"""Adam, and RAdam for rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Call, call
from freshpot.ops.optimizer._update import INDICES, ITER, LR, SparseUpdate, Update, f32, fusable, scalar

_ARGS = (
    Arg("beta1", float, 0.9, "share of the first moment that is kept, 0 to 1"),
    Arg("beta2", float, 0.999, "share of the second moment that is kept, 0 to 1"),
    Arg("epsilon", float, 1e-5, "added to the divisor, > 0"),
)
_RADAM = Arg("enableRAdam", bool, False, "rectify the variance (arXiv:1908.03265)")
_STATE = (Port("param", FLOAT), Port("moment_1", FLOAT), Port("moment_2", FLOAT))
_MADE = (Port("param"), Port("moment_1"), Port("moment_2"), Port("step", optional=True))


class _Adam:
    """The arithmetic, in place on whatever rows it is given."""

    beta1: float
    beta2: float
    epsilon: float
    rectified = False

    def setup(self) -> None:
        self.beta1, self.beta2, self.epsilon = f32(self.beta1), f32(self.beta2), f32(self.epsilon)

    def scales(self, it: Tensor) -> tuple[Any, bool]:
        """Factor of the first moment at this iteration, and whether to divide by the second's root.

        If the iteration lies on a device, so does the factor: nothing waits for it.
        """
        if it.device.type != "cpu" and not self.rectified:
            on_device = it.reshape(()).double() + 1
            return (1 - self.beta2**on_device).sqrt_().div_(1 - self.beta1**on_device), True
        t = int(it.item()) + 1
        left1, left2 = 1 - self.beta1**t, 1 - self.beta2**t
        if not self.rectified:
            return math.sqrt(left2) / left1, True
        most = 2 / (1 - self.beta2) - 1
        now = most - 2 * t * self.beta2**t / left2
        if now < 5:
            return 1 / left1, False
        rectify = math.sqrt((now - 4) * (now - 2) / now * most / ((most - 4) * (most - 2)))
        return rectify * math.sqrt(left2) / left1, True

    def move(self, g: Tensor, m1: Tensor, m2: Tensor) -> None:
        """Both moments, in place."""
        m1.mul_(self.beta1).add_(g, alpha=1 - self.beta1)
        m2.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)

    def direction(self, m1: Tensor, m2: Tensor, scales: tuple[Any, bool]) -> Tensor:
        """The step for a learning rate of 1."""
        factor, divide = scales
        if not divide:
            return m1 * factor
        return m1.div(m2.sqrt().add_(self.epsilon)).mul_(factor)


class Adam(_Adam, Update):
    """m1, m2 = means of g and g²; param = param + lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m1 / (sqrt(m2) + eps).

    Shapes:   param, moment_1, moment_2, grad: of one size; lr: (1,); iter: (1,), t = iter + 1 -> the first three,
              and the step for a learning rate of 1
    Source:   caffe2/sgd/adam_op.h; arXiv:1412.6980
    """

    inputs = (*_STATE, Port("grad", FLOAT), LR, ITER)
    outputs = _MADE
    args = _ARGS
    inplace = ((0, 0), (1, 1), (2, 2))
    device_numbers = ("iter",)
    alike = ("param", "moment_1", "moment_2", "grad")

    def kernel_inplace(
        self, param: Tensor, m1: Tensor, m2: Tensor, grad: Tensor, lr: Tensor, it: Tensor
    ) -> tuple[Tensor, ...]:
        if self.num_outputs == 3 and fusable(param, m1, m2, grad, lr, it):
            self.fused([param], [grad], [m1], [m2], lr, it)()
            return param, m1, m2
        self.move(grad, m1, m2)
        scales = self.scales(it)
        if self.num_outputs == 3 and lr.device.type == "cpu":
            param.addcdiv_(m1, m2.sqrt().add_(self.epsilon), value=lr.item() * scales[0])
            return param, m1, m2
        step = self.direction(m1, m2, scales)
        return param.add_(step * scalar(lr)), m1, m2, step

    def fused(
        self,
        params: list[Tensor],
        grads: list[Tensor],
        m1: list[Tensor],
        m2: list[Tensor],
        lr: Tensor,
        it: Tensor,
    ) -> Callable[[], None]:
        """One call of torch's that updates all the parameters.

        Its divisor is sqrt(m2 / (1 - beta2^t)) + eps, so eps is scaled here to make the formulas one.
        """
        step, beta2 = torch.zeros(()), self.beta2
        update = partial(
            torch._fused_adam_,
            *(params, grads, m1, m2, [], [step] * len(params)),
            beta1=self.beta1,
            beta2=beta2,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )

        def run() -> None:
            t = int(it.item()) + 1
            step.fill_(t)
            update(lr=-lr.item(), eps=self.epsilon / math.sqrt(1 - beta2**t))

        return run

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        return self.calls_together([inputs], [outputs])

    def calls_together(
        self, inputs: Sequence[Sequence[Tensor]], outputs: Sequence[Sequence[Tensor]]
    ) -> list[Call] | None:
        """All parameters that have one learning rate and one iteration."""
        lr, it = inputs[0][4:]
        fit = all(x[4] is lr and x[5] is it and fusable(*x) for x in inputs)
        if not fit or any(
            len(y) != 3 or y[i] is not x[i] for x, y in zip(inputs, outputs, strict=True) for i in range(3)
        ):
            return None
        params, m1, m2, grads = (list(column) for column in zip(*(x[:4] for x in inputs), strict=True))
        return [call(self.fused(params, grads, m1, m2, lr, it))]


class SparseAdam(_Adam, SparseUpdate):
    """As Adam, for some rows.

    Shapes:   param, moment_1, moment_2: (rows, ...); indices: (n,); grad: (n, ...); lr, iter: (1,) -> as Adam
    Source:   caffe2/sgd/adam_op.h
    """

    inputs = (*_STATE, INDICES, Port("grad", FLOAT), LR, ITER)
    outputs = _MADE
    args: ClassVar[tuple[Arg, ...]] = (*_ARGS, _RADAM)
    must_inplace = ((0, 0), (1, 1), (2, 2))
    alike: ClassVar[tuple[str, ...]] = ("param", "moment_1", "moment_2")

    def setup(self) -> None:
        super().setup()
        self.rectified = bool(getattr(self, "enableRAdam", False))

    def kernel_inplace(
        self, param: Tensor, m1: Tensor, m2: Tensor, indices: Tensor, grad: Tensor, lr: Tensor, it: Tensor
    ) -> tuple[Tensor, ...]:
        scales, rate = self.scales(it), scalar(lr)
        made = grad.new_empty(indices.numel(), *param.shape[1:])

        def step(g: Tensor, p: Tensor, a: Tensor, b: Tensor) -> Tensor:
            self.move(g, a, b)
            direction = self.direction(a, self.spread(b, g), scales)
            p.add_(direction * rate)
            return direction

        for at, direction in self.update_rows(indices, grad, (param, m1, m2), step):
            made[slice(None) if at is None else at] = direction
        return param, m1, m2, made.view(grad.shape)

    def spread(self, moment: Tensor, like: Tensor) -> Any:
        """The second moment, for each element."""
        return moment


class RowWiseSparseAdam(SparseAdam):
    """As SparseAdam, with one second moment for a row: the moving mean of the row's mean g².

    Shapes:   as SparseAdam, but moment_2: (rows,)
    Source:   caffe2/sgd/adam_op.h
    """

    args = _ARGS
    alike = ("param", "moment_1")

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        if inputs[2].numel() != inputs[0].shape[0]:
            self.refuse(f"moment_2 must have one element for each of the {inputs[0].shape[0]} rows of param.")

    def move(self, g: Tensor, m1: Tensor, m2: Tensor) -> None:
        m1.mul_(self.beta1).add_(g, alpha=1 - self.beta1)
        m2.mul_(self.beta2).add_(g.square().flatten(1).mean(1), alpha=1 - self.beta2)

    def spread(self, moment: Tensor, like: Tensor) -> Any:
        return moment.view(-1, *[1] * (like.dim() - 1))
