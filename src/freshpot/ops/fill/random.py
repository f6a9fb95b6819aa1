"""Fills with random numbers. They draw from torch's generator, or from the device option's seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Call, Operator
from freshpot.ops.fill._filler import Filler, RandomFiller


class GaussianFill(RandomFiller):
    """Y ~ Normal(mean, std).

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``
    Source:   caffe2/operators/filler_op.h
    """

    args = (
        *Filler.args,
        Arg("mean", float, 0.0, "mean"),
        Arg("std", float, 1.0, "standard deviation, > 0"),
    )

    def setup(self) -> None:
        super().setup()
        if self.std <= 0:
            self.refuse(f"argument 'std' must be > 0, got {self.std}.", ArgumentError)

    def kernel(self, *inputs: Any) -> Tensor:
        shape = self.shape_for(inputs)
        return torch.normal(
            self.mean, self.std, shape, generator=self.generator, dtype=torch.float32, device=self.device
        )

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        limits = () if (self.mean, self.std) == (0.0, 1.0) else (self.mean, self.std)
        return self.drawing(outputs[0].normal_, *limits)


class XavierFill(RandomFiller):
    """Y ~ Uniform(-a, a), a = sqrt(3 / fan_in), fan_in = number of elements / first size.

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``
    Source:   caffe2/operators/filler_op.h; Glorot and Bengio, AISTATS 2010
    """

    def kernel(self, *inputs: Any) -> Tensor:
        Y = self.empty(inputs)
        if not Y.numel() or not Y.dim():
            self.refuse(f"needs a shape with at least one element, got {tuple(Y.shape)}.")
        scale = math.sqrt(3 * Y.shape[0] / Y.numel())
        return Y.uniform_(-scale, scale, generator=self.generator)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        Y = outputs[0]
        scale = math.sqrt(3 * Y.shape[0] / Y.numel())
        return self.drawing(Y.uniform_, -scale, scale)


class MSRAFill(RandomFiller):
    """Y ~ Normal(0, sqrt(2 / fan_out)), fan_out = number of elements / second size.

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``
    Source:   caffe2/operators/filler_op.h; He et al., arXiv:1502.01852
    """

    def kernel(self, *inputs: Any) -> Tensor:
        Y = self.empty(inputs)
        if not Y.numel() or Y.dim() < 2:
            self.refuse(f"needs a shape of at least two dimensions, none of them 0; got {tuple(Y.shape)}.")
        return Y.normal_(0.0, math.sqrt(2 * Y.shape[1] / Y.numel()), generator=self.generator)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        Y = outputs[0]
        return self.drawing(Y.normal_, 0.0, math.sqrt(2 * Y.shape[1] / Y.numel()))


class _Uniform(RandomFiller, abstract=True):
    """Y ~ Uniform(min, max). The bounds may come as second and third input."""

    def setup(self) -> None:
        super().setup()
        if self.num_inputs == 2:
            self.refuse("takes no input, one (the shape) or three (shape, min, max); got 2.", ArgumentError)
        if self.num_inputs == 3 and (self.has("min") or self.has("max")):
            self.refuse("min and max are given as inputs and as arguments; leave one out.", ArgumentError)
        if self.num_inputs < 3 and self.min >= self.max:
            self.refuse(f"min ({self.min}) must be less than max ({self.max}).", ArgumentError)

    def check(self, *inputs: Any) -> None:
        super().check(*inputs)
        for name, bound in zip(("min", "max"), inputs[1:], strict=False):
            if bound.numel() != 1:
                self.refuse(f"input {name} must be one number, got shape {tuple(bound.shape)}.")

    def kernel(self, *inputs: Any) -> Tensor:
        low, high = (b.item() for b in inputs[1:]) if len(inputs) == 3 else (self.min, self.max)
        Y = self.empty(inputs[:1])
        return Y[:0].clone() if low > high else self.draw(Y, low, high)

    def draw(self, Y: Tensor, low: float, high: float) -> Tensor:
        """Fill Y with numbers from low to high."""
        raise NotImplementedError


class UniformFill(_Uniform):
    """Y ~ Uniform(min, max). Nothing is drawn (first size 0) where the inputs say min > max.

    Shapes:   none, with ``shape``; or X: any -> Y: as X; with inputs min and max: (1,) each
    Source:   caffe2/operators/filler_op.h
    """

    inputs = (*Filler.inputs, Port("min", FLOAT, optional=True), Port("max", FLOAT, optional=True))
    args = (*Filler.args, Arg("min", float, 0.0, "least value"), Arg("max", float, 1.0, "greatest value"))

    def draw(self, Y: Tensor, low: float, high: float) -> Tensor:
        return Y.uniform_(low, high, generator=self.generator)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        return self.drawing(outputs[0].uniform_, self.min, self.max) if len(inputs) < 3 else None


class UniformIntFill(_Uniform):
    """Y ~ Uniform{min, …, max}, both ends included.

    Shapes:   as UniformFill
    Source:   caffe2/operators/filler_op.h
    """

    dtype = torch.int32
    inputs = (*Filler.inputs, Port("min", INT, optional=True), Port("max", INT, optional=True))
    args = (*Filler.args, Arg("min", int, 0, "least value"), Arg("max", int, 1, "greatest value"))
    inplace = ()

    def draw(self, Y: Tensor, low: float, high: float) -> Tensor:
        return Y.random_(int(low), int(high) + 1, generator=self.generator)


class UniqueUniformFill(RandomFiller):
    """Y = different numbers from min to max, both ends included, in random order.

    Shapes:   none, with ``shape``; or X: any -> Y: as X. avoid: numbers that Y must not contain.
    Raises:   ShapeError if there are not as many numbers to choose from.
    Source:   caffe2/operators/filler_op.h
    """

    inputs = (*Filler.inputs, Port("avoid", optional=True))
    args = (
        *Filler.args,
        Arg("min", int, doc="least value"),
        Arg("max", int, doc="greatest value"),
        Arg("dtype", int, 2, "TensorProto.DataType number: 2 (int32) or 10 (int64)", choices=(2, 10)),
    )
    inplace = ()

    def setup(self) -> None:
        super().setup()
        self.dtype = torch.int32 if self.op.args.get("dtype", 2) == 2 else torch.int64
        if self.min >= self.max:
            self.refuse(f"min ({self.min}) must be less than max ({self.max}).", ArgumentError)

    def check(self, *inputs: Any) -> None:
        super().check(*inputs)
        if len(inputs) > 1 and inputs[1].dtype != self.dtype:
            self.refuse(f"input avoid must hold {self.dtype}, as the output does.")

    def kernel(self, *inputs: Any) -> Tensor:
        Y = self.empty(inputs[:1])
        avoid = set(inputs[1].reshape(-1).tolist()) if len(inputs) > 1 else set()
        avoid = {a for a in avoid if self.min <= a <= self.max}
        free = self.max - self.min + 1 - len(avoid)
        if Y.numel() > free:
            self.refuse(
                f"{Y.numel()} different numbers are wanted, from {self.min} to {self.max} are {free}."
            )
        drawn = self._sample(avoid, Y.numel())
        return Y.copy_(torch.tensor(drawn, dtype=self.dtype).reshape(Y.shape))

    def _sample(self, avoid: set[int], count: int) -> list[int]:
        """Different numbers; by rejection where they are few among many, so the range is not laid out."""
        low, high = self.min, self.max
        seeded = self.generator
        drawn_by: Any = {"generator": seeded, "device": self.device} if seeded is not None else {}
        if 4 * (count + len(avoid)) >= high - low:
            free = [n for n in range(low, high + 1) if n not in avoid]
            return [free[i] for i in torch.randperm(len(free), **drawn_by)[:count].tolist()]
        taken = dict.fromkeys(avoid)
        while len(taken) < count + len(avoid):
            n = int(torch.randint(low, high + 1, (1,), **drawn_by))
            taken.setdefault(n)
        return list(taken)[len(avoid) :]


class Float16UniformFill(Operator):
    """Y ~ Uniform(min, max), in half precision.

    Shapes:   none -> Y: ``shape``
    Source:   caffe2/operators/half_float_ops.h
    """

    outputs = (Port("Y"),)
    args = (
        Arg("shape", [int], [], "shape of the output"),
        Arg("min", float, 0.0, "least value"),
        Arg("max", float, 1.0, "greatest value"),
    )
    gradient_stops = True

    def setup(self) -> None:
        if self.min >= self.max:
            self.refuse(f"min ({self.min}) must be less than max ({self.max}).", ArgumentError)

    def kernel(self) -> Tensor:
        Y = torch.empty(self.shape, device=self.device)
        return Y.uniform_(self.min, self.max, generator=self.generator).to(torch.float16)
