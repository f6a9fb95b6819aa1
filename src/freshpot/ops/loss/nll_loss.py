"""The negative logarithm of the right class's probability, from logarithms."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._derived import derive
from freshpot.ops._operator import Operator, gradient


class NLLLoss(Operator):
    """loss = -logp[n, labels[n], …] * weight[labels[n]], their mean (by weight) or sum, or each.

    Labels equal to ``ignore`` count nothing.

    Shapes:   logp: (N, C, …), labels: (N, …) int64, weight: (C,) -> loss: one number, or as labels
    Raises:   ArgumentError for another reduction; ShapeError if they do not fit.
    Source:   freshpot's own, for nets made of modules
    """

    inputs = (Port("logp", FLOAT), Port("labels", ("int64",)), Port("weight", FLOAT, optional=True))
    outputs = (Port("loss"),)
    args = (
        Arg("reduction", str, "mean", "mean, sum or none"),
        Arg("ignore", int, -100, "the label that does not count"),
    )

    def setup(self) -> None:
        if self.reduction not in ("mean", "sum", "none"):
            self.refuse(f"reduction must be mean, sum or none, got '{self.reduction}'.", ArgumentError)

    def check(self, logp: Tensor, labels: Tensor, weight: Tensor | None = None) -> None:
        wanted = (*logp.shape[:1], *logp.shape[2:])
        if logp.dim() < 2 or tuple(labels.shape) != wanted:
            self.refuse(
                f"labels must have shape {wanted} for logp {tuple(logp.shape)}; got {tuple(labels.shape)}."
            )
        if weight is not None and tuple(weight.shape) != (logp.shape[1],):
            self.refuse(f"weight must have shape ({logp.shape[1]},), got {tuple(weight.shape)}.")

    def kernel(self, logp: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        return self.forwards(logp, labels, weight)

    def forwards(self, logp: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """What the kernel computes; a gradient operator's kernel is another."""
        return functional.nll_loss(logp, labels, weight, ignore_index=self.ignore, reduction=self.reduction)

    @gradient("logp labels weight dloss -> dlogp")
    def backward(self, logp: Tensor, labels: Tensor, *rest: Tensor) -> Tensor:
        *weight, dloss = rest
        return derive(lambda x: self.forwards(x, labels, *weight), [logp], [dloss])[0]
