"""Repetition along a dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOATS, INT, INTS, NUMERIC, STRING, Arg, Port
from freshpot.ops._operator import Operator


class _Tiling(Operator, abstract=True):
    args = (
        Arg("tiles", int, 1, "how many times; an input takes its place"),
        Arg("axis", int, 0, "the dimension; an input takes its place"),
    )

    def plan(self, ndim: int, given: tuple[Tensor, ...]) -> tuple[int, int]:
        """How many times, and along which dimension."""
        numbers = [int(value.item()) for value in given]
        tiles, axis = numbers + [self.tiles, self.axis][len(numbers) :]
        if tiles < 0 or not -ndim <= axis < ndim:
            self.refuse(f"{tiles} times along dimension {axis} of {ndim} is not possible.", ArgumentError)
        return tiles, axis + ndim if axis < 0 else axis


def _rule(g: GradientMaker) -> list[Op]:
    return [g.new("TileGradient", [g.GO(0), *g.op.inputs[1:]], [g.GI(0)])]


class Tile(_Tiling):
    """Y = X, ``tiles`` times one after the other along a dimension.

    Shapes:   X: any; tiles, axis: one number each, instead of the arguments -> Y: tiles times as long there
    Raises:   ArgumentError if tiles is negative or the dimension is not there.
    Source:   caffe2/operators/tile_op.h
    """

    inputs = (
        Port("X", (*NUMERIC, *STRING)),
        Port("tiles", INT, optional=True),
        Port("axis", INT, optional=True),
    )
    outputs = (Port("Y"),)
    gradient_rule = staticmethod(_rule)

    def kernel(self, X: Any, *given: Tensor) -> Any:
        tiles, axis = self.plan(len(X.shape), given)
        times = [1] * len(X.shape)
        times[axis] = tiles
        return np.tile(X, times) if isinstance(X, np.ndarray) else X.repeat(times)


class TileGradient(_Tiling):
    """dX = the sum of the repetitions in dY.

    Shapes:   dY: as Tile's Y; tiles, axis as there -> dX: as X
    Source:   caffe2/operators/tile_op.h
    """

    inputs = (Port("dY", FLOATS), Port("tiles", INT, optional=True), Port("axis", INT, optional=True))
    outputs = (Port("dX"),)
    no_gradient = "it is itself a gradient"

    def kernel(self, dY: Tensor, *given: Tensor) -> Tensor:
        tiles, axis = self.plan(dY.dim(), given)
        return dY.unflatten(axis, (tiles, dY.shape[axis] // max(tiles, 1))).sum(axis)


class NumpyTile(Operator):
    """Y = X, repeats[i] times along dimension i.

    Shapes:   X: any; repeats: (dimensions of X,) -> Y: repeats[i] times as long in each dimension
    Raises:   ShapeError if repeats has another length or a negative number.
    Source:   caffe2/operators/numpy_tile_op.h
    """

    inputs = (Port("X", (*NUMERIC, *STRING)), Port("repeats", INTS))
    outputs = (Port("Y"),)

    def check(self, X: Any, repeats: Tensor) -> None:
        if tuple(repeats.shape) != (len(X.shape),):
            self.refuse(f"repeats must have shape ({len(X.shape)},), got {tuple(repeats.shape)}.")

    def kernel(self, X: Any, repeats: Tensor) -> Any:
        times = repeats.tolist()
        if any(n < 0 for n in times):
            self.refuse("repeats must not be negative.")
        return np.tile(X, times) if isinstance(X, np.ndarray) else torch.tile(X, times).clone()
