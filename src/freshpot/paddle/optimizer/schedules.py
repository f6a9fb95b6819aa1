"""Learning rates that change from step to step. ``scheduler.step()`` moves on; ``scheduler()`` is the rate now."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from freshpot.errors import ArgumentError

__all__ = [
    "CosineAnnealingDecay", "ExponentialDecay", "InverseTimeDecay", "LRScheduler", "LambdaDecay", "LinearWarmup",
    "MultiStepDecay", "NaturalExpDecay", "NoamDecay", "PiecewiseDecay", "PolynomialDecay", "ReduceOnPlateau",
    "StepDecay",
]  # fmt: skip


class LRScheduler:
    """Base class: a subclass says the rate of step ``last_epoch`` in ``get_lr``.

    Raises:
        ArgumentError: a rate that is no number.
    """

    def __init__(self, learning_rate: Any = 0.1, last_epoch: int = -1, verbose: bool = False) -> None:
        if not isinstance(learning_rate, (int, float)):
            raise ArgumentError(f"learning_rate must be a number, got {type(learning_rate).__name__}")
        self.base_lr = self.last_lr = float(learning_rate)
        self.last_epoch, self.verbose = last_epoch, verbose
        self.step()

    def __call__(self) -> float:
        return self.last_lr

    def get_lr(self) -> float:
        """The rate of step ``last_epoch``."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr()")

    def step(self, epoch: int | None = None) -> None:
        """To the next step, or to a given one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self.last_lr = self.get_lr()
        if self.verbose:
            print(f"Epoch {self.last_epoch}: {type(self).__name__} set learning rate to {self.last_lr}.")

    def state_keys(self) -> None:
        """Say in ``self.keys`` which attributes are saved; a subclass may name others."""
        self.keys = ["last_epoch", "last_lr"]

    def state_dict(self) -> dict[str, Any]:
        """The attributes that ``state_keys`` (in 2.0-beta ``_state_keys``) names."""
        getattr(self, "_state_keys", self.state_keys)()
        return {name: self.__dict__[name] for name in self.keys if name in self.__dict__}

    def set_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the state of :meth:`state_dict`."""
        for name in self.state_dict():
            if name in state_dict:
                setattr(self, name, state_dict[name])

    set_dict = set_state_dict


class _Formula(LRScheduler):
    """Keeps its own arguments before the base class asks for the first rate."""

    def _begin(self, learning_rate: float, last_epoch: int, verbose: bool, **own: Any) -> None:
        self.__dict__.update(own)
        LRScheduler.__init__(self, learning_rate, last_epoch, verbose)


