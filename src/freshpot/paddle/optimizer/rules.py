"""The update rules, with the formulas of Paddle 2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from freshpot.paddle._tensor import Parameter
from freshpot.paddle.optimizer.optimizer import Optimizer

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lamb", "Momentum", "RMSProp"]

Slots = dict[str, torch.Tensor]


class SGD(Optimizer):
    """p -= rate * g."""

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        parameter.data_.sub_(grad, alpha=rate)


class Momentum(Optimizer):
    """v = momentum * v + g; p -= rate * v, or with Nesterov's p -= rate * (g + momentum * v)."""

    slots: ClassVar = {"velocity": (0.0, False)}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        momentum: float = 0.9,
        parameters: Any = None,
        use_nesterov: bool = False,
        weight_decay: Any = None,
        grad_clip: Any = None,
        multi_precision: bool = False,
        rescale_grad: float = 1.0,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._momentum, self._nesterov, self._rescale = momentum, use_nesterov, rescale_grad

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        grad = grad * self._rescale if self._rescale != 1.0 else grad
        velocity = slots["velocity"].mul_(self._momentum).add_(grad)
        step = grad + self._momentum * velocity if self._nesterov else velocity
        parameter.data_.sub_(step, alpha=rate)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²;
    p -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon * sqrt(1 - b2^t)).
    """

    slots: ClassVar = {
        "moment1": (0.0, False),
        "moment2": (0.0, False),
        "beta1_pow_acc": (0.0, True),
        "beta2_pow_acc": (0.0, True),
    }

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-08,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        lazy_mode: bool = False,
        multi_precision: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._beta1, self._beta2, self._epsilon = float(beta1), float(beta2), float(epsilon)

    def start_of(self, name: str, start: float) -> float:
        """Powers of the betas start with the betas."""
        return {"beta1_pow_acc": self._beta1, "beta2_pow_acc": self._beta2}.get(name, start)

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        power1, power2 = float(slots["beta1_pow_acc"]), float(slots["beta2_pow_acc"])
        first = slots["moment1"].lerp_(grad, 1 - self._beta1)
        second = slots["moment2"].mul_(self._beta2).addcmul_(grad, grad, value=1 - self._beta2)
        correction = (1 - power2) ** 0.5
        bottom = second.sqrt().add_(self._epsilon * correction)
        parameter.data_.addcdiv_(first, bottom, value=-rate * correction / (1 - power1))
        slots["beta1_pow_acc"].mul_(self._beta1)
        slots["beta2_pow_acc"].mul_(self._beta2)


class AdamW(Adam):
    """p *= 1 - rate * weight_decay, then Adam (Loshchilov and Hutter 2019)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-08,
        parameters: Any = None,
        weight_decay: float = 0.01,
        lr_ratio: Callable[[Parameter], float] | None = None,
        apply_decay_param_fun: Callable[[str], bool] | None = None,
        grad_clip: Any = None,
        lazy_mode: bool = False,
        multi_precision: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, parameters, None, grad_clip)
        self._coeff, self._ratio, self._applies = float(weight_decay), lr_ratio, apply_decay_param_fun

    def _decay_of(self, group: dict[str, Any]) -> Any:
        return None

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        rate = rate * self._ratio(parameter) if self._ratio else rate
        if self._applies is None or self._applies(parameter.name):
            parameter.data_.mul_(1 - rate * self._coeff)
        super().update(parameter, grad, rate, slots)


class Adamax(Adam):
    """u = max(b2 u + epsilon, |g|); p -= rate / (1 - b1^t) * m / u."""

    slots: ClassVar = {"moment": (0.0, False), "inf_norm": (0.0, False), "beta1_pow_acc": (0.0, True)}

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        moment = slots["moment"].lerp_(grad, 1 - self._beta1)
        largest = torch.maximum(slots["inf_norm"].mul_(self._beta2).add_(self._epsilon), grad.abs())
        slots["inf_norm"].copy_(largest)
        parameter.data_.addcdiv_(moment, largest, value=-rate / (1 - float(slots["beta1_pow_acc"])))
        slots["beta1_pow_acc"].mul_(self._beta1)


