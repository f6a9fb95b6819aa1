"""Fills with values that the net spells out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.floats import Floats
from freshpot.net.schema import Arg
from freshpot.ops._operator import Call, call
from freshpot.ops.dtypes import NAME, NUMBER, TORCH
from freshpot.ops.fill._filler import Filler

#: operator -> element type
_TYPES = {
    "GivenTensorDoubleFill": "float64",
    "GivenTensorBoolFill": "bool",
    "GivenTensorInt16Fill": "int16",
    "GivenTensorIntFill": "int32",
    "GivenTensorInt64Fill": "int64",
    "GivenTensorStringFill": "string",
}
_BY_NUMBER = ("float32", "float64", "bool", "int16", "int32", "int64", "string")


class _Given(Filler, abstract=True):
    """Y = values, in the order of memory.

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``
    Raises:   ArgumentError if the values are of another kind; ShapeError if they are too few or too many.
    Source:   caffe2/operators/given_tensor_fill_op.h
    """

    element = "float32"
    args = (Arg("values", [object], [], "the elements"), *Filler.args)

    def setup(self) -> None:
        super().setup()
        self.type_name = self.chosen_type()
        kind: Any = {"float32": float, "float64": float, "string": (str, bytes)}.get(self.type_name, int)
        kinds = {float} if isinstance(self.values, Floats) else set(map(type, self.values))
        if not all(issubclass(found, kind) for found in kinds):
            found = ", ".join(sorted(k.__name__ for k in kinds))
            self.refuse(
                f"argument 'values' holds {found}, which does not suit {self.type_name}.", ArgumentError
            )
        self.made = None if isinstance(self.values, Floats) else self._make()
        self.same_every_run = not self.input_as_shape

    def chosen_type(self) -> str:
        """Name of the element type."""
        return self.element

    def _make(self) -> Any:
        if self.type_name == "string":
            flat = np.empty(len(self.values), dtype=object)
            flat[:] = [v.encode() if isinstance(v, str) else v for v in self.values]
            return flat
        flat = np.array(
            self.values, dtype="int64" if self.type_name not in ("float32", "float64") else "float64"
        )
        return torch.from_numpy(flat).to(TORCH[self.type_name])

    def kernel(self, *inputs: Any) -> Any:
        shape = self.shape_for(inputs)
        count = int(np.prod(shape, dtype=np.int64))
        if count != len(self.values):
            self.refuse(
                f"shape {tuple(shape)} has {count} elements, argument 'values' has {len(self.values)}."
            )
        if self.made is None:  # they are in memory of their own
            made = torch.from_numpy(self.values.array()).to(TORCH[self.type_name])
            return made.reshape(shape).to(self.device)
        if isinstance(self.made, np.ndarray):
            return self.made.reshape(shape).copy()
        return self.made.reshape(shape).to(self.device, copy=True)

    def calls(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call] | None:
        if not self.same_every_run:
            return None
        made = self.made if self.made is not None else self.kernel(*inputs)
        return [call(outputs[0].copy_, made.reshape(outputs[0].shape))]


class GivenTensorFill(_Given):
    __doc__ = _Given.__doc__

    args = (*_Given.args, Arg("dtype", int, None, "TensorProto.DataType number; default float"))

    def chosen_type(self) -> str:
        if self.dtype is None:
            return "float32"
        name = NAME.get(self.dtype, "unknown")
        if name not in _BY_NUMBER:
            known = ", ".join(f"{NUMBER[n]} ({n})" for n in _BY_NUMBER)
            self.refuse(f"argument 'dtype' must be one of {known}; got {self.dtype} ({name}).", ArgumentError)
        return name


for _name, _element in _TYPES.items():
    _members = {"__doc__": _Given.__doc__, "__module__": __name__, "element": _element}
    type(_name, (_Given,), _members | ({"calls": None} if _element == "string" else {}))


class GivenTensorByteStringToUInt8Fill(Filler):
    """Y = the bytes of the one text in ``values``.

    Shapes:   none, with ``shape``; or X: any -> Y: as X, then ``extra_shape``
    Raises:   ShapeError if there are fewer or more bytes than elements.
    Source:   caffe2/operators/given_tensor_byte_string_to_uint8_fill_op.h
    """

    args = (Arg("values", [bytes], [], "one text: the elements"), *Filler.args)

    def setup(self) -> None:
        super().setup()
        if len(self.values) != 1:
            self.refuse(f"argument 'values' must hold one text, got {len(self.values)}.", ArgumentError)

    def kernel(self, *inputs: Any) -> torch.Tensor:
        shape = self.shape_for(inputs)
        count = int(np.prod(shape, dtype=np.int64))
        if count != len(self.values[0]):
            self.refuse(
                f"shape {tuple(shape)} has {count} elements, the text has {len(self.values[0])} bytes."
            )
        made = torch.frombuffer(bytearray(self.values[0]) or bytearray(1), dtype=torch.uint8)[:count]
        return made.reshape(shape).to(self.device, copy=True)
