"""Learning rate schedules: each policy is a function of the iteration, made once from the arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Call, Operator, call

Schedule = Callable[[int], float]
Read = Callable[..., Any]


def _fixed(read: Read, base: float) -> Schedule:
    return lambda i: 1.0


def _alter(read: Read, base: float) -> Schedule:
    first = read("active_first", bool, True)
    active, inactive = read("active_period", int, -1), read("inactive_period", int, -1)
    head = active if first else inactive

    def schedule(i: int) -> float:
        return float((math.fmod(i, active + inactive) < head) == first)

    return schedule


def _step(read: Read, base: float) -> Schedule:
    size, gamma = read("stepsize", int, 0), read("gamma", float, 0.0)
    if size <= 0:
        raise ValueError(f"'stepsize' must be > 0, got {size}")
    return lambda i: _power(gamma, i // size)


def _exp(read: Read, base: float) -> Schedule:
    gamma = read("gamma", float, 0.0)
    return lambda i: _power(gamma, i)


def _inv(read: Read, base: float) -> Schedule:
    gamma, power = read("gamma", float, 0.0), read("power", float, 0.0)
    return lambda i: _power(1 + gamma * i, -power)


def _poly(read: Read, base: float) -> Schedule:
    last, power = read("max_iter", int, -1), read("power", float, 0.0)
    return lambda i: _power(1 - i / last if last else math.nan, power)


def _gate(read: Read, base: float) -> Schedule:
    before, after = read("multiplier_1", float, 1.0), read("multiplier_2", float, 1.0)
    count = read("num_iter", int, 0)
    return lambda i: after if i >= count else before


def _linear_warmup(read: Read, base: float) -> Schedule:
    return _rising(read("start_multiplier", float, 0.0), read("num_iter", int, 0))


def _rising(start: float, count: int) -> Schedule:
    return lambda i: 1.0 if i >= count else start + (1 - start) * i / count


def _constant_warmup(read: Read, base: float) -> Schedule:
    multiplier, count = read("multiplier", float, 0.5), read("num_iter", int, 0)
    return lambda i: 1.0 if i >= count else multiplier


def _piece_warmup(read: Read, base: float) -> Schedule:
    m1, m2, m3 = (read(f"m{k}", float, 0.5) for k in (1, 2, 3))
    n1, n2 = (read(f"n{k}", int, 0) for k in (1, 2))
    return lambda i: m1 if i < n1 else m2 if i < n2 else m3


def _hill(read: Read, base: float) -> Schedule:
    count, least = read("num_iter", int, 0), read("end_multiplier", float, 0.0)
    up = _rising(read("start_multiplier", float, 0.0), count)
    down = _inv(read, base)
    return lambda i: up(i) if i < count else max(least, down(i - count))


def _slope(read: Read, base: float) -> Schedule:
    n1, m1 = read("num_iter_1", int, 0), read("multiplier_1", float, 0.0)
    n2, m2 = read("num_iter_2", int, 0), read("multiplier_2", float, 0.0)
    if n2 <= n1:
        raise ValueError(f"'num_iter_2' ({n2}) must be greater than 'num_iter_1' ({n1})")
    return lambda i: m1 if i < n1 else max(m2, m1 + (i - n1) * (m2 - m1) / (n2 - n1))


def _cyclical(
    read: Read, base: float, prefix: str = "", size_name: str = "stepsize", top: float = 0.005
) -> Schedule:
    highest, size = (
        read(prefix + "max_lr", float, top),
        read(prefix + size_name, int, 0 if not prefix else 1000000),
    )
    decay = read(prefix + "decay", float, 1.0)
    if size <= 0:
        raise ValueError(f"'{prefix}{size_name}' must be > 0, got {size}")
    height = abs(highest) / abs(base) - 1

    def schedule(i: int) -> float:
        cycle = i // (2 * size)
        x = abs(i / size - 2 * (cycle + 1) + 1)
        return 1 + height * max(0.0, 1 - x) * _power(decay, cycle)

    return schedule


def _cosine(read: Read, base: float, prefix: str = "") -> Schedule:
    high, low = read(prefix + "max_lr", float, 0.5), read(prefix + "min_lr", float, 0.1)
    period, longer = read(prefix + "period", int, 50), read(prefix + "t_mult", float, 1.0)
    shrink = read(prefix + "lr_shrink", float, 0.99)
    if period <= 0:
        raise ValueError(f"'{prefix}period' must be > 0, got {period}")

    def schedule(i: int) -> float:
        if longer == 1:
            turn, length = i // period, float(period)
            at = i - length * turn
        else:
            turn = math.floor(math.log(1 - i / period * (1 - longer)) / math.log(longer))
            length = longer**turn * period
            at = i - (1 - longer**turn) / (1 - longer) * period
        scale = shrink**turn
        return scale * (low + 0.5 * (high - low) * (1 + math.cos(math.pi * at / length)))

    return schedule


def _constant_then_linear(read: Read, base: float) -> Schedule:
    start = read("start_warmup_multiplier", float, 0.1)
    flat, rising = (read(f"{kind}_warmup_num_iter", int, 10_000_000) for kind in ("constant", "linear"))
    up = _rising(start, rising)
    return lambda i: start if i < flat else up(i - flat)


def _after_warmup(then: Callable[[Read, float], Schedule]) -> Callable[[Read, float], Schedule]:
    def make(read: Read, base: float) -> Schedule:
        warmup, main = _constant_then_linear(read, base), then(read, base)
        count = sum(read(f"{kind}_warmup_num_iter", int, 10_000_000) for kind in ("constant", "linear"))
        return lambda i: warmup(i) if i < count else main(i - count)

    return make


def _power(base: float, exponent: float) -> float:
    """As C's pow: no complex numbers, and infinity where Python has an exception."""
    if base < 0 and exponent != int(exponent):
        return math.nan
    try:
        return float(base**exponent)
    except (OverflowError, ZeroDivisionError):
        return math.inf


