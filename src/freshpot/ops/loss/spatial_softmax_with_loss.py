"""Softmax and cross entropy at every place of a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator, gradient
from freshpot.ops.loss.label_cross_entropy import SMALLEST

#: a label that says: do not count this place
_IGNORED = -1


class SpatialSoftmaxWithLoss(Operator):
    """loss = weighted mean over all places of -log(softmax over the channels at the label).

    Places with label -1 do not count; the loss is 0 where nothing counts.

    Shapes:   logits: (N, D, H, W); labels: (N, H, W) classes or -1; weight: (N, H, W)
              -> softmax: as logits; loss: ()
    Raises:   ShapeError if labels or weights do not fit; KernelError for a label outside -1..D-1.
    Source:   caffe2/operators/spatial_softmax_with_loss_op.cc
    """

    inputs = (
        Port("logits", FLOAT, "N D H W"),
        Port("labels", INT, "N H W"),
        Port("weight", FLOAT, "N H W", optional=True),
    )
    outputs = (Port("softmax"), Port("loss"))
    args = (
        Arg(
            "scale",
            float,
            1.0,
            "factor on the gradient; the loss itself does not have it, as in the original",
        ),
        Arg("order", str, "NCHW", "where the channels are", choices=("NCHW",)),
    )

    def _weights(self, labels: Tensor, weight: Tensor | None) -> Tensor:
        counted = labels != _IGNORED
        return counted.float() if weight is None else torch.where(counted, weight, 0.0)

    def _share(self, weights: Tensor) -> Tensor:
        """One over what counts; 0 if nothing does."""
        total = weights.sum()
        return torch.where(total > 0, 1.0 / total, 0.0)

    def _places(self, labels: Tensor) -> Tensor:
        return torch.where(labels == _IGNORED, 0, labels).long().unsqueeze(1)

    def kernel(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        P = torch.softmax(logits, 1)
        weights = self._weights(labels, weight)
        log = P.gather(1, self._places(labels)).squeeze(1).clamp(min=SMALLEST).log_()
        return P, -(log * weights).sum() * self._share(weights)

    @gradient("logits labels weight softmax dloss -> dlogits", check=Operator.check)
    def backward(self, logits: Tensor, labels: Tensor, *rest: Tensor) -> Tensor:
        *given, P, dloss = rest
        weights = self._weights(labels, given[0] if given else None)
        places = self._places(labels)
        dX = P.clone().scatter_add_(1, places, -torch.ones_like(places, dtype=P.dtype))
        return dX * (weights * (self._share(weights) * self.scale * dloss.reshape(()))).unsqueeze(1)
