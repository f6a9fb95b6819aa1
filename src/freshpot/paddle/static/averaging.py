"""ExponentialMovingAverage: averages of a program's parameters, to test with instead of their last values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle.static.program import Effect, default_main_program

__all__ = ["ExponentialMovingAverage"]


class ExponentialMovingAverage:
    """a = decay * a + (1 - decay) * p after every step, for each parameter that learns; used as a / (1 - decay^steps).

    Args:
        decay: from 0 to below 1.

    Raises:
        ArgumentError: another decay. NotSupportedError: ``thres_steps``.
    """

    def __init__(self, decay: float = 0.999, thres_steps: Any = None, name: str | None = None) -> None:
        if not 0 <= decay < 1:
            raise ArgumentError(f"ExponentialMovingAverage: decay must be from 0 to below 1, got {decay}")
        if thres_steps is not None:
            raise NotSupportedError(
                "ExponentialMovingAverage: thres_steps is not done here; give the decay alone"
            )
        self._decay, self._steps = float(decay), 0
        self._averages = {
            p.name: (p, torch.zeros_like(p.data_))
            for p in default_main_program().all_parameters()
            if not p.stop_gradient
        }
        self._kept: dict[str, torch.Tensor] = {}

    def update(self) -> None:
        """Append the averages' step to the program; call it after ``minimize``."""
        default_main_program().block.ops.append(Effect(self._step))

    @torch.no_grad()
    def _step(self) -> None:
        self._steps += 1
        for parameter, average in self._averages.values():
            average.mul_(self._decay).add_(parameter.data_, alpha=1 - self._decay)

    @contextlib.contextmanager
    def apply(self, executor: Any = None, need_restore: bool = True) -> Iterator[None]:
        """Within it the parameters are their averages; afterwards what they were, unless ``need_restore`` is False."""
        whole = 1 - self._decay**self._steps
        with torch.no_grad():
            for name, (parameter, average) in self._averages.items():
                self._kept[name] = parameter.data_.clone()
                parameter.data_.copy_(average / whole if whole else average)
        try:
            yield
        finally:
            if need_restore:
                self.restore(executor)

    @torch.no_grad()
    def restore(self, executor: Any = None) -> None:
        """Let the parameters be what they were before :meth:`apply`."""
        for name, value in self._kept.items():
            self._averages[name][0].data_.copy_(value)
        self._kept.clear()
