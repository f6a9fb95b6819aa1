"""What converters work with, and their register.

Owned here: `Graph` and `onnx`. Who calls it: the families, `_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch

from freshpot.convert._table import Converters, Refused
from freshpot.formats.onnx import MESSAGES, attribute, tensor
from freshpot.net import Op, registry

Converter = Callable[["Graph", "Call"], None]
Spec = tuple[tuple[int, ...], torch.dtype]
#: declares the converter of some operators
onnx: Converters[Converter] = Converters("freshpot.convert.onnx")
converters = onnx.all


class Call:
    """One operator: arguments as its definition reads them, shapes of its blobs."""

    def __init__(self, op: Op, names: Sequence[str], graph: Graph) -> None:
        self.op = op
        self.operator: Any = registry.get(op.type)(op)
        #: the inputs' names in the graph (a blob that is overwritten has several)
        self.inputs = list(names)
        self.outputs: list[str] = []
        self._graph = graph

    def shape(self, i: int = 0) -> list[int]:
        """An input's shape."""
        return list(self._spec(self.inputs[i], self.op.inputs[i])[0])

    def dtype(self, i: int = 0) -> torch.dtype:
        """An input's element type."""
        return self._spec(self.inputs[i], self.op.inputs[i])[1]

    def made(self, i: int = 0) -> list[int]:
        """An output's shape."""
        return list(self._spec(self.outputs[i], self.op.outputs[i])[0])

    def _spec(self, name: str, blob: str) -> Spec:
        found = self._graph.specs.get(name)
        if found is None:
            self.refuse(f"the shape of '{blob}' is not known beforehand.")
        return found

    def refuse(self, what: str) -> NoReturn:
        """Refuse the call.

        Raises:
            Refused: naming the operator.
        """
        raise Refused(f"{self.op}: {what}")

    def channels_second(self) -> None:
        """Refuse the order NHWC."""
        if getattr(self.operator, "order", "NCHW") != "NCHW":
            self.refuse("order NHWC is not converted.")


class Graph:
    """An ONNX graph in the making. Every result has a name of its own."""

    def __init__(self, values: Mapping[str, np.ndarray], specs: dict[str, Spec]) -> None:
        self.values = dict(values)
        #: shape and type of the values that are known so far
        self.specs = specs
        self.nodes: list[Any] = []
        #: what nodes make
        self.made: set[str] = set()
        self.initializers: dict[str, Any] = {}
        self._names: dict[str, str] = {}
        self._taken = set(specs) | set(values)

    def inside(self) -> Graph:
        """A graph for a node's body, whose names are none of this one's."""
        body = Graph({}, {})
        body._taken = set(self._taken) | self.made
        return body

    def take_over(self, body: Graph) -> None:
        """Leave the names of a body to it."""
        self.reserve(body._taken)

    def reserve(self, names: Iterable[str]) -> None:
        """Leave names to others."""
        self._taken.update(names)

    def name_of(self, blob: str) -> str:
        """What the blob's present value is called."""
        return self._names.get(blob, blob)

    def name_output(self, blob: str, written_before: bool) -> str:
        """A name for a new value of the blob."""
        self._names[blob] = self.fresh(blob) if written_before else blob
        return self._names[blob]

    def fresh(self, name: str) -> str:
        """``name`` with a number behind it."""
        count = 1
        while f"{name}_{count}" in self._taken:
            count += 1
        self._taken.add(f"{name}_{count}")
        return f"{name}_{count}"

    def value(self, name: str) -> np.ndarray | None:
        """A parameter's value, None if it is none."""
        return self.values.get(name)

    def inner(self, type: str, inputs: Sequence[str], stem: str, **attributes: Any) -> str:
        """Append a node whose one output gets a name of its own, with ``stem`` at the front; its name."""
        return self.node(type, inputs, self.fresh(stem), **attributes)

    def ints(self, name: str, values: Sequence[int]) -> str:
        """A fixed vector of whole numbers."""
        return self.constant(name, list(values), "int64")

    def constant(self, name: str, value: Any, dtype: str = "float32") -> str:
        """A fixed tensor."""
        made = self.fresh(name)
        self.initializers[made] = tensor(made, np.asarray(value, dtype))
        return made

    def node(self, type: str, inputs: Sequence[str], outputs: Sequence[str] | str, **attributes: Any) -> str:
        """Append a node; its first output."""
        made = [outputs] if isinstance(outputs, str) else list(outputs)
        self.made.update(made)
        self.nodes.append(
            MESSAGES.NodeProto(
                op_type=type,
                name=f"{type}_{len(self.nodes)}",
                input=list(inputs),
                output=made,
                attribute=[attribute(k, v) for k, v in sorted(attributes.items()) if v is not None],
            )
        )
        return made[0]
