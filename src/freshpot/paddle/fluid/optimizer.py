"""``fluid.optimizer``: update rules with 1.8's arguments. ``minimize(loss)`` follows ``loss.backward()``."""

from __future__ import annotations

from typing import Any

from freshpot.errors import near_matches
from freshpot.paddle.optimizer import rules

__all__ = [
    "SGD", "Adadelta", "AdadeltaOptimizer", "Adagrad", "AdagradOptimizer", "Adam", "AdamOptimizer", "Adamax",
    "AdamaxOptimizer", "Momentum", "MomentumOptimizer", "RMSProp", "RMSPropOptimizer", "SGDOptimizer",
]  # fmt: skip


def _renamed(parameter_list: Any, regularization: Any, grad_clip: Any) -> dict[str, Any]:
    return {"parameters": parameter_list, "weight_decay": regularization, "grad_clip": grad_clip}


class SGDOptimizer(rules.SGD):
    """p -= rate * g."""

    def __init__(
        self,
        learning_rate: Any,
        parameter_list: Any = None,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, **_renamed(parameter_list, regularization, grad_clip))


class MomentumOptimizer(rules.Momentum):
    """v = momentum * v + g; p -= rate * v."""

    def __init__(
        self,
        learning_rate: Any,
        momentum: float,
        parameter_list: Any = None,
        use_nesterov: bool = False,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        more = _renamed(parameter_list, regularization, grad_clip)
        super().__init__(learning_rate, momentum, use_nesterov=use_nesterov, **more)


class AdagradOptimizer(rules.Adagrad):
    """Steps over the root of the sum of all squared gradients."""

    def __init__(
        self,
        learning_rate: Any,
        epsilon: float = 1e-06,
        parameter_list: Any = None,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
        initial_accumulator_value: float = 0.0,
    ) -> None:
        more = _renamed(parameter_list, regularization, grad_clip)
        super().__init__(learning_rate, epsilon, initial_accumulator_value=initial_accumulator_value, **more)


class AdamOptimizer(rules.Adam):
    """Moments of gradients and of their squares."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-08,
        parameter_list: Any = None,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
        lazy_mode: bool = False,
    ) -> None:
        more = _renamed(parameter_list, regularization, grad_clip)
        super().__init__(learning_rate, beta1, beta2, epsilon, lazy_mode=lazy_mode, **more)


class AdamaxOptimizer(rules.Adamax):
    """As Adam, with the largest gradient in place of the second moment."""

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-08,
        parameter_list: Any = None,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta1, beta2, epsilon, **_renamed(parameter_list, regularization, grad_clip)
        )


class AdadeltaOptimizer(rules.Adadelta):
    """Steps in the size of past steps."""

    def __init__(
        self,
        learning_rate: Any,
        epsilon: float = 1e-06,
        rho: float = 0.95,
        parameter_list: Any = None,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, epsilon, rho, **_renamed(parameter_list, regularization, grad_clip))


class RMSPropOptimizer(rules.RMSProp):
    """Steps over the root of the running mean of squared gradients."""

    def __init__(
        self,
        learning_rate: Any,
        rho: float = 0.95,
        epsilon: float = 1e-06,
        momentum: float = 0.0,
        centered: bool = False,
        parameter_list: Any = None,
        regularization: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        more = _renamed(parameter_list, regularization, grad_clip)
        super().__init__(learning_rate, rho, epsilon, momentum, centered, **more)


SGD, Momentum, Adagrad, Adam = SGDOptimizer, MomentumOptimizer, AdagradOptimizer, AdamOptimizer
Adamax, Adadelta, RMSProp = AdamaxOptimizer, AdadeltaOptimizer, RMSPropOptimizer


def __getattr__(name: str) -> Any:
    raise AttributeError(f"paddle.fluid.optimizer has no '{name}' here.{near_matches(name, __all__)}")
