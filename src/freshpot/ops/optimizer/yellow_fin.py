"""YellowFin: momentum descent that tunes its own learning rate and momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops.optimizer._update import ITER, Update, f32
from freshpot.ops.optimizer.momentum import momentum_step

_STATE = ("param", "moment", "lr_avg", "mu_avg", "curv_win", "g_avg", "g2_avg", "scalars_memory")


class YellowFin(Update):
    """One step of momentum descent with the last lr and mu, then new ones from the gradient's statistics.

    lr and mu minimise the expected squared distance of a noisy quadratic: its curvature range is the range of
    log |g|² over a window, its noise the variance of g, its size the mean |g| / |g|². All statistics are moving
    means of rate beta.

    Shapes:   param, moment, g_avg, g2_avg, grad: of one shape; lr_avg, mu_avg, iter: (1,); curv_win:
              (curv_win_width,); scalars_memory: (5,) -> the first eight. iter counts from 1; lr and mu change
              from 2 on.
    Source:   caffe2/sgd/yellowfin_op.h; arXiv:1706.03471
    """

    inputs = (*(Port(name, FLOAT) for name in _STATE), Port("grad", FLOAT), ITER)
    outputs = tuple(Port(name) for name in _STATE)
    args = (
        Arg("curv_win_width", int, 20, "gradients whose norms the curvature range covers"),
        Arg("nesterov", int, 0, "1: use Nesterov's form"),
        Arg("zero_debias", bool, True, "correct moving means for their start at 0"),
        Arg("epsilon", float, 1e-6, "least value of divisors"),
        Arg("beta", float, 0.999, "share of the moving means that is kept"),
    )
    inplace = tuple((i, i) for i in range(8))
    alike = ("param", "moment", "g_avg", "g2_avg", "grad")
    beta: float

    def setup(self) -> None:
        self.beta = f32(self.beta)

    def check(self, *inputs: Tensor) -> None:
        super().check(*inputs)
        for k, least in ((2, 1), (3, 1), (4, self.curv_win_width), (7, 5)):
            if inputs[k].numel() < least or (k < 4 and inputs[k].numel() != 1):
                self.refuse(
                    f"input {_STATE[k]} must have {least} elements, got shape {tuple(inputs[k].shape)}."
                )

    def kernel_inplace(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        param, moment, lr, mu, window, g_avg, g2_avg, memory, grad, it = inputs
        step = grad.clone()
        momentum_step(step, moment, lr.item(), mu.item(), bool(self.nesterov))
        param.sub_(step)
        iteration = int(it.item())
        debias = 1 / (1 - self.beta**iteration) if self.zero_debias else 1.0
        tuned = self._statistics(window, g_avg, g2_avg, memory.view(-1), grad, iteration, debias)
        if iteration > 1:
            for average, new in zip((lr, mu), _best(*tuned), strict=True):
                self._mean(average, new)
        return inputs[:8]

    def _mean(self, average: Tensor, new: Tensor) -> Tensor:
        return average.mul_(self.beta).add_(new, alpha=1 - self.beta)

    def _statistics(
        self,
        window: Tensor,
        g_avg: Tensor,
        g2_avg: Tensor,
        memory: Tensor,
        grad: Tensor,
        iteration: int,
        debias: float,
    ) -> tuple[Tensor, ...]:
        """Update the statistics; least and greatest curvature, variance of the gradient, distance to the optimum."""
        g_debiased = self._mean(g_avg, grad) * debias
        self._mean(g2_avg, grad.square())
        norm2 = grad.square().sum().clamp(min=self.epsilon)
        window.view(-1)[(iteration - 1) % self.curv_win_width] = norm2.log()
        seen = window.view(-1)[: min(self.curv_win_width, iteration)]
        norm_mean, norm2_mean = self._mean(memory[0], norm2.sqrt()), self._mean(memory[1], norm2)
        low, high = (
            (self._mean(memory[k], end) * debias).exp().clamp(min=self.epsilon)
            for k, end in ((2, seen.min()), (3, seen.max()))
        )
        variance = (norm2_mean * debias - g_debiased.square().sum()).clamp(min=self.epsilon)
        distance = self._mean(memory[4], norm_mean / norm2_mean) * debias
        return low, high, variance, distance


def _best(low: Tensor, high: Tensor, variance: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """The learning rate and momentum for such a quadratic: root of a cubic (Cardano), or the curvature's limit."""
    ratio = torch.sqrt(high / low)
    limit = (ratio - 1) / (ratio + 1)
    p = (distance * low).square() / (2 * variance)
    w3 = (-torch.sqrt(p * p + 4 / 27 * p * p * p) - p) / 2
    w = w3.sign() * w3.abs().pow(1 / 3)
    root = w - p / 3 / w + 1
    mu = torch.maximum(root.square(), limit.square())
    return (1 - mu.sqrt()).square() / low, mu
