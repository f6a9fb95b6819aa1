"""What all fills share: where the shape of the output comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Call, Operator, call


class Filler(Operator, abstract=True):
    """A tensor whose shape is given by ``shape``, or is that of an input, or stands in an input.

    Source:   caffe2/operators/filler_op.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("X", optional=True, doc="its shape, or with input_as_shape its contents, count"),
    )
    outputs = (Port("Y"),)
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("shape", [int], [], "shape of the output, if there is no input"),
        Arg("extra_shape", [int], [], "sizes to append to the shape that the input gives"),
        Arg("input_as_shape", bool, False, "the input holds the shape (int64, one dimension)"),
    )
    inplace: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)
    gradient_stops = True

    def setup(self) -> None:
        if self.num_inputs and self.shape:
            self.refuse("argument 'shape' and an input both give the shape; leave one out.", ArgumentError)
        if not self.num_inputs and self.extra_shape:
            self.refuse("argument 'extra_shape' needs an input to append to.", ArgumentError)
        if not self.num_inputs and self.input_as_shape:
            self.refuse("argument 'input_as_shape' needs an input that holds the shape.", ArgumentError)
        if any(size < 0 for size in [*self.shape, *self.extra_shape]):
            self.refuse(f"sizes must be >= 0, got {self.shape or self.extra_shape}.", ArgumentError)

    def check(self, *inputs: Any) -> None:
        if not self.input_as_shape or not inputs:
            return
        X = inputs[0]
        if not isinstance(X, Tensor) or X.dtype != torch.int64 or X.dim() != 1 or not X.numel():
            self.refuse("with input_as_shape, the input must be a non-empty vector of int64 sizes.")

    def shape_for(self, inputs: tuple[Any, ...]) -> list[int]:
        """The output's shape."""
        if not inputs:
            return self.shape
        if self.input_as_shape:
            sizes = inputs[0].tolist()
            if any(size < 0 for size in sizes):
                self.refuse(f"sizes must be >= 0, got {sizes}.")
            return [*sizes, *self.extra_shape]
        return [*inputs[0].shape, *self.extra_shape]


class RandomFiller(Filler, abstract=True):
    """A fill with random numbers: shapes are known without drawing any."""

    dtype = torch.float32

    def infer(self, *inputs: Any) -> tuple[Tensor, ...]:
        return (torch.empty(self.shape_for(inputs), dtype=self.dtype, device="meta"),)

    def drawing(self, draw: Callable[..., Any], *limits: float) -> list[Call] | None:
        """A call that draws into an output, with the method that draws; None where shapes are read at each run."""
        if self.input_as_shape:
            return None
        generator = self.generator
        return [call(draw, *limits) if generator is None else call(draw, *limits, generator=generator)]

    def empty(self, inputs: tuple[Any, ...]) -> Tensor:
        """An output to draw into."""
        return torch.empty(self.shape_for(inputs), dtype=self.dtype, device=self.device)
