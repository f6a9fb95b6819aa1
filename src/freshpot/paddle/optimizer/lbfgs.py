"""LBFGS: steps along directions that past gradients say, with PyTorch's implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from freshpot.errors import ArgumentError
from freshpot.paddle._tensor import wrap
from freshpot.paddle.optimizer.optimizer import Optimizer

__all__ = ["LBFGS"]


class LBFGS(Optimizer):
    """Limited-memory BFGS; ``step(closure)`` calls the closure, which computes the loss and its gradients, many times.

    Args:
        line_search_fn: "strong_wolfe", or None: steps of ``learning_rate``.

    Raises:
        ArgumentError: another line search.
    """

    def __init__(
        self,
        learning_rate: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-07,
        tolerance_change: float = 1e-09,
        history_size: int = 100,
        line_search_fn: str | None = None,
        parameters: Any = None,
        weight_decay: Any = None,
        grad_clip: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(learning_rate, parameters, weight_decay, grad_clip)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ArgumentError(f"LBFGS: line_search_fn {line_search_fn!r}; choose 'strong_wolfe' or None")
        limits = (max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search_fn)
        self._own = torch.optim.LBFGS([p.data_ for p in self._parameter_list], self.get_lr(), *limits)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step until the gradients are small or the limits are reached; the first loss.

        Raises:
            ArgumentError: no closure.
        """
        if closure is None:
            raise ArgumentError("LBFGS.step: give a function that computes the loss and calls backward()")

        def compute() -> torch.Tensor:
            loss = closure()
            parameters = [p for p in self._parameter_list if p.data_.grad is not None]
            grads: list[Any] = [p.data_.grad for p in parameters]
            if self._grad_clip is not None:
                grads = self._clipped(parameters, grads)
            for parameter, grad in zip(parameters, grads, strict=True):
                decay = parameter.regularizer or self.regularization
                if decay is not None:
                    grad = grad + decay.penalty(parameter.data_.detach())
                parameter.data_.grad = grad
            data: torch.Tensor = loss.data_.reshape(())
            return data

        self._own.param_groups[0]["lr"] = self.get_lr()
        return wrap(self._own.step(compute).detach())
