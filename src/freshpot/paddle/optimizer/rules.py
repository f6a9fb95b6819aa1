"""The update rules, with the formulas of Paddle 2; PyTorch's kernels for all parameters at once where there are any."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle._tensor import Parameter
from freshpot.paddle.optimizer.optimizer import Optimizer, Slots

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lamb", "Momentum", "RMSProp"]


def _subtract(parameters: list[Parameter], steps: list[torch.Tensor], rates: list[float]) -> None:
    """parameter -= rate * step, in one call where all rates are one."""
    data = [p.data_ for p in parameters]
    if len(set(rates)) == 1:
        torch._foreach_sub_(data, steps, alpha=rates[0])
    else:
        for own, step, rate in zip(data, steps, rates, strict=True):
            own.sub_(step, alpha=rate)


class SGD(Optimizer):
    """p -= rate * g."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        multi_precision: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._check(multi_precision)

    def update_all(self, parameters: list[Parameter], grads: list[torch.Tensor], rates: list[float]) -> None:
        """Change parameters in place."""
        _subtract(parameters, grads, rates)


class Momentum(Optimizer):
    """v = momentum * v + g; p -= rate * v, or with Nesterov's p -= rate * (g + momentum * v).

    Raises:
        NotSupportedError: ``rescale_grad``, which the original takes and does not use.
    """

    slots: ClassVar = {"velocity": 0.0}

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
        use_multi_tensor: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._check(multi_precision)
        if rescale_grad != 1.0:
            raise NotSupportedError(
                "Momentum: rescale_grad has no effect in Paddle's dynamic mode; scale the loss"
            )
        self._momentum, self._nesterov = momentum, use_nesterov

    def update_all(self, parameters: list[Parameter], grads: list[torch.Tensor], rates: list[float]) -> None:
        """Change parameters in place."""
        velocities = [self._slots_of(p)["velocity"] for p in parameters]
        torch._foreach_mul_(velocities, self._momentum)
        torch._foreach_add_(velocities, grads)
        steps = velocities
        if self._nesterov:
            steps = list(torch._foreach_add(grads, velocities, alpha=self._momentum))
        _subtract(parameters, steps, rates)


