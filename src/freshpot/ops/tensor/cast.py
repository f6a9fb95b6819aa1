"""Conversion between element types."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, GradientError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOATS, INTEGERS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import NAME, NUMBER, TORCH

#: TensorProto.DataType's words that are not our own names of the types
_WORDS = {"float": "float32", "double": "float64"}
_TYPES = (*FLOATS, *INTEGERS, "bool")
_TEXT = "string"


def type_number(value: Any) -> int | None:
    """The number of an element type given as number or as word, in any case; None if there is none."""
    if isinstance(value, str):
        word = value.lower()
        return NUMBER.get(_WORDS.get(word, word))
    return value if value in NAME else None


def _rule(g: GradientMaker) -> list[Op]:
    to, made_from = (type_number(g.op.args.get(name, 1)) for name in ("to", "from_type"))
    if "from_type" not in g.op.args or to is None or made_from is None:
        raise GradientError(
            "argument 'from_type' (the type of X) is needed for the gradient. Add it.", op=str(g.op)
        )
    g.copy_arguments = False
    return [g.new("Cast", [g.GO(0)], [g.GI(0)], {"to": made_from, "from_type": to})]


class Cast(Operator):
    """Y = X in the element type ``to``; towards whole numbers it rounds to zero, as text it has six decimals.

    Shapes:   X: any -> Y: as X
    Raises:   ArgumentError for a type that is not float32, float64, bool, text or a whole number type.
    Source:   caffe2/operators/cast_op.cc
    """

    inputs = (Port("X", _TYPES),)
    outputs = (Port("Y"),)
    args = (
        Arg("to", object, 1, "TensorProto.DataType, as number or word"),
        Arg("from_type", object, 1, "type of X, needed for the gradient"),
    )
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        name = NAME.get(type_number(self.to) or -1)
        if name not in (*_TYPES, _TEXT):
            known = ", ".join((*_TYPES, _TEXT))
            self.refuse(f"argument 'to' is {self.to!r}; known are {known}.", ArgumentError)
        self.dtype = TORCH.get(name)

    def kernel(self, X: Tensor) -> Any:
        if self.dtype is None:
            return self._as_text(X)
        return X.to(self.dtype, copy=True, memory_format=torch.contiguous_format)

    @staticmethod
    def _as_text(X: Tensor) -> np.ndarray:
        texts = [f"{x:f}" if isinstance(x, float) else str(int(x)) for x in X.reshape(-1).tolist()]
        made = np.empty(len(texts), dtype=object)
        made[:] = [text.encode() for text in texts]
        return made.reshape(tuple(X.shape))

    def infer(self, X: Tensor) -> tuple[Any, ...]:
        return (None if self.dtype is None else torch.empty(X.shape, dtype=self.dtype, device="meta"),)
