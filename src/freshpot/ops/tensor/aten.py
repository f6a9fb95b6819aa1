"""A function of PyTorch as an operator, which ONNX models exported with ATen's fall-back hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, near_matches
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator


class ATen(Operator):
    """What ``torch.ops.aten.<operator>`` gives: tensors are the inputs in order, other parameters arguments by name.

    Where a function has several forms, it is the first that takes so many tensors and all the arguments given.
    Functions that take text, such as names of files, are not called.

    Raises:   ArgumentError if PyTorch has no such function, or none of its forms fits inputs and arguments.
    Source:   caffe2/contrib/aten/aten_op_template.h
    """

    inputs = (Port("inputs", many=True, optional=True),)
    outputs = (Port("outputs", many=True),)
    args = (Arg("operator", str, "", "the function's name"),)
    no_gradient = "the original has none"

    def setup(self) -> None:
        if not self.operator or not hasattr(torch.ops.aten, self.operator):
            near = near_matches(self.operator, [n for n in dir(torch.Tensor) if not n.startswith("_")])
            self.refuse(f"PyTorch has no function '{self.operator}'.{near}", ArgumentError)
        if self.operator.endswith("_"):
            self.refuse(f"function '{self.operator}' changes its input.", ArgumentError)
        self.given = {
            name: value for name, value in self.op.args.items() if name not in ("operator", "overload_name")
        }

    def _forms(self) -> Iterator[tuple[Any, list[Any]]]:
        """The function's forms that use exactly the arguments given, with their parameters."""
        packet = getattr(torch.ops.aten, self.operator)
        for name in packet.overloads():
            form = getattr(packet, name)
            parameters = form._schema.arguments
            kinds = {p.name: str(p.type) for p in parameters}
            needed = {p.name for p in parameters if not self._of_tensors(p) and not p.has_default_value()}
            needed = {n for n in needed if not kinds[n].startswith("Optional")}
            if any("str" in kind for kind in kinds.values()) or any(p.is_out for p in parameters):
                continue
            values = {p.name for p in parameters if not self._of_tensors(p)}
            if needed <= set(self.given) <= values and all(
                str(r.type) == "Tensor" for r in form._schema.returns
            ):
                yield form, parameters

    @staticmethod
    def _of_tensors(parameter: Any) -> bool:
        return str(parameter.type) in ("Tensor", "List[Tensor]", "Optional[Tensor]")

    def _bound(self, parameters: list[Any], tensors: list[Tensor]) -> dict[str, Any] | None:
        """Values of all parameters; None if there are too many or too few tensors."""
        left = list(tensors)
        bound: dict[str, Any] = {}
        for parameter in parameters:
            kind = str(parameter.type)
            if kind == "List[Tensor]":
                bound[parameter.name], left = left, []
            elif self._of_tensors(parameter):
                if not left and kind == "Tensor":
                    return None
                bound[parameter.name] = left.pop(0) if left else None
            elif parameter.name in self.given:
                bound[parameter.name] = self._value(self.given[parameter.name], kind)
            elif not parameter.has_default_value():
                bound[parameter.name] = None
        return None if left else bound

    @staticmethod
    def _value(value: Any, kind: str) -> Any:
        if "bool" in kind:
            return [bool(v) for v in value] if isinstance(value, list) else bool(value)
        # the original reads a list from an argument that holds lists, and finds none in one that holds a number
        return [] if "List" in kind and not isinstance(value, list) else value

    def kernel(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        for form, parameters in self._forms():
            bound = self._bound(parameters, list(tensors))
            if bound is None:
                continue
            made = form(**bound)
            parts = made if isinstance(made, (tuple, list)) else (made,)
            return tuple(part.clone(memory_format=torch.contiguous_format) for part in parts)  # not a view
        packet = getattr(torch.ops.aten, self.operator)
        has = "; ".join(
            str(getattr(packet, name)._schema) for name in packet.overloads() if "out" not in name
        )
        self.refuse(
            f"'{self.operator}' takes no {len(tensors)} tensors with arguments {sorted(self.given)}. It has: {has}.",
            ArgumentError,
        )
