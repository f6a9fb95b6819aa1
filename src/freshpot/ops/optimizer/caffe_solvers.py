"""The update rules of BVLC Caffe's solvers, for all parameters of a net in one operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Call, Operator, call
from freshpot.ops.optimizer._one_pass import fits, one_pass
from freshpot.ops.optimizer._update import ITER, LR, f32

_MOMENTUM = Arg("momentum", float, 0.0, "share of the history that is kept")
_DELTA = Arg("delta", float, 1e-8, "added to divisors")

Group = list[Tensor]
#: a number of single precision, or a tensor of it on a device
Rate = float | Tensor


def times(rate: Rate, factor: Rate) -> Rate:
    """The product in single precision; on the device, if one of them is there."""
    if isinstance(rate, Tensor) and rate.device.type == "cpu":
        rate = rate.item()
    if isinstance(rate, Tensor):
        return (rate.reshape(()).double() * factor).float()
    return (factor.double() * rate).float() if isinstance(factor, Tensor) else f32(rate * factor)


class CaffeUpdate(Operator, abstract=True):
    """What the rules share, in the original's order: clipping, iter_size, weight decay, the rule, the step.

    Blobs come as all parameters, then all their gradients, then ``slots`` histories of each (all
    first ones before all second ones). Everything is overwritten: gradients become the steps that
    were subtracted from the parameters, as users see them in ``diff``.
    """

    inputs = (LR, ITER, Port("blobs", FLOAT, many=True, doc="parameters, gradients, histories"))
    outputs = (Port("norm"), Port("blobs", many=True))
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("lr_mults", [float], doc="factor of the learning rate, one a parameter"),
        Arg("decay_mults", [float], doc="factor of the weight decay, one a parameter"),
        Arg("weight_decay", float, 0.0, "strength of the regularization"),
        Arg(
            "regularization", str, "L2", "what decays: the square or the absolute value", choices=("L1", "L2")
        ),
        Arg("clip_gradients", float, -1.0, "greatest L2 norm of all gradients; negative: no limit"),
        Arg("iter_size", int, 1, "passes whose gradients were added, > 0"),
        _MOMENTUM,
        Arg("momentum2", float, 0.999, "share of Adam's second moment that is kept"),
        Arg("rms_decay", float, 0.99, "share of RMSProp's mean square that is kept"),
        _DELTA,
    )
    no_gradient = "it updates parameters"
    device_numbers = ("lr", "iter")
    #: histories that the rule keeps for each parameter
    slots: ClassVar[int] = 1

    def __init__(self, op: Op, device: torch.device | None = None) -> None:
        pairs = tuple((i, i - 1) for i in range(2, len(op.inputs)))
        self.must_inplace = pairs  # as many as there are blobs
        super().__init__(op, device)

    def setup(self) -> None:
        count = len(self.lr_mults)
        if len(self.decay_mults) != count:
            self.refuse(
                f"lr_mults ({count}) and decay_mults ({len(self.decay_mults)}) must be as many.",
                ArgumentError,
            )
        wanted = count * (2 + self.slots)
        if self.num_inputs - 2 != wanted or self.num_outputs - 1 != wanted:
            self.refuse(
                f"{count} parameters need {wanted} blobs (parameters, gradients, {self.slots} histories of each) "
                f"as inputs and outputs; got {self.num_inputs - 2} and {self.num_outputs - 1}.",
                ArityError,
            )
        if self.iter_size < 1:
            self.refuse(f"argument 'iter_size' must be > 0, got {self.iter_size}.", ArgumentError)
        for name in ("momentum", "momentum2", "rms_decay", "delta"):
            setattr(self, name, f32(getattr(self, name)))
        self.count = count
        self._groups = self._group()

    def _group(self) -> list[tuple[list[int], float, float]]:
        """Parameters with the same factors, which are updated by the same calls: (numbers, rate, decay)."""
        found: dict[tuple[float, float], list[int]] = {}
        for i, (rate, mult) in enumerate(zip(self.lr_mults, self.decay_mults, strict=True)):
            found.setdefault((rate, f32(f32(self.weight_decay) * f32(mult))), []).append(i)
        return [(numbers, rate, decay) for (rate, decay), numbers in found.items()]

    def check(self, lr: Tensor, it: Tensor, *blobs: Tensor) -> None:
        for name, one in (("lr", lr), ("iter", it)):
            if one.numel() != 1:
                self.refuse(f"input {name} must be one number, got shape {tuple(one.shape)}.")
        for i, blob in enumerate(blobs):
            if blob.shape != blobs[i % self.count].shape:
                self.refuse(
                    f"blob '{self.op.inputs[2 + i]}' must have shape {tuple(blobs[i % self.count].shape)}, like its "
                    f"parameter '{self.op.inputs[2 + i % self.count]}'; got {tuple(blob.shape)}."
                )

    def kernel(self, lr: Tensor, it: Tensor, *blobs: Tensor) -> tuple[Tensor, ...]:
        return self.kernel_inplace(lr, it, *(b.clone() for b in blobs))

    def kernel_inplace(self, lr: Tensor, it: Tensor, *blobs: Tensor) -> tuple[Tensor, ...]:
        n = self.count
        params, grads = blobs[:n], blobs[n : 2 * n]
        norm = self._clip(grads)
        self.prepare(it)
        for numbers, mult, decay in self._groups:
            g = [grads[i] for i in numbers]
            p = [params[i] for i in numbers]
            slots = [[blobs[(2 + s) * n + i] for i in numbers] for s in range(self.slots)]
            self.step(p, g, times(lr, mult), decay, *slots)
        return norm, *blobs

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        def run() -> None:
            outputs[0].copy_(self.kernel_inplace(*inputs)[0])

        return [call(run)]

    def step(self, p: Group, g: Group, rate: Rate, decay: float, *slots: Group) -> None:
        """Update parameters that share their factors."""
        if self.iter_size > 1:
            torch._foreach_mul_(g, 1 / self.iter_size)
        if decay:
            torch._foreach_add_(g, p if self.regularization == "L2" else torch._foreach_sign(p), alpha=decay)
        self.rule(g, rate, *slots)
        torch._foreach_sub_(p, g)

    def _clip(self, grads: tuple[Tensor, ...]) -> Tensor:
        """Scale the gradients down to the limit; returns their norm before (0 where there is no limit)."""
        if self.clip_gradients < 0 or not grads:
            return torch.zeros(1, device=self.device)
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        if norm.device.type != "cpu":
            at = norm.double()
            share = torch.where(at > self.clip_gradients, self.clip_gradients / at, 1.0)
            torch._foreach_mul_(grads, share.float())
            return norm.reshape(1)
        found = norm.item()
        if found > self.clip_gradients:
            torch._foreach_mul_(grads, f32(self.clip_gradients / found))
        return norm.reshape(1)

    def prepare(self, it: Tensor) -> None:
        """Called once a run, before the rule: what depends on the iteration."""

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        """Turn gradients into steps, in place, and move the histories."""
        raise NotImplementedError  # every rule defines it


class CaffeSGD(CaffeUpdate):
    """h = momentum h + lr g; param = param - h.

    Shapes:   lr, iter: (1,); blobs: parameters, gradients, h, each like its parameter -> norm of all gradients
              before clipping: (1,), and the blobs, overwritten; gradients become the steps
    Raises:   ArityError, ArgumentError, ShapeError if blobs and factors do not match.
    Source:   BVLC/caffe src/caffe/solvers/sgd_solver.cpp
    """

    def kernel_inplace(self, lr: Tensor, it: Tensor, *blobs: Tensor) -> tuple[Tensor, ...]:
        update = self._in_one_pass(lr, blobs)
        if update is None:
            return super().kernel_inplace(lr, it, *blobs)
        norm = self._clip(blobs[self.count : 2 * self.count])
        update()
        return norm, *blobs

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        lr, _, *blobs = inputs
        update = self._in_one_pass(lr, blobs)
        if update is None:
            return super().calls(inputs, outputs)
        grads = tuple(blobs[self.count : 2 * self.count])
        limited = self.clip_gradients >= 0
        norm = (
            call(lambda: outputs[0].copy_(self._clip(grads))) if limited else call(outputs[0].numpy().fill, 0)
        )
        return [norm, call(update)]

    def _in_one_pass(self, lr: Tensor, blobs: Sequence[Tensor]) -> Callable[[], None] | None:
        """All parameters' steps by machine code, where it does what the rule says and may."""
        plain = self.iter_size == 1 and (not self.weight_decay or self.regularization == "L2")
        if not plain or not fits([lr, *blobs]):
            return None
        decays = [f32(f32(self.weight_decay) * f32(mult)) for mult in self.decay_mults]
        return one_pass(blobs, lr, self.lr_mults, decays, self.momentum)

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        (h,) = slots
        torch._foreach_mul_(h, self.momentum)
        if isinstance(rate, Tensor):
            for history, gradient in zip(h, g, strict=True):
                history.addcmul_(gradient, rate)
        else:
            torch._foreach_add_(h, g, alpha=rate)
        torch._foreach_copy_(g, h)


