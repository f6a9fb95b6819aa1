"""Learning rate policies: the rate at an iteration.

Owned here: the seven policies, in single precision where the original is. Who calls it: `solver`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from caffe import _log
from freshpot.errors import ArgumentError, near_matches

_one = np.float32(1)
_single = struct.Struct("f")


def _f32(value: float) -> float:
    """A number as single precision has it; of a sum or product of two such numbers, what single precision gives."""
    try:
        return _single.unpack(_single.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def learning_rate(param: Any, iteration: int, current_step: int) -> tuple[float, int]:
    """The rate at an iteration, and the step it is in.

    Args:
        param: the SolverParameter.
        iteration: iterations done.
        current_step: the step so far (policies step and multistep).

    Raises:
        ArgumentError: no such policy, or a field that it needs is missing or wrong.
    """
    policy = param.lr_policy
    if policy not in _POLICIES:
        raise ArgumentError(
            f"there is no lr_policy '{policy}'. Known: {', '.join(_POLICIES)}.{near_matches(policy, _POLICIES)}"
        )
    if policy in ("step", "exp", "inv", "multistep", "sigmoid") and param.gamma < 0:
        raise ArgumentError(f"lr_policy '{policy}' needs gamma >= 0, got {param.gamma:g}.")
    if policy in ("step", "sigmoid") and param.stepsize <= 0:
        raise ArgumentError(f"lr_policy '{policy}' needs stepsize > 0, got {param.stepsize}.")
    step = _step(param, iteration, current_step)
    return _f32(_POLICIES[policy](param, iteration, step)), step


def _step(param: Any, iteration: int, current: int) -> int:
    if param.lr_policy == "step":
        return iteration // param.stepsize
    if (
        param.lr_policy == "multistep"
        and current < len(param.stepvalue)
        and iteration >= param.stepvalue[current]
    ):
        _log.info("sgd_solver.cpp:50", f"MultiStep Status: Iteration {iteration}, step = {current + 1}")
        return current + 1
    return current


def _fixed(p: Any, iteration: int, step: int) -> float:
    return p.base_lr


def _stairs(p: Any, iteration: int, step: int) -> float:
    return p.base_lr * p.gamma**step


def _exp(p: Any, iteration: int, step: int) -> float:
    return p.base_lr * p.gamma**iteration


def _inv(p: Any, iteration: int, step: int) -> float:
    base = _f32(1 + _f32(p.gamma * _f32(iteration)))
    return p.base_lr * _f32(math.pow(base, -p.power))


def _poly(p: Any, iteration: int, step: int) -> float:
    if p.max_iter <= 0:
        raise ArgumentError(f"lr_policy 'poly' needs max_iter > 0, got {p.max_iter}.")
    left = _one - np.float32(iteration) / np.float32(p.max_iter)
    if left < 0 and p.power != int(p.power):
        raise ArgumentError(
            f"lr_policy 'poly' has no rate after max_iter ({p.max_iter}); this is iteration {iteration}."
        )
    return float(np.float32(p.base_lr) * np.float32(math.pow(left, p.power)))


def _sigmoid(p: Any, iteration: int, step: int) -> float:
    exponent = np.float32(-p.gamma) * (np.float32(iteration) - np.float32(p.stepsize))
    with np.errstate(over="ignore"):
        return float(np.float32(p.base_lr) * (_one / (_one + np.exp(exponent))))


_POLICIES: dict[str, Callable[[Any, int, int], float]] = {
    "fixed": _fixed,
    "step": _stairs,
    "exp": _exp,
    "inv": _inv,
    "multistep": _stairs,
    "poly": _poly,
    "sigmoid": _sigmoid,
}
