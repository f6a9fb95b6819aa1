"""Sums of several blobs, plain and weighted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, NUMERIC, Arg, Port
from freshpot.ops import _small
from freshpot.ops._operator import Call, Operator, call


def _pass_through(g: GradientMaker) -> list[Op]:
    for i in range(len(g.op.inputs)):
        g.set_dense(i, g.GO(0))
    return []


class Sum(Operator):
    """Y = X0 + X1 + …

    Shapes:   all X: any, alike -> Y: as X0
    Raises:   ShapeError, DTypeError if the inputs differ in shape or type.
    Source:   caffe2/operators/elementwise_sum_op.cc
    """

    inputs = (Port("X", NUMERIC, many=True),)
    outputs = (Port("Y"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_pass_through)

    def check(self, X: Tensor, *rest: Tensor) -> None:
        for i, other in enumerate(rest, 1):
            if other.shape != X.shape or other.dtype != X.dtype:
                self.refuse(
                    f"all inputs must be alike: input 0 is {X.dtype} {tuple(X.shape)}, "
                    f"input {i} is {other.dtype} {tuple(other.shape)}."
                )

    def kernel(self, *X: Tensor) -> Tensor:
        if len(X) == 1:
            return X[0].clone(memory_format=torch.contiguous_format)
        Y = X[0] + X[1]
        for more in X[2:]:
            Y += more
        return Y

    def kernel_inplace(self, X: Tensor, *rest: Tensor) -> Tensor:
        for more in rest:
            X += more
        return X


class SumInt(Sum):
    """Y = X0 + X1 + …, as Sum, without a gradient.

    Source:   caffe2/operators/elementwise_sum_op.cc
    """

    gradient_rule = None
    no_gradient = "it is meant for whole numbers"


def _weighted_rule(g: GradientMaker) -> list[Op]:
    count = len(g.op.inputs)
    made = list(range(0, count, 2))
    if g.op.args.get("grad_on_w"):
        made += range(1, count, 2)
    return [g.new("WeightedSumGradient", [g.GO(0), *g.op.inputs], [g.GI(i) for i in made])]


class WeightedSum(Operator):
    """Y = w0 * X0 + w1 * X1 + …

    Shapes:   X0: any; other X: as many elements; all w: one element -> Y: as X0
    Raises:   ArityError for an odd number of inputs; ShapeError if an X or w has another size.
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("X_w", FLOAT, many=True, at_least=2, doc="X0, w0, X1, w1, …"),)
    outputs = (Port("Y"),)
    args = (Arg("grad_on_w", int, 0, "1: the gradient of the weights is wanted, too"),)
    inplace = ((0, 0),)
    gradient_rule = staticmethod(_weighted_rule)

    def setup(self) -> None:
        if self.num_inputs % 2:
            self.refuse(f"takes pairs of inputs (X, w), got {self.num_inputs} inputs.", ArityError)

    def check(self, *pairs: Tensor) -> None:
        for i in range(0, len(pairs), 2):
            if pairs[i].numel() != pairs[0].numel():
                self.refuse(
                    f"input {i} must have {pairs[0].numel()} elements, as input 0, got {pairs[i].numel()}."
                )
            if pairs[i + 1].numel() != 1:
                self.refuse(f"weight {i + 1} must have one element, got {tuple(pairs[i + 1].shape)}.")

    def infer(self, X: Tensor, *_: Tensor) -> tuple[Tensor]:
        return (torch.empty_like(X),)

    def kernel(self, X: Tensor, w: Tensor, *rest: Tensor) -> Tensor:
        return self._accumulate(X * _factor(w, X), rest)

    def kernel_inplace(self, X: Tensor, w: Tensor, *rest: Tensor) -> Tensor:
        factor = _factor(w, X)
        # An in-place step of a solver has weight 1 on the parameter: no pass over it.
        return self._accumulate(X if factor is not w and factor == 1.0 else X.mul_(factor), rest)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        return self.calls_together([inputs], [outputs])

    def calls_together(
        self, inputs: Sequence[Sequence[Tensor]], outputs: Sequence[Sequence[Tensor]]
    ) -> list[Call] | None:
        """Steps X0 = w0 * X0 + w1 * X1 in place with the same weights, as the updates of a net's parameters are."""
        if len(inputs[0]) != 4:
            return None
        w, rate = inputs[0][1], inputs[0][3]
        params, steps = [each[0] for each in inputs], [each[2] for each in inputs]
        if any(each[1] is not w or each[3] is not rate for each in inputs) or not all(
            y[0] is X and X.shape == G.shape and X is not w and X is not rate
            for X, G, y in zip(params, steps, outputs, strict=True)
        ):
            return None

        made = [_small.weighted_step(X, G, w, rate) for X, G in zip(params, steps, strict=True)]
        if all(made):
            return [link for links in made for link in links or ()]

        def update() -> None:
            share = w.item()
            if share != 1.0:
                torch._foreach_mul_(params, share)
            torch._foreach_add_(params, steps, alpha=rate.item())

        return [call(update)]

    def _accumulate(self, Y: Tensor, rest: tuple[Tensor, ...]) -> Tensor:
        for i in range(0, len(rest), 2):
            X, w = rest[i].reshape(Y.shape), rest[i + 1]
            factor = _factor(w, X)
            Y = Y.addcmul_(X, factor.reshape(())) if isinstance(factor, Tensor) else Y.add_(X, alpha=factor)
        return Y


def _factor(w: Tensor, X: Tensor) -> float | Tensor:
    """A weight as a number, where reading it does not wait for a GPU; else the tensor."""
    return w if w.is_cuda else w.item()


class WeightedSumGradient(Operator):
    """dX_i = w_i * dY; with ``grad_on_w`` also dw_i = sum(X_i * dY).

    Shapes:   dY: as X0; then X_i, w_i as forward -> all dX, then (with ``grad_on_w``) all dw: (1,)
    Source:   caffe2/operators/utility_ops.h
    """

    inputs = (Port("dY", FLOAT), Port("X_w", FLOAT, many=True, at_least=2))
    outputs = (Port("dX_dw", many=True),)
    args = (Arg("grad_on_w", int, 0, "1: the gradient of the weights is wanted, too"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, dY: Tensor, *pairs: Tensor) -> list[Tensor]:
        made = [(dY * w.reshape(())).view(dY.shape) for w in pairs[1::2]]
        if self.grad_on_w:
            flat = dY.reshape(-1)
            made += [torch.dot(X.reshape(-1), flat).view(1) for X in pairs[::2]]
        return made