class NoamDecay(_Formula):
    """rate * d_model^-0.5 * min(t^-0.5, t * warmup^-1.5) (Vaswani and others 2017)."""

    def __init__(
        self,
        d_model: int,
        warmup_steps: int,
        learning_rate: float = 1.0,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self._begin(learning_rate, last_epoch, verbose, d_model=d_model, warmup_steps=warmup_steps)

    def get_lr(self) -> float:
        """The rate now."""
        rising = self.last_epoch * self.warmup_steps**-1.5  # type: ignore[attr-defined]
        falling = 1.0 if self.last_epoch == 0 else self.last_epoch**-0.5
        return self.base_lr * self.d_model**-0.5 * min(falling, rising)  # type: ignore[attr-defined]


class PiecewiseDecay(LRScheduler):
    """``values[i]`` up to step ``boundaries[i]``."""

    def __init__(
        self, boundaries: Sequence[int], values: Sequence[float], last_epoch: int = -1, verbose: bool = False
    ) -> None:
        if len(values) != len(boundaries) + 1:
            raise ArgumentError(
                f"PiecewiseDecay: {len(boundaries)} boundaries want one value more, got {len(values)}"
            )
        self.boundaries, self.values = boundaries, values
        super().__init__(values[0], last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        place = sum(self.last_epoch >= bound for bound in self.boundaries)
        return self.values[place]


class _Gamma(LRScheduler):
    def __init__(
        self, learning_rate: float, gamma: float, last_epoch: int = -1, verbose: bool = False
    ) -> None:
        self.gamma = gamma
        super().__init__(learning_rate, last_epoch, verbose)


class NaturalExpDecay(_Gamma):
    """rate * e^(-gamma t)."""

    def get_lr(self) -> float:
        """The rate now."""
        return self.base_lr * math.exp(-self.gamma * self.last_epoch)


class InverseTimeDecay(_Gamma):
    """rate / (1 + gamma t)."""

    def get_lr(self) -> float:
        """The rate now."""
        return self.base_lr / (1 + self.gamma * self.last_epoch)


class ExponentialDecay(_Gamma):
    """rate * gamma^t."""

    def get_lr(self) -> float:
        """The rate now."""
        return float(self.base_lr * self.gamma**self.last_epoch)


class PolynomialDecay(LRScheduler):
    """(rate - end) * (1 - t / decay_steps)^power + end; with ``cycle`` the steps grow by whole multiples."""

    def __init__(
        self,
        learning_rate: float,
        decay_steps: int,
        end_lr: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.decay_steps, self.end_lr, self.power, self.cycle = decay_steps, end_lr, power, cycle
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        step, total = self.last_epoch, self.decay_steps
        if self.cycle:
            total *= max(1, math.ceil(step / total))
        left = 1 - min(step, total) / total
        return float((self.base_lr - self.end_lr) * left**self.power + self.end_lr)


class LinearWarmup(LRScheduler):
    """From ``start_lr`` to ``end_lr`` in ``warmup_steps``, then what ``learning_rate`` says."""

    def __init__(
        self,
        learning_rate: Any,
        warmup_steps: int,
        start_lr: float,
        end_lr: float,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.after, self.warmup_steps, self.start_lr, self.end_lr = (
            learning_rate,
            warmup_steps,
            start_lr,
            end_lr,
        )
        super().__init__(start_lr, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        if self.last_epoch < self.warmup_steps:
            return self.start_lr + (self.end_lr - self.start_lr) * self.last_epoch / self.warmup_steps
        if isinstance(self.after, LRScheduler):
            self.after.step(self.last_epoch - self.warmup_steps)
            return self.after()
        return float(self.after)


class MultiStepDecay(LRScheduler):
    """rate * gamma^(milestones passed)."""

    def __init__(
        self,
        learning_rate: float,
        milestones: Sequence[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.milestones, self.gamma = milestones, gamma
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        return float(self.base_lr * self.gamma ** sum(self.last_epoch >= m for m in self.milestones))


class StepDecay(LRScheduler):
    """rate * gamma^(t // step_size)."""

    def __init__(
        self,
        learning_rate: float,
        step_size: int,
        gamma: float = 0.1,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        return float(self.base_lr * self.gamma ** (self.last_epoch // self.step_size))


class LambdaDecay(LRScheduler):
    """rate * lr_lambda(t)."""

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
        return self.base_lr * self.lr_lambda(self.last_epoch)


class CosineAnnealingDecay(LRScheduler):
    """eta_min + (rate - eta_min) * (1 + cos(pi t / T_max)) / 2."""

    def __init__(
        self,
        learning_rate: float,
        T_max: int,
        eta_min: float = 0,
        last_epoch: int = -1,
        verbose: bool = False,
    ) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(learning_rate, last_epoch, verbose)

    def get_lr(self) -> float:
        """The rate now."""
        return (
            self.eta_min
            + (self.base_lr - self.eta_min) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        )


class ReduceOnPlateau(LRScheduler):
    """rate * factor when what ``step`` is told has not become better for more than ``patience`` steps."""

    def __init__(
        self,
        learning_rate: float,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0,
        epsilon: float = 1e-8,
        verbose: bool = False,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceOnPlateau: mode {mode!r} (min, max), threshold_mode {threshold_mode!r} (rel, abs)"
            )
        self.mode, self.factor, self.patience, self.threshold = mode, factor, patience, threshold
        self.threshold_mode, self.cooldown, self.min_lr, self.epsilon = (
            threshold_mode,
            cooldown,
            min_lr,
            epsilon,
        )
        self.best: float | None = None
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self.base_lr = self.last_lr = float(learning_rate)
        self.verbose = verbose

    def state_keys(self) -> None:
        """What it remembers."""
        self.keys = ["cooldown_counter", "best", "num_bad_epochs", "last_epoch", "last_lr"]

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Tell it what is watched."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        value = float(metrics)
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            return
        if self.best is None or self._better(value, self.best):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            new = max(self.last_lr * self.factor, self.min_lr)
            if self.last_lr - new > self.epsilon:
                self.last_lr = new
                if self.verbose:
                    print(f"Epoch {self.last_epoch}: {type(self).__name__} set learning rate to {new}.")

    def _better(self, value: float, best: float) -> bool:
        margin = best * self.threshold if self.threshold_mode == "rel" else self.threshold
        return value < best - margin if self.mode == "min" else value > best + margin
