"""Fills with one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Call, Operator, call
from freshpot.ops.dtypes import NAME, NUMBER, TORCH
from freshpot.ops.fill._filler import Filler

#: element types that a constant may have
_TYPES = ("float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "string")
_VALUE_ARGS = (
    Arg("value", object, 0, "the value; its kind must suit dtype"),
    Arg("dtype", int, None, "TensorProto.DataType number; default float, or int64 if value is an int"),
)


class _Constant(Filler, abstract=True):
    """Shared by fills with an argument ``value`` and an argument ``dtype``."""

    args = (*Filler.args, *_VALUE_ARGS)

    value: Any

    def setup(self) -> None:
        super().setup()
        self.type_name = self._type_name()
        kind: Any = {"float16": float, "float32": float, "float64": float, "string": (str, bytes)}.get(
            self.type_name, int
        )
        if self.has("value") and not isinstance(self.value, kind):
            self.refuse(
                f"argument 'value' is {type(self.value).__name__}, which does not suit dtype {self.type_name}.",
                ArgumentError,
            )
        self.torch_type = TORCH.get(self.type_name)
        if self.type_name == "bool":
            self.value = bool(self.value)
        self.same_every_run = self.num_inputs < 2 and not self.input_as_shape

    def _type_name(self) -> str:
        if self.dtype is None:
            if isinstance(self.value, (str, bytes, list)):
                self.refuse("argument 'value' must be a number where 'dtype' is not given.", ArgumentError)
            return "int64" if self.has("value") and isinstance(self.value, int) else "float32"
        name = NAME.get(self.dtype, "unknown")
        if name not in (*_TYPES, "float16"):  # of float16 the original tells the shape, and makes none
            self._refuse_type(name)
        return name

    def _refuse_type(self, name: str) -> NoReturn:
        known = ", ".join(f"{NUMBER[n]} ({n})" for n in _TYPES)
        self.refuse(f"argument 'dtype' must be one of {known}; got {self.dtype} ({name}).", ArgumentError)


class ConstantFill(_Constant):
    """Y = value everywhere.

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``. A second input of one
              element replaces ``value``.
    Raises:   ArgumentError if value and dtype do not suit each other, or the shape is given twice.
    Source:   caffe2/operators/filler_op.h (ConstantFillOp)
    """

    inputs = (*Filler.inputs, Port("value", optional=True, doc="one element that replaces the argument"))

    def check(self, *inputs: Any) -> None:
        super().check(*inputs)
        if len(inputs) < 2:
            return
        if self.type_name == "string":
            self.refuse("text cannot be taken from an input; use the argument 'value'.", ArgumentError)
        if inputs[1].numel() != 1 or inputs[1].dtype != self.torch_type:
            self.refuse(f"input value must be one element of {self.type_name}.")

    def kernel(self, *inputs: Any) -> Any:
        if self.type_name == "float16":
            self._refuse_type(self.type_name)
        shape = self.shape_for(inputs)
        if self.torch_type is None:
            text = self.value.encode() if isinstance(self.value, str) else self.value or b""
            return np.full(shape, text, dtype=object)
        if len(inputs) == 2:
            return inputs[1].reshape(()).expand(shape).contiguous().to(self.device, copy=True)
        return torch.full(shape, self.value, dtype=self.torch_type, device=self.device)

    def infer(self, *inputs: Any) -> Any:
        if self.type_name == "float16":
            return (torch.empty(self.shape_for(inputs), dtype=torch.float16, device="meta"),)
        return super().infer(*inputs)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        return [call(outputs[0].fill_, self.value)] if self.same_every_run else None


class DiagonalFill(_Constant):
    """Y = value where all indices are equal, 0 elsewhere.

    Shapes:   as ConstantFill, at least two dimensions; more than two must be of one size
    Source:   caffe2/operators/filler_op.h (DiagonalFillOp)
    """

    def _type_name(self) -> str:
        name = super()._type_name()
        if name == "float16":
            self._refuse_type(name)
        if name == "string":
            self.refuse("there is no text on a diagonal; 'dtype' must be a type of numbers.", ArgumentError)
        return name

    def kernel(self, *inputs: Any) -> Tensor:
        shape = self.shape_for(inputs)
        if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
            self.refuse(
                f"the shape must have two dimensions, or more that are of one size; got {tuple(shape)}."
            )
        Y = torch.zeros(shape, dtype=self.torch_type, device=self.device)
        step = shape[1] + 1 if len(shape) == 2 else sum(shape[0] ** k for k in range(len(shape)))
        Y.view(-1)[::step] = self.value
        return Y


class Float16ConstantFill(Operator):
    """Y = value everywhere, in half precision.

    Shapes:   none -> Y: ``shape``
    Source:   caffe2/operators/half_float_ops.h
    """

    outputs = (Port("Y"),)
    args = (
        Arg("shape", [int], [], "shape of the output"),
        Arg("value", float, 0.0, "the value"),
    )
    gradient_stops = True

    def kernel(self) -> Tensor:
        return torch.full(self.shape, self.value, dtype=torch.float16, device=self.device)
