"""Learning rates that go up and down, or anew; ``paddle.optimizer.lr`` has them too."""

from __future__ import annotations

import math
from collections.abc import Callable

from freshpot.errors import ArgumentError
from freshpot.paddle.optimizer.schedules import LRScheduler

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "LinearLR", "MultiplicativeDecay", "OneCycleLR"]


class MultiplicativeDecay(LRScheduler):
    """Multiplied by lr_lambda(t) at every step t."""

    def __init__(
        self,
        learning_rate: float,
        lr_lambda: Callable[[int], float],
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        return self.base_lr * math.prod(self.lr_lambda(step) for step in range(1, self.last_epoch + 1))


class LinearLR(LRScheduler):
    """The rate times a factor that goes from ``start_factor`` to ``end_factor`` in ``total_steps``."""

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        if total_steps < 1:
            raise ArgumentError(f"LinearLR: total_steps must be 1 or more, got {total_steps}")
        self.total_steps, self.start_factor, self.end_factor = total_steps, start_factor, end_factor
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        share = min(self.last_epoch, self.total_steps) / self.total_steps
        return self.base_lr * (self.start_factor + (self.end_factor - self.start_factor) * share)


class CyclicLR(LRScheduler):
    """Up to ``max_learning_rate`` and down again, over and over (Smith 2017).

    ``triangular2`` halves the height each time; ``exp_range`` multiplies it by ``exp_gamma`` to the power of the step;
    ``scale_fn`` does it otherwise, of the cycle's number or (``scale_mode`` "iterations") of the step's.
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        step_size_up: int,
        step_size_down: int | None = None,
        mode: str = "triangular",
        exp_gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        if mode not in ("triangular", "triangular2", "exp_range") or scale_mode not in (
            "cycle",
            "iterations",
        ):
            raise ArgumentError(
                f"CyclicLR: mode {mode!r} (triangular, triangular2, exp_range), "
                f"scale_mode {scale_mode!r} (cycle, iterations)"
            )
        self.height, self.up = max_learning_rate - base_learning_rate, step_size_up
        self.down = step_size_up if step_size_down is None else step_size_down
        own = {
            "triangular": lambda n: 1.0,
            "triangular2": lambda n: 1 / 2.0 ** (n - 1),
            "exp_range": lambda n: exp_gamma**n,
        }
        self.scale = scale_fn or own[mode]
        self.by_cycle = scale_mode == "cycle" if scale_fn else mode != "exp_range"
        super().__init__(base_learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        total = self.up + self.down
        cycle = 1 + self.last_epoch // total
        place = self.last_epoch / total - (cycle - 1)
        peak = self.up / total
        share = place / peak if place <= peak else (1 - place) / (1 - peak)
        return self.base_lr + self.height * share * self.scale(cycle if self.by_cycle else self.last_epoch)


class OneCycleLR(LRScheduler):
    """Up to ``max_learning_rate``, then down far below the start (Smith and Topin 2019).

    Raises:
        ArgumentError: more steps than ``total_steps``.
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        divide_factor: float = 25.0,
        end_learning_rate: float = 0.0001,
        phase_pct: float = 0.3,
        anneal_strategy: str = "cos",
        three_phase: bool = False,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ArgumentError(f"OneCycleLR: anneal_strategy {anneal_strategy!r}; choose 'cos' or 'linear'")
        self.total_steps, self.linear = total_steps, anneal_strategy == "linear"
        start, rise = max_learning_rate / divide_factor, phase_pct * total_steps
        ends = (
            [0.0, rise - 1, 2 * rise - 2, total_steps - 1]
            if three_phase
            else [0.0, rise - 1, total_steps - 1]
        )
        rates = [start, max_learning_rate, start, end_learning_rate]
        self.points = list(zip(ends, rates if three_phase else [*rates[:2], rates[-1]], strict=True))
        super().__init__(start, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        step = self.last_epoch
        if step > self.total_steps:
            raise ArgumentError(f"OneCycleLR: step {step} of {self.total_steps}")
        for (begin, low), (end, high) in zip(self.points, self.points[1:], strict=False):
            if step <= end or end == self.points[-1][0]:
                share = (step - begin) / (end - begin)
                return low + (high - low) * (share if self.linear else (1 - math.cos(math.pi * share)) / 2)
        return self.points[-1][1]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Down along a cosine in ``T_0`` steps, then anew, each time ``T_mult`` times as long."""

    def __init__(
        self,
        learning_rate: float,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        if T_0 < 1 or T_mult < 1:
            raise ArgumentError(
                f"CosineAnnealingWarmRestarts: T_0 and T_mult must be 1 or more, got {T_0}, {T_mult}"
            )
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        step, length = self.last_epoch, self.T_0
        while step >= length:
            step, length = step - length, length * self.T_mult
        return self.eta_min + (self.base_lr - self.eta_min) * (1 + math.cos(math.pi * step / length)) / 2
