"""Products of rows of different lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


def _rule(g: GradientMaker) -> list[Op]:
    args = {"pad_value": g.op.args.get("pad_value", 0.0), "replicate": g.op.args.get("replicate", 0)}
    return [g.new("DotProductWithPaddingGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0), g.GI(1)], args)]


class DotProductWithPadding(Operator):
    """Z[i] = X[i] . Y[i]; the shorter row is continued by ``pad_value``, or by itself as often as it fits whole.

    Shapes:   X: (N, D); Y: (N, E) -> Z: (N,)
    Raises:   ShapeError if they have not the same number of rows.
    Source:   caffe2/operators/distance_op.h
    """

    inputs = (Port("X", FLOAT), Port("Y", FLOAT))
    outputs = (Port("Z"),)
    gradient_rule = staticmethod(_rule)
    args = (
        Arg("pad_value", float, 0.0, "what continues the shorter row"),
        Arg("replicate", bool, False, "1: it is continued by itself"),
    )

    def check(self, X: Tensor, Y: Tensor, *_: Tensor) -> None:
        if X.dim() not in (1, 2) or X.dim() != Y.dim() or X.shape[0] != Y.shape[0]:
            self.refuse(f"X and Y must be tables of as many rows, got {tuple(X.shape)}, {tuple(Y.shape)}.")

    def _matched(self, X: Tensor, width: int) -> Tensor:
        """(N, used width): rows continued to a width."""
        X = X.reshape(X.shape[0], -1)
        own = X.shape[1]
        if own >= width:
            return X
        if self.replicate:
            return X.repeat(1, width // max(own, 1))
        return torch.cat((X, X.new_full((X.shape[0], width - own), self.pad_value)), 1)

    def _both(self, X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        width = max(X.shape[1:].numel(), Y.shape[1:].numel())
        A, B = self._matched(X, width), self._matched(Y, width)
        used = min(A.shape[1], B.shape[1])
        return A[:, :used], B[:, :used]

    def kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        A, B = self._both(X, Y)
        return (A * B).sum(1)

    @gradient("X Y dZ -> dX dY")
    def backward(self, X: Tensor, Y: Tensor, dZ: Tensor) -> tuple[Tensor, Tensor]:
        A, B = self._both(X, Y)
        dZ = dZ.reshape(-1, 1)
        return self._shrunk(dZ * B, X), self._shrunk(dZ * A, Y)

    def _shrunk(self, grad: Tensor, X: Tensor) -> Tensor:
        """The gradient of the row itself, from that of the continued (or used) one."""
        own = X.shape[1:].numel()
        if grad.shape[1] > own:
            repeated = grad.reshape(len(grad), -1, own).sum(1) if self.replicate else grad[:, :own]
            return repeated.reshape(X.shape).contiguous()
        made = torch.zeros_like(X).reshape(X.shape[0], -1)
        made[:, : grad.shape[1]] = grad
        return made.reshape(X.shape)