class Adagrad(Optimizer):
    """s += g²; p -= rate * g / (sqrt(s) + epsilon)."""

    slots: ClassVar = {"moment": (0.0, False)}

    def __init__(
        self,
        learning_rate: Any,
        epsilon: float = 1e-06,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
        initial_accumulator_value: float = 0.0,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._epsilon, self._start = epsilon, initial_accumulator_value

    def start_of(self, name: str, start: float) -> float:
        """The sum starts with ``initial_accumulator_value``."""
        return self._start

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        total = slots["moment"].addcmul_(grad, grad)
        parameter.data_.addcdiv_(grad, total.sqrt().add_(self._epsilon), value=-rate)


class Adadelta(Optimizer):
    """Steps scaled by the ratio of past steps' and gradients' mean squares (Zeiler 2012)."""

    slots: ClassVar = {"_avg_squared_grad": (0.0, False), "_avg_squared_update": (0.0, False)}

    def __init__(
        self,
        learning_rate: Any = 0.001,
        epsilon: float = 1e-06,
        rho: float = 0.95,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._epsilon, self._rho = epsilon, rho

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        squares = slots["_avg_squared_grad"].mul_(self._rho).addcmul_(grad, grad, value=1 - self._rho)
        steps = slots["_avg_squared_update"]
        step = ((steps + self._epsilon) / (squares + self._epsilon)).sqrt_() * grad
        steps.mul_(self._rho).addcmul_(step, step, value=1 - self._rho)
        parameter.data_.sub_(step, alpha=rate)


class RMSProp(Optimizer):
    """s = rho s + (1 - rho) g²; v = momentum v + rate * g / sqrt(s [- mean²] + epsilon); p -= v."""

    slots: ClassVar = {"momentum": (0.0, False), "mean_square": (0.0, False), "mean_grad": (0.0, False)}

    def __init__(
        self,
        learning_rate: Any,
        rho: float = 0.95,
        epsilon: float = 1e-06,
        momentum: float = 0.0,
        centered: bool = False,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._rho, self._epsilon, self._momentum, self._centered = rho, epsilon, momentum, centered

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        squares = slots["mean_square"].mul_(self._rho).addcmul_(grad, grad, value=1 - self._rho)
        if self._centered:
            centre = slots["mean_grad"].lerp_(grad, 1 - self._rho)
            squares = squares - centre * centre
        velocity = slots["momentum"].mul_(self._momentum)
        velocity.addcdiv_(grad, (squares + self._epsilon).sqrt_(), value=rate)
        parameter.data_.sub_(velocity)


class Lamb(Adam):
    """Adam's step with decay, scaled by the ratio of norms of parameter and step (You and others 2020)."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        lamb_weight_decay: float = 0.01,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-06,
        parameters: Any = None,
        grad_clip: Any = None,
        exclude_from_weight_decay_fn: Callable[[Parameter], bool] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, parameters, None, grad_clip)
        self._coeff, self._excluded = lamb_weight_decay, exclude_from_weight_decay_fn

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        first = slots["moment1"].lerp_(grad, 1 - self._beta1)
        second = slots["moment2"].mul_(self._beta2).addcmul_(grad, grad, value=1 - self._beta2)
        mean = first / (1 - float(slots["beta1_pow_acc"]))
        spread = second / (1 - float(slots["beta2_pow_acc"]))
        excluded = self._excluded is not None and self._excluded(parameter)
        step = mean / (spread.sqrt() + self._epsilon) + (0.0 if excluded else self._coeff) * parameter.data_
        size, norm = parameter.data_.norm(), step.norm()
        ratio = torch.where((size > 0) & (norm > 0), size / norm, torch.ones_like(size))
        parameter.data_.sub_(ratio * step, alpha=rate)
        slots["beta1_pow_acc"].mul_(self._beta1)
        slots["beta2_pow_acc"].mul_(self._beta2)
