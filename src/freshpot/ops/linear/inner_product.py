"""Fully connected layer as Caffe has it: with or without a bias, weights in either orientation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._memory import contiguous
from freshpot.ops._operator import Call, Operator, call
from freshpot.ops.linear._layout import matrices_of, product_call, product_in_layout_of


def _rule(g: GradientMaker) -> list[Op]:
    inputs = [g.I(0), g.I(1), g.GO(0)]
    bias = [g.GI(2)] if len(g.op.inputs) == 3 else []
    args = {} if bias else {"no_bias": 1}
    return [g.new("InnerProductGradient", inputs, [g.GI(1), *bias, g.GI(0)], args)]


class _InnerProducts(Operator, abstract=True):
    args = (
        Arg("axis", int, 1, "first dimension of X that counts as features"),
        Arg("transpose", int, 0, "1: W is (K, N) instead of (N, K)"),
        Arg("no_bias", int, 0, "of the gradient: the layer has no bias"),
    )

    def check_weight(self, X: Tensor, W: Tensor) -> int:
        """Refuse an input and a weight that do not fit; returns N."""
        features = X.shape[self.axis :].numel()
        K, N = W.shape if self.transpose else (W.shape[1], W.shape[0])
        if features != K:
            self.refuse(
                f"input X {tuple(X.shape)} has {features} features from axis {self.axis} on, the weight W "
                f"{tuple(W.shape)} wants {K}."
            )
        return N


class InnerProduct(_InnerProducts):
    """Y = X W^T (+ b), or X W with transpose, X flattened to a matrix at an axis.

    Shapes:   X: (M, K), or more dimensions, split into M and K before ``axis``; W: (N, K), with transpose
              (K, N); b: (N,) -> Y: X's dimensions before ``axis``, then N
    Raises:   ShapeError if K of X and W differ, or b is not (N,).
    Differs:  FC of Caffe2 always has a bias and never a transposed weight.
    Source:   caffe/layers/inner_product_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT, "* *"), Port("b", FLOAT, optional=True))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rule)

    def check(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> None:
        N = self.check_weight(X, W)
        if b is not None and tuple(b.shape) != (N,):
            self.refuse(f"bias b must have shape ({N},) as W {tuple(W.shape)} says, got {tuple(b.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
        W = W if self.transpose else W.t()
        rows = X.reshape(-1, W.shape[0])
        Y = torch.mm(rows, W) if b is None else torch.addmm(b, rows, W)
        return Y.view(*X.shape[: self.axis], W.shape[1])

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        W, *b = inputs[1:]
        if not contiguous(W, *b, *outputs):
            return None
        W = W if self.transpose else W.t()
        Y = outputs[0].view(-1, W.shape[1])
        matrices = matrices_of(inputs[:1], len(Y))
        if matrices is None:
            return None
        X = matrices[0]
        return [call(torch.addmm, b[0], X, W, out=Y) if b else call(torch.mm, X, W, out=Y)]


class InnerProductGradient(_InnerProducts):
    """Gradient of InnerProduct: dW, db (unless no_bias), dX if the net asks for it.

    Source:   caffe/layers/inner_product_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT, "* *"), Port("dY", FLOAT))
    outputs = (Port("dW"), Port("db", optional=True), Port("dX", optional=True))
    no_gradient = "it is itself a gradient"

    def check(self, X: Tensor, W: Tensor, dY: Tensor) -> None:
        wanted = (*X.shape[: self.axis], self.check_weight(X, W))
        if tuple(dY.shape) != wanted:
            self.refuse(f"dY must be the gradient of Y {wanted}, got {tuple(dY.shape)}.")

    def kernel(self, X: Tensor, W: Tensor, dY: Tensor) -> tuple[Tensor, ...]:
        dY = dY.reshape(-1, W.shape[1 if self.transpose else 0])
        rows = X.reshape(dY.shape[0], -1)
        made = [torch.mm(rows.t(), dY) if self.transpose else torch.mm(dY.t(), rows)]
        if not self.no_bias:
            made.append(dY.sum(0))
        if self.num_outputs > len(made):
            made.append(product_in_layout_of(X, dY, W.t() if self.transpose else W))
        return tuple(made)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        W, dY = inputs[1:]
        count = 1 if self.no_bias else 2
        if not contiguous(W, dY, *outputs[:count]):
            return None
        dY = dY.view(-1, W.shape[1 if self.transpose else 0])
        matrices = matrices_of([inputs[0], *outputs[count:]], len(dY))
        if matrices is None:
            return None
        X, *dX = matrices
        pair = (X.t(), dY) if self.transpose else (dY.t(), X)
        made = [call(torch.mm, *pair, out=outputs[0])]
        made += [call(torch.sum, dY, 0, out=db) for db in outputs[1:count]]
        return [*made, *(product_call(dY, W.t() if self.transpose else W, out) for out in dX)]