class _Moments(Optimizer):
    """Rules that count steps: the original keeps the powers of the betas, here they follow from the number of steps."""

    #: accumulators that are powers -> whose
    powers: ClassVar[dict[str, str]] = {"beta1_pow_acc": "_beta1", "beta2_pow_acc": "_beta2"}
    slots: ClassVar = {"moment1": 0.0, "moment2": 0.0}
    saved_names: ClassVar[Sequence[str]] = ("moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc")

    _beta1: float
    _beta2: float
    _epsilon: float

    def _keep(self, beta1: float, beta2: float, epsilon: float) -> None:
        """Keep the rule's numbers.

        Raises:
            ArgumentError: a beta that is not from 0 to below 1, an epsilon below 0.
        """
        self._beta1, self._beta2, self._epsilon = float(beta1), float(beta2), float(epsilon)
        if not (0 <= self._beta1 < 1 and 0 <= self._beta2 < 1):
            raise ArgumentError(
                f"{type(self).__name__}: betas must be from 0 to below 1, got {beta1} and {beta2}"
            )
        if not self._epsilon >= 0:
            raise ArgumentError(f"{type(self).__name__}: epsilon must be 0 or more, got {epsilon}")

    def _slots_of(self, parameter: Parameter) -> Slots:
        state = super()._slots_of(parameter)
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32)
        return state

    def saved_slots(self, slots: Slots) -> dict[str, torch.Tensor]:
        """Moments, and the powers of the betas."""
        made = {name: value for name, value in slots.items() if name != "step"}
        if "step" in slots:
            after = int(slots["step"]) + 1
            made |= {name: torch.tensor([getattr(self, beta) ** after]) for name, beta in self.powers.items()}
        return made

    def loaded_slots(self, parameter: Parameter, found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The number of steps from the powers.

        Raises:
            ArgumentError: powers of other betas than this optimizer's.
        """
        made = {name: value for name, value in found.items() if name not in self.powers}
        known = {name: float(value) for name, value in found.items() if name in self.powers}
        counts = {
            n: math.log(v) / math.log(getattr(self, self.powers[n]))
            for n, v in known.items()
            if 1e-30 < v < 1
        }
        if not known:
            return made
        if not counts:  # all have become 0: so many steps that nothing is corrected any more
            counts = {"": 1e6}
        after = max(counts.values())
        if any(abs(count - after) > 0.5 + 0.01 * after for count in counts.values()) or after < 0.9:
            raise ArgumentError(
                f"set_state_dict: {parameter.name}: the powers {known} are not of beta1={self._beta1}, "
                f"beta2={self._beta2}"
            )
        return {**made, "step": torch.tensor(float(round(after) - 1))}


class Adam(_Moments):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g²;
    p -= rate * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon * sqrt(1 - b2^t)).
    """

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
        use_multi_tensor: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._keep(beta1, beta2, epsilon)
        self._check(multi_precision, lazy_mode)
        self._lists: tuple[Any, ...] = ()

    def update_all(self, parameters: list[Parameter], grads: list[torch.Tensor], rates: list[float]) -> None:
        """Change parameters in place, all of one rate in one call."""
        for rate in dict.fromkeys(rates):
            places = [i for i, own in enumerate(rates) if own == rate]
            some = parameters if len(places) == len(rates) else [parameters[i] for i in places]
            first, second, steps = self._moments(some)
            torch._foreach_add_(steps, 1)
            torch._fused_adam_(
                [p.data_ for p in some],
                grads if some is parameters else [grads[i] for i in places],
                first,
                second,
                [],
                steps,
                lr=rate,
                beta1=self._beta1,
                beta2=self._beta2,
                weight_decay=0.0,
                eps=self._epsilon,
                amsgrad=False,
                maximize=False,
            )

    def _moments(self, parameters: list[Parameter]) -> tuple[list[Any], list[Any], list[Any]]:
        key = tuple(map(id, parameters))
        if not self._lists or self._lists[0] != key:
            slots = [self._slots_of(p) for p in parameters]
            for own, parameter in zip(slots, parameters, strict=True):
                own["step"] = own["step"].to(parameter.data_.device)
            self._lists = (key, *([own[name] for own in slots] for name in ("moment1", "moment2", "step")))
        return self._lists[1], self._lists[2], self._lists[3]


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
        super().__init__(
            learning_rate, beta1, beta2, epsilon, parameters, None, grad_clip, lazy_mode, multi_precision
        )
        self._coeff, self._ratio, self._applies = float(weight_decay), lr_ratio, apply_decay_param_fun

    def _decay_of(self, group: dict[str, Any]) -> Any:
        return None

    def update_all(self, parameters: list[Parameter], grads: list[torch.Tensor], rates: list[float]) -> None:
        """Change parameters in place."""
        if self._ratio is not None:
            rates = [rate * self._ratio(p) for rate, p in zip(rates, parameters, strict=True)]
        for parameter, rate in zip(parameters, rates, strict=True):
            if self._applies is None or self._applies(parameter.name):
                parameter.data_.mul_(1 - rate * self._coeff)
        super().update_all(parameters, grads, rates)


class Adamax(_Moments):
    """u = max(b2 u + epsilon, |g|); p -= rate / (1 - b1^t) * m / u."""

    slots: ClassVar = {"moment": 0.0, "inf_norm": 0.0}
    powers: ClassVar = {"beta1_pow_acc": "_beta1"}
    saved_names: ClassVar = ("moment", "inf_norm", "beta1_pow_acc")

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-08,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        self._keep(beta1, beta2, epsilon)

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        steps = int(slots["step"].add_(1))
        moment = slots["moment"].lerp_(grad, 1 - self._beta1)
        largest = torch.maximum(slots["inf_norm"].mul_(self._beta2).add_(self._epsilon), grad.abs())
        slots["inf_norm"].copy_(largest)
        parameter.data_.addcdiv_(moment, largest, value=-rate / (1 - self._beta1**steps))


class Adagrad(Optimizer):
    """s += g²; p -= rate * g / (sqrt(s) + epsilon)."""

    slots: ClassVar = {"moment": 0.0}

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

    slots: ClassVar = {"_avg_squared_grad": 0.0, "_avg_squared_update": 0.0}

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

    slots: ClassVar = {"momentum": 0.0, "mean_square": 0.0, "mean_grad": 0.0}

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


class Lamb(_Moments):
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
        super().__init__(learning_rate, parameters, None, grad_clip)
        self._keep(beta1, beta2, epsilon)
        self._coeff, self._excluded = lamb_weight_decay, exclude_from_weight_decay_fn

    def update(self, parameter: Parameter, grad: torch.Tensor, rate: float, slots: Slots) -> None:
        """Change one parameter in place."""
        first = slots["moment1"].lerp_(grad, 1 - self._beta1)
        second = slots["moment2"].mul_(self._beta2).addcmul_(grad, grad, value=1 - self._beta2)
        steps = int(slots["step"].add_(1))
        mean = first / (1 - self._beta1**steps)
        spread = second / (1 - self._beta2**steps)
        decay = 0.0 if self._excluded is not None and self._excluded(parameter) else self._coeff
        step = mean / (spread.sqrt() + self._epsilon) + decay * parameter.data_
        size, norm = parameter.data_.norm(), step.norm()
        ratio = torch.where((size > 0) & (norm > 0), size / norm, torch.ones_like(size))
        parameter.data_.sub_(ratio * step if decay else step, alpha=rate)
