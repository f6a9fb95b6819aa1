"""Joining tensors along a dimension, and splitting them again."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, DTypeError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import name_of
from freshpot.ops.tensor._clone import clone

_CHANNELS = {"NCHW": 1, "NHWC": 3}


class _AlongAxis(Operator, abstract=True):
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("axis", int, -1, "the dimension; without it, that of the channels"),
        Arg("order", str, "NCHW", "where the channels are, if there is no axis", choices=tuple(_CHANNELS)),
        Arg("add_axis", bool, False, "1: the pieces lack the dimension"),
    )

    def setup(self) -> None:
        self.along = self.axis if self.has("axis") else _CHANNELS[self.order]

    def place(self, ndim: int) -> int:
        """The dimension, counted from 0, for tensors of ``ndim`` dimensions."""
        place = self.along + ndim if self.along < 0 else self.along
        if not 0 <= place < ndim:
            self.refuse(f"there is no dimension {self.along} in tensors of {ndim} dimensions.", ArgumentError)
        return place


def _split_rule(g: GradientMaker) -> list[Op]:
    return [g.new("Split", [g.GO(0), g.O(1)], [g.GI(i) for i in range(len(g.op.inputs))])]


class Concat(_AlongAxis):
    """concat_result = the inputs, one after the other along a dimension; split_info = how much each gives.

    Shapes:   inputs: alike except in that dimension (with ``add_axis``: all alike)
              -> concat_result: the sum there; split_info: (number of inputs,) int32
    Raises:   ShapeError, DTypeError if the inputs do not fit each other; ArgumentError if the dimension is not there.
    Source:   caffe2/operators/concat_split_op.h
    """

    inputs = (Port("input", many=True),)
    outputs = (Port("concat_result"), Port("split_info"))
    gradient_rule = staticmethod(_split_rule)

    def check(self, *inputs: Any) -> None:
        first = inputs[0]
        place = self.place(len(first.shape) + self.add_axis)
        for i, X in enumerate(inputs):
            if name_of(X) != name_of(first):
                self.refuse(
                    f"all inputs must be {name_of(first)}, but input {i} is {name_of(X)}.", DTypeError
                )
            wanted, found = list(first.shape), list(X.shape)
            if not self.add_axis and len(found) == len(wanted):
                wanted[place] = found[place]
            if wanted != found:
                self.refuse(
                    f"input {i} {tuple(X.shape)} does not fit input 0 {tuple(first.shape)} beside dimension {place}."
                )

    def infer(self, *inputs: Any) -> tuple[Any, ...]:
        first = inputs[0]
        if not isinstance(first, Tensor):
            return self.kernel(*inputs)
        shape = list(first.shape)
        place = self.place(len(shape) + self.add_axis)
        if self.add_axis:
            shape.insert(place, len(inputs))
        else:
            shape[place] = sum(X.shape[place] for X in inputs)
        kinds = ((shape, first.dtype), ([len(inputs)], torch.int32))
        return tuple(torch.empty(sizes, dtype=dtype, device="meta") for sizes, dtype in kinds)

    def kernel(self, *inputs: Any) -> tuple[Any, Tensor]:
        place = self.place(len(inputs[0].shape) + self.add_axis)
        sizes = [1 if self.add_axis else X.shape[place] for X in inputs]
        split = torch.tensor(sizes, dtype=torch.int32, device=self.device)
        if isinstance(inputs[0], np.ndarray):
            return (np.stack if self.add_axis else np.concatenate)(inputs, place), split
        return (torch.stack if self.add_axis else torch.cat)(inputs, place), split


class DepthConcat(Concat):
    """Concat under an older name: along the channels, unless it has an axis.

    Shapes:   as Concat
    Source:   caffe2/operators/concat_split_op.cc
    """


def _concat_rule(g: GradientMaker) -> list[Op]:
    grads = [g.GO(i) for i in range(len(g.op.outputs)) if g.has_GO(i)]
    return [g.new("Concat", grads, [g.GI(0), f"_{g.GI(0)}_dims"])]


class Split(_AlongAxis):
    """Outputs = pieces of X along a dimension: equal ones, or as ``split`` (argument or input) says.

    Shapes:   input: any; split: (number of outputs,) -> outputs: as input, split[i] in that dimension
              (with ``add_axis``: without that dimension)
    Raises:   ShapeError if the pieces do not add up; ArgumentError if split is given twice.
    Source:   caffe2/operators/concat_split_op.h
    """

    inputs = (Port("input"), Port("split", INTS, optional=True))
    outputs = (Port("output", many=True),)
    args = (*_AlongAxis.args, Arg("split", [int], [], "the sizes of the pieces"))
    gradient_rule = staticmethod(_concat_rule)

    def setup(self) -> None:
        super().setup()
        if self.split and self.num_inputs == 2:
            self.refuse("'split' is given as an argument and as an input: give one of them.", ArgumentError)

    def check(self, X: Any, *split: Tensor) -> None:
        place = self.place(len(X.shape))
        if not split and not self.split and X.shape[place] % self.num_outputs:
            self.refuse(
                f"dimension {place} of X {tuple(X.shape)} cannot be split into {self.num_outputs} equal pieces."
            )

    def _sizes(self, whole: int, split: tuple[Tensor, ...]) -> list[int]:
        sizes = split[0].tolist() if split else self.split or [whole // self.num_outputs] * self.num_outputs
        if len(sizes) != self.num_outputs or sum(sizes) != whole or min(sizes) < 0:
            self.refuse(f"pieces of {sizes} do not make {self.num_outputs} outputs from {whole}.")
        if self.add_axis and any(size != 1 for size in sizes):
            self.refuse(f"with add_axis every piece must be 1, got {sizes}.")
        return sizes

    def kernel(self, X: Any, *split: Tensor) -> list[Any]:
        place = self.place(len(X.shape))
        made, start = [], 0
        for size in self._sizes(X.shape[place], split):
            piece: Any = start if self.add_axis else slice(start, start + size)
            at: Any = (*(slice(None),) * place, piece)
            made.append(clone(X[at]))
            start += size
        return made


class DepthSplit(Split):
    """Split under an older name: along the channels, unless it has an axis.

    Shapes:   as Split
    Source:   caffe2/operators/concat_split_op.cc
    """