class CaffeNesterov(CaffeUpdate):
    """h' = momentum h + lr g; param = param - ((1 + momentum) h' - momentum h).

    Shapes:   as CaffeSGD
    Source:   BVLC/caffe src/caffe/solvers/nesterov_solver.cpp
    """

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        (h,) = slots
        before = torch._foreach_mul(h, self.momentum)
        torch._foreach_mul_(g, rate)
        torch._foreach_add_(g, before)
        torch._foreach_copy_(h, g)
        torch._foreach_mul_(g, 1 + self.momentum)
        torch._foreach_sub_(g, before)


class CaffeAdaGrad(CaffeUpdate):
    """h = h + g²; param = param - lr g / (sqrt(h) + delta).

    Shapes:   as CaffeSGD
    Source:   BVLC/caffe src/caffe/solvers/adagrad_solver.cpp
    """

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        (h,) = slots
        torch._foreach_addcmul_(h, g, g)
        _divide_by_root(g, h, self.delta)
        torch._foreach_mul_(g, rate)


class CaffeRMSProp(CaffeUpdate):
    """h = rms_decay h + (1 - rms_decay) g²; param = param - lr g / (sqrt(h) + delta).

    Shapes:   as CaffeSGD
    Source:   BVLC/caffe src/caffe/solvers/rmsprop_solver.cpp
    """

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        (h,) = slots
        torch._foreach_mul_(h, self.rms_decay)
        torch._foreach_addcmul_(h, g, g, f32(1 - self.rms_decay))
        _divide_by_root(g, h, self.delta)
        torch._foreach_mul_(g, rate)


