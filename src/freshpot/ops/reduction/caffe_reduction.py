"""Reducing the last axes, and the places of the largest values, as Caffe has them."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops._operator import Operator, gradient


class Reduction(Operator):
    """Y = coeff * the sum (or sum of absolute values, of squares, or mean) over all axes from ``axis`` on.

    Shapes:   X: (outer, inner), split before ``axis`` -> Y: outer
    Source:   caffe/layers/reduction_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("axis", int, 0, "first axis that is reduced"),
        Arg("operation", str, "SUM", "", choices=("SUM", "ASUM", "SUMSQ", "MEAN")),
        Arg("coeff", float, 1.0, "factor of the result"),
    )

    def _split(self, X: Tensor) -> tuple[torch.Size, Tensor]:
        outer = X.shape[: self.axis % max(1, X.dim())]
        return outer, X.reshape(outer.numel(), -1)

    def _factor(self, inner: int) -> float:
        return self.coeff / inner if self.operation == "MEAN" else self.coeff

    def kernel(self, X: Tensor) -> Tensor:
        outer, flat = self._split(X)
        terms = {"ASUM": torch.abs, "SUMSQ": torch.square}.get(self.operation, lambda x: x)(flat)
        return terms.sum(1).mul_(self._factor(flat.shape[1])).view(outer)

    @gradient("X dY -> dX")
    def backward(self, X: Tensor, dY: Tensor) -> Tensor:
        _, flat = self._split(X)
        scaled = (dY * self._factor(flat.shape[1])).reshape(-1, 1)
        slope = {"ASUM": torch.sign, "SUMSQ": lambda x: 2 * x}.get(self.operation, torch.ones_like)(flat)
        return (slope * scaled).view(X.shape)


class CaffeArgMax(Operator):
    """The places (and values) of the top_k largest numbers, along one axis or over all axes but the first.

    Shapes:   X: (N, …) -> Y: without ``axis`` (N, 1, top_k), or (N, 2, top_k) with values in row 1;
              with ``axis``: as X but top_k long there, places or (out_max_val) values
    Raises:   ArgumentError for a top_k that does not fit.
    Source:   caffe/layers/argmax_layer.cpp
    """

    inputs = (Port("X", FLOAT),)
    outputs = (Port("Y"),)
    args = (
        Arg("axis", int, 0, "the axis; only if given"),
        Arg("top_k", int, 1, "how many"),
        Arg("out_max_val", int, 0, "1: values too (with an axis: values instead)"),
    )
    no_gradient = "places have none"

    def check(self, X: Tensor) -> None:
        size = X.shape[self.axis] if self.has("axis") else X.shape[1:].numel()
        if not 1 <= self.top_k <= size:
            self.refuse(f"top_k must be from 1 to {size}, got {self.top_k}.", ArgumentError)

    def kernel(self, X: Tensor) -> Tensor:
        if self.has("axis"):
            values, places = self._largest(X.movedim(self.axis, -1))
            return (values if self.out_max_val else places).movedim(-1, self.axis).contiguous()
        values, places = self._largest(X.reshape(len(X), -1))
        made = torch.stack([places, values], 1) if self.out_max_val else places[:, None]
        return made.reshape(len(X), -1, self.top_k, *(1,) * max(0, X.dim() - 3))

    def _largest(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Largest first; of equal ones the later place first."""
        values, places = torch.sort(X.flip(-1), dim=-1, descending=True, stable=True)
        return values[..., : self.top_k], (X.shape[-1] - 1 - places[..., : self.top_k]).to(X.dtype)
