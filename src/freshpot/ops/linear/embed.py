"""Rows of a table, looked up by number."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Port
from freshpot.ops._operator import Operator


def _rule(g: GradientMaker) -> list[Op]:
    biased = len(g.op.inputs) == 3
    return [g.new("EmbedGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(1), *([g.GI(2)] if biased else [])])]


class Embed(Operator):
    """Y[i] = W[X[i]] (+ b).

    Shapes:   X: any, whole numbers from 0 to K - 1; W: (K, N); b: (N,) -> Y: X's dimensions, then N
    Raises:   ArgumentError if an element of X is no row of W.
    Differs:  the original reads whatever is in memory there.
    Source:   caffe/layers/embed_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT, "K N"), Port("b", FLOAT, "N", optional=True))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rule)

    def infer(self, X: Tensor, W: Tensor, *_: Tensor) -> tuple[Tensor]:
        return (W.new_empty(*X.shape, W.shape[1]),)

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        rows = X.reshape(-1).long()
        if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < W.shape[0]:
            self.refuse(
                f"input X must hold whole numbers from 0 to {W.shape[0] - 1} (W has {W.shape[0]} rows); found "
                f"{int(rows.min())} to {int(rows.max())}.",
                ArgumentError,
            )
        Y = W.index_select(0, rows)
        if b is not None:
            Y += b
        return Y.view(*X.shape, W.shape[1])


class EmbedGradient(Operator):
    """Gradient of Embed: dW, whose rows are sums of those of dY, and db if there is a bias.

    Source:   caffe/layers/embed_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT, "K N"), Port("dY", FLOAT, "... N"))
    outputs = (Port("dW"), Port("db", optional=True))
    no_gradient = "it is itself a gradient"

    def kernel(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, Tensor]:
        dY = dY.reshape(-1, W.shape[1])
        return torch.zeros_like(W).index_add_(0, X.reshape(-1).long(), dY), dY.sum(0)
