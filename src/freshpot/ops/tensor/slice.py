"""A part of a tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.tensor._clone import clone

_ARGS = (
    Arg("starts", [int], [], "first element in each dimension; negative ones count from behind the end"),
    Arg("ends", [int], [], "element behind the last one; -1 is the end itself"),
)


class _Slicing(Operator, abstract=True):
    args = _ARGS

    def slices(self, X: Any, bounds: tuple[Tensor, ...]) -> tuple[slice, ...]:
        """The part as Python slices, one a dimension."""
        starts, ends = (b.tolist() for b in bounds) if bounds else (self.starts, self.ends)
        if len(starts) != len(ends) or len(starts) > len(X.shape):
            self.refuse(
                f"starts {starts} and ends {ends} must be of one length, at most X's {len(X.shape)} dimensions."
            )
        made = []
        for size, start, end in zip(X.shape, starts, ends, strict=False):
            first, last = (min(at + size + 1 if at < 0 else at, size) for at in (start, end))
            if first < 0 or last < first:
                self.refuse(f"a part from {start} to {end} of {size} elements is not possible.")
            made.append(slice(first, last))
        cut = sum(s != slice(0, size) for s, size in zip(made, X.shape, strict=False))
        if cut > 1 and all(X.shape):
            self.refuse(f"only one dimension can be cut, starts {starts} and ends {ends} cut {cut}.")
        return tuple(made)


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("SliceGradient", [*g.op.inputs, g.GO(0)], [g.GI(0)])]


class Slice(_Slicing):
    """Y = the part of X from ``starts`` to before ``ends``; only one dimension may be cut.

    Shapes:   X: any; starts, ends: (dimensions,), instead of the arguments -> Y: ends - starts
    Raises:   ShapeError if the part is not possible, or cuts two dimensions.
    Source:   caffe2/operators/slice_op.h
    """

    inputs = (Port("X"), Port("starts", INTS, optional=True), Port("ends", INTS, optional=True))
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rule)

    def kernel(self, X: Any, *bounds: Tensor) -> Any:
        return clone(X[self.slices(X, bounds)])


class SliceGradient(_Slicing):
    """dX = dY in the place that Slice cut out, 0 elsewhere.

    Shapes:   X; starts, ends if the forward has them; dY: the part -> dX: as X
    Source:   caffe2/operators/slice_op.h
    """

    inputs = (Port("X"), Port("starts_or_dY"), Port("ends", optional=True), Port("dY", optional=True))
    outputs = (Port("dX"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, X: Tensor, *rest: Tensor) -> Tensor:
        *bounds, dY = rest
        dX = torch.zeros_like(X, dtype=dY.dtype)
        dX[self.slices(X, tuple(bounds))] = dY
        return dX
