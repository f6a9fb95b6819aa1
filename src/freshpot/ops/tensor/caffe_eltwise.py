"""Element-wise joining of several blobs, and choosing rows, as Caffe has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator, as_first


def _eltwise_rule(g: GradientMaker) -> list[Op]:
    n = len(g.op.inputs)
    return [g.new("EltwiseGradient", [*g.op.inputs, g.O(0), g.GO(0)], [g.GI(i) for i in range(n)])]


class Eltwise(Operator):
    """Y = the sum (with a factor for each X), product or maximum of blobs of one shape.

    Shapes:   Xs: all of one shape -> Y: as they
    Raises:   ShapeError for different shapes; ArgumentError for factors that do not fit.
    Source:   caffe/layers/eltwise_layer.cpp
    """

    inputs = (Port("X", FLOAT, many=True, at_least=2),)
    outputs = (Port("Y"),)
    args = (
        Arg("operation", str, "SUM", "", choices=("SUM", "PROD", "MAX")),
        Arg("coeff", [float], [], "factor of each input, for SUM"),
        Arg(
            "stable_prod_grad", int, 1, "for PROD: 1: products of the other inputs; 0: Y divided by the input"
        ),
    )
    inplace = ANY_PAIR
    gradient_rule = staticmethod(_eltwise_rule)
    infer = as_first

    def setup(self) -> None:
        if self.coeff and (self.operation != "SUM" or len(self.coeff) != self._count()):
            self.refuse(
                f"coeff goes with SUM, one for each of {self._count()} inputs; got {self.operation}, {self.coeff}.",
                ArgumentError,
            )
        self.factors = self.coeff or [1.0] * self._count()

    def _count(self) -> int:
        return self.num_inputs

    def check(self, *Xs: Tensor) -> None:
        if any(X.shape != Xs[0].shape for X in Xs):
            self.refuse(f"all inputs must have one shape, got {', '.join(str(tuple(X.shape)) for X in Xs)}.")

    def kernel(self, *Xs: Tensor) -> Tensor:
        if self.operation == "PROD":
            Y = Xs[0] * Xs[1]
            for X in Xs[2:]:
                Y *= X
            return Y
        if self.operation == "MAX":
            Y = torch.maximum(Xs[0], Xs[1])
            for X in Xs[2:]:
                torch.maximum(Y, X, out=Y)
            return Y
        first = Xs[0] if self.factors[0] == 1 else Xs[0] * self.factors[0]
        Y = torch.add(first, Xs[1], alpha=self.factors[1])
        for X, factor in zip(Xs[2:], self.factors[2:], strict=True):
            Y.add_(X, alpha=factor)
        return Y


class EltwiseGradient(Eltwise):
    """Gradient of Eltwise: (Xs, Y, dY) -> dXs."""

    inputs = (Port("X", FLOAT, many=True, at_least=4),)
    outputs = (Port("dX", many=True),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def _count(self) -> int:
        return self.num_inputs - 2

    def kernel(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        *Xs, Y, dY = inputs
        if self.operation == "SUM":
            return tuple(dY * factor for factor in self.factors)
        if self.operation == "MAX":
            return self._of_max(Xs, dY)
        if not self.stable_prod_grad:
            return tuple(Y / X * dY for X in Xs)
        return tuple(math.prod([*Xs[:i], *Xs[i + 1 :]]) * dY for i in range(len(Xs)))

    def _of_max(self, Xs: list[Tensor], dY: Tensor) -> tuple[Tensor, ...]:
        """To the largest input; of equal ones to the second of the first two, else to the earlier."""
        best = torch.where(Xs[0] > Xs[1], 0, 1)
        top = torch.maximum(Xs[0], Xs[1])
        for i, X in enumerate(Xs[2:], 2):
            best = torch.where(top < X, i, best)
            top = torch.maximum(top, X)
        return tuple(torch.where(best == i, dY, 0.0) for i in range(len(Xs)))


def _rows_rule(g: GradientMaker) -> list[Op]:
    return [g.new(f"{g.op.type}Gradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0)])]


class BatchReindex(Operator):
    """Y[i] = X[rows[i]].

    Shapes:   X: (N, …), rows: (M,) floats that are whole numbers from 0 to N - 1 -> Y: (M, …)
    Raises:   ShapeError if rows is no vector or names a row that is not there.
    Source:   caffe/layers/batch_reindex_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("rows", FLOAT, "M"))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rows_rule)

    def kernel(self, X: Tensor, rows: Tensor) -> Tensor:
        return X[self._numbers(X, rows)]

    def _numbers(self, X: Tensor, rows: Tensor) -> Tensor:
        numbers = rows.long()
        if (
            not numbers.is_meta
            and numbers.numel()
            and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(X)
        ):
            self.refuse(
                f"rows {int(numbers.min())} to {int(numbers.max())} were asked for; X has rows 0 to {len(X) - 1}."
            )
        return numbers


class BatchReindexGradient(BatchReindex):
    """Gradient of BatchReindex: rows that were taken several times add up."""

    inputs = (*BatchReindex.inputs, Port("dY", FLOAT))
    outputs = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def kernel(self, X: Tensor, rows: Tensor, dY: Tensor) -> Tensor:
        return torch.zeros_like(X).index_add_(0, rows.long(), dY)


class Filter(Operator):
    """Y = the rows of X whose selector is not 0.

    Shapes:   X: (N, …), selector: (N, 1, …) -> Y: (number of rows chosen, …)
    Raises:   ShapeError for a selector of another shape.
    Source:   caffe/layers/filter_layer.cpp
    """

    inputs = (Port("X", FLOAT), Port("selector", FLOAT))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rows_rule)

    def check(self, X: Tensor, selector: Tensor, *_: Tensor) -> None:
        if selector.numel() != len(selector) or len(selector) != len(X):
            self.refuse(
                f"the selector must be ({len(X)}, 1, …) for X {tuple(X.shape)}, got {tuple(selector.shape)}."
            )

    def infer(self, X: Tensor, selector: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(X),)

    def kernel(self, X: Tensor, selector: Tensor) -> Tensor:
        return X[selector.reshape(-1) != 0]


class FilterGradient(Filter):
    """Gradient of Filter: rows that were not chosen get zeros."""

    inputs = (*Filter.inputs, Port("dY", FLOAT))
    outputs = (Port("dX"),)
    gradient_rule = None
    no_gradient = "it is itself a gradient"

    def kernel(self, X: Tensor, selector: Tensor, dY: Tensor) -> Tensor:
        made = torch.zeros_like(X)
        made[selector.reshape(-1) != 0] = dY
        return made
