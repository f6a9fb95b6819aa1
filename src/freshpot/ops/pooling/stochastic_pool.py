"""Stochastic pooling."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import GradientError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import Arg, Port
from freshpot.ops.pooling.caffe_pool import CaffePooling, Fit, Scatter, scattered


def _rule(g: GradientMaker) -> list[Op]:
    if g.op.args.get("is_test"):
        raise GradientError(
            "stochastic pooling has a gradient in training only: in the TEST phase no pixel is drawn.",
            op=str(g.op),
        )
    return scattered(g)


class StochasticPool(CaffePooling):
    """Y[n, c, i] = one pixel of X[n, c] in window i, drawn with a probability in proportion to its value.

    With is_test the expected value, sum of x^2 / sum of x, or 0 where the sum is not positive.

    Shapes:   X: (N, C, H, W), not negative -> Y; index (int64: where in the image): (N, C, H', W')
    Raises:   ShapeError if no window fits; GradientError for the gradient under is_test.
    Source:   caffe/layers/pooling_layer.cu; Zeiler and Fergus, 2013
    """

    outputs = (Port("Y"), Port("index", optional=True))
    knows_plain = False
    args = (*CaffePooling.args, Arg("is_test", int, 0, "1: the expected value instead of a draw"))
    gradient_rule = staticmethod(_rule)

    def kernel(self, X: Tensor) -> tuple[Tensor, ...]:
        fit = self.fit(X)
        image = fit.image(X, 0.0)
        (height, width), (down, right) = fit.kernels, fit.strides
        windows = image.unfold(2, height, down).unfold(3, width, right).flatten(4)
        if self.is_test:
            total = windows.sum(-1)
            return (torch.where(total > 0, windows.square().sum(-1) / total, 0.0),)
        reached = windows.cumsum(-1)
        drawn = torch.empty_like(reached[..., -1:]).uniform_(generator=self.generator) * reached[..., -1:]
        place = (reached < drawn).sum(-1, keepdim=True).clamp_(max=windows.shape[-1] - 1)
        return windows.gather(-1, place).squeeze(-1), _where(place.squeeze(-1), image, fit)


def _where(place: Tensor, image: Tensor, fit: Fit) -> Tensor:
    """Places in windows as places in the fitted image."""
    height, width = place.shape[2:]
    tops = torch.arange(height, device=place.device).unsqueeze(-1) * fit.strides[0]
    lefts = torch.arange(width, device=place.device) * fit.strides[1]
    rows = tops + place.div(fit.kernels[1], rounding_mode="floor")
    return rows * image.shape[3] + lefts + place.remainder(fit.kernels[1])


class StochasticPoolGradient(Scatter):
    """dX: every window's dY goes to the pixel that was drawn. Source: caffe/layers/pooling_layer.cu"""

    args = StochasticPool.args
    knows_plain = False
