"""Fills with rising numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from freshpot.net.schema import INT, NUMERIC, Port
from freshpot.ops._operator import Operator
from freshpot.ops.fill._filler import Filler


class Range(Operator):
    """Y = start, start + step, … as far as stop, which is left out.

    Shapes:   stop; or start, stop; or start, stop, step: one number each -> Y: (ceil((stop - start) / step),)
    Raises:   ShapeError if an input is not one number, or step is 0.
    Source:   caffe2/operators/utility_ops.h (RangeOp)
    """

    inputs = (
        Port("start", NUMERIC),
        Port("stop", NUMERIC, optional=True),
        Port("step", NUMERIC, optional=True),
    )
    outputs = (Port("Y"),)
    gradient_stops = True

    def check(self, *inputs: Tensor) -> None:
        for X in inputs:
            if X.numel() != 1 or X.dtype != inputs[0].dtype:
                self.refuse("every input must be one number, all of one type.")

    def kernel(self, *inputs: Tensor) -> Tensor:
        numbers = [X.item() for X in inputs]
        start, stop = (0, numbers[0]) if len(numbers) == 1 else numbers[:2]
        step = numbers[2] if len(numbers) == 3 else 1
        if step == 0:
            self.refuse("step must not be 0.")
        count = max(0, math.ceil((stop - start) / step))
        dtype = inputs[0].dtype
        return torch.arange(count, dtype=dtype, device=self.device) * step + start


class RangeFill(Filler):
    """Y = 0, 1, 2, … in the order of memory.

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``
    Source:   caffe2/operators/filler_op.h
    """

    inplace = ()

    def kernel(self, *inputs: Any) -> Tensor:
        shape = self.shape_for(inputs)
        return torch.arange(math.prod(shape), dtype=torch.float32, device=self.device).reshape(shape)


class LengthsRangeFill(Operator):
    """Y = 0, 1, … lengths[0] - 1, 0, 1, … lengths[1] - 1, and so on.

    Shapes:   lengths: (N,) int32 -> Y: (sum of lengths,) int32
    Source:   caffe2/operators/filler_op.h
    """

    inputs = (Port("lengths", INT, "N"),)
    outputs = (Port("Y"),)
    gradient_stops = True

    def kernel(self, lengths: Tensor) -> Tensor:
        if lengths.numel() and int(lengths.min()) < 0:
            self.refuse("lengths must not be negative.")
        ends = torch.cumsum(lengths, 0)
        starts = torch.repeat_interleave(ends - lengths, lengths.long())
        return (torch.arange(starts.numel(), device=starts.device) - starts).int()