class CaffeAdaDelta(CaffeUpdate):
    """h, k = means of g² and of u²; u = g sqrt((k + delta) / (h + delta)); param = param - lr u.

    Shapes:   lr, iter: (1,); blobs: parameters, gradients, h, k -> as CaffeSGD
    Source:   BVLC/caffe src/caffe/solvers/adadelta_solver.cpp
    """

    slots = 2

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        h, k = slots
        torch._foreach_mul_(h, self.momentum)
        torch._foreach_addcmul_(h, g, g, 1 - self.momentum)
        ratio = torch._foreach_add(k, self.delta)
        torch._foreach_div_(ratio, torch._foreach_add(h, self.delta))
        torch._foreach_sqrt_(ratio)
        torch._foreach_mul_(g, ratio)
        torch._foreach_mul_(k, self.momentum)
        torch._foreach_addcmul_(k, g, g, 1 - self.momentum)
        torch._foreach_mul_(g, rate)


class CaffeAdam(CaffeUpdate):
    """m, v = means of g and g²; param = param - lr sqrt(1 - momentum2^t) / (1 - momentum^t) m / (sqrt(v) + delta).

    Shapes:   lr, iter: (1,), t = iter + 1; blobs: parameters, gradients, m, v -> as CaffeSGD
    Source:   BVLC/caffe src/caffe/solvers/adam_solver.cpp; arXiv:1412.6980
    """

    slots = 2

    def prepare(self, it: Tensor) -> None:
        self._correction: Rate
        if it.device.type == "cpu":
            t = int(it.item()) + 1
            self._correction = f32(math.sqrt(1 - self.momentum2**t) / (1 - self.momentum**t))
        else:
            now = it.reshape(()).double() + 1
            self._correction = (1 - self.momentum2**now).sqrt_().div_(1 - self.momentum**now).float()

    def rule(self, g: Group, rate: Rate, *slots: Any) -> None:
        m, v = slots
        torch._foreach_mul_(m, self.momentum)
        torch._foreach_add_(m, g, alpha=1 - self.momentum)
        torch._foreach_mul_(v, self.momentum2)
        torch._foreach_addcmul_(v, g, g, 1 - self.momentum2)
        torch._foreach_copy_(g, m)
        _divide_by_root(g, v, self.delta)
        if isinstance(rate, Tensor) or isinstance(self._correction, Tensor):
            torch._foreach_mul_(g, times(rate, self._correction))
        else:
            torch._foreach_mul_(g, rate * self._correction)


def _divide_by_root(g: Group, h: Group, delta: float) -> None:
    """g = g / (sqrt(h) + delta), in place."""
    divisor = torch._foreach_sqrt(h)
    torch._foreach_add_(divisor, delta)
    torch._foreach_div_(g, divisor)