_POLICIES: dict[str, Callable[[Read, float], Schedule]] = {
    "fixed": _fixed,
    "alter": _alter,
    "hill": _hill,
    "slope": _slope,
    "step": _step,
    "exp": _exp,
    "gate": _gate,
    "inv": _inv,
    "poly": _poly,
    "linearWarmup": _linear_warmup,
    "constantWarmup": _constant_warmup,
    "pieceWarmup": _piece_warmup,
    "cyclical": _cyclical,
    "constantThenLinearWarmup": _constant_then_linear,
    "compositeCyclical": _after_warmup(lambda r, b: _cyclical(r, b, "cyclical_", "step_size", 0.05)),
    "cosine": _cosine,
    "compositeCosine": _after_warmup(lambda r, b: _cosine(r, b, "cosine_")),
}


class LearningRate(Operator):
    """lr = base_lr * policy(iter).

    Policies: fixed 1; step gamma^floor(iter/stepsize); exp gamma^iter; inv (1 + gamma*iter)^-power; poly
    (1 - iter/max_iter)^power; gate, alter, linearWarmup, constantWarmup, pieceWarmup, hill, slope, cyclical,
    cosine, constantThenLinearWarmup, compositeCyclical, compositeCosine; and composite, which runs others
    (their arguments start with ``sub_policy_<k>_``) one after another, ``sub_policy_num_iters`` each.

    Shapes:   iter: (1,) int64 -> lr: () float32
    Raises:   ArgumentError if the policy is unknown or its arguments make no schedule.
    Source:   caffe2/sgd/learning_rate_op.h, learning_rate_functors.h
    """

    inputs = (Port("iter", ("int64",)),)
    outputs = (Port("lr"),)
    args = (
        Arg("base_lr", float, doc="what the policy multiplies"),
        Arg("policy", str, doc="name of the policy"),
    )
    gradient_stops = True

    def setup(self) -> None:
        self.schedule = self._composite() if self.policy == "composite" else self._make(self.policy, "")

    def check(self, it: Tensor) -> None:
        if it.numel() < 1:
            self.refuse("input iter must hold a number.")

    def infer(self, it: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty((), device="meta"),)

    def kernel(self, it: Tensor) -> Tensor:
        i = it.item() if it.dim() == 0 or it.numel() == 1 else it.reshape(-1)[0].item()
        return torch.scalar_tensor(
            self.base_lr * self.schedule(int(i)), dtype=torch.float32, device=self.device
        )

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if inputs[0].numel() != 1:
            return None
        iteration, fill = inputs[0].item, outputs[0].numpy().fill
        schedule, base = self.schedule, self.base_lr

        def update() -> None:
            fill(base * schedule(int(iteration())))

        return [call(update)]

    def _make(self, policy: str, prefix: str) -> Schedule:
        if policy not in _POLICIES:
            known = ", ".join([*_POLICIES, "composite"])
            self.refuse(f"argument '{prefix}policy' is '{policy}'; there are {known}.", ArgumentError)

        def read(name: str, kind: type, default: Any) -> Any:
            return Arg(prefix + name, kind, default).read(self.op)

        try:
            return _POLICIES[policy](read, self.base_lr)
        except (ValueError, ZeroDivisionError) as error:
            if isinstance(error, ArgumentError):
                raise
            self.refuse(f"policy '{policy}': {error}.", ArgumentError)

    def _composite(self) -> Schedule:
        counts = Arg("sub_policy_num_iters", [int], []).read(self.op)
        if not counts or min(counts) <= 0:
            self.refuse("argument 'sub_policy_num_iters' must list numbers > 0.", ArgumentError)
        parts: list[tuple[int, float, Schedule]] = []
        start = 1  # the original counts a composite's iterations from 1
        for k, count in enumerate(counts):
            prefix = f"sub_policy_{k}_"
            scale = Arg(prefix + "lr_scale", float, 1.0).read(self.op)
            parts.append((start, scale, self._make(Arg(prefix + "policy", str, "").read(self.op), prefix)))
            start += count

        def schedule(i: int) -> float:
            if i < 1:
                self.refuse(f"policy composite starts at iteration 1, got {i}.")
            _, scale, part = next(p for p in reversed(parts) if p[0] <= i)
            return scale * part(i)

        return schedule
