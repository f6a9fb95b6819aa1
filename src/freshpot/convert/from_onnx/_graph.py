"""What converters of ONNX operators work with, and their register.

Owned here: `Node`, `Graph` and `onnx`. Who calls it: the families, `_fold`, `_model`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from freshpot.convert._table import Converters, Refused
from freshpot.engine import infer_shapes
from freshpot.formats.onnx_file import attribute_value
from freshpot.net import Net, Op
from freshpot.ops.dtypes import NUMBER, name_of

Array = NDArray[Any]
Converter = Callable[["Graph", "Node"], None]
Spec = tuple[tuple[int, ...], torch.dtype]
#: declares the converter of some operators
onnx: Converters[Converter] = Converters("freshpot.convert.from_onnx")
converters = onnx.all


class Node:
    """One node: attributes, which must all be read, and what is known of its inputs."""

    def __init__(self, proto: Any, graph: Graph) -> None:
        self.type: str = proto.op_type
        self.inputs = list(proto.input)
        self.outputs = [name for name in proto.output if name]
        #: the outputs' places, of which those that nobody wants are ""
        self.places = list(proto.output)
        self.version = graph.version
        self._name = proto.name
        self._graph = graph
        self._protos = {attribute.name: attribute for attribute in proto.attribute}
        self._unread = set(self._protos)

    def __str__(self) -> str:
        name = f" '{self._name}'" if self._name else ""
        return f"{self.type}{name} -> ({', '.join(self.outputs)})"

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, which is of its default's kind if there is one."""
        self._unread.discard(name)
        if name not in self._protos:
            return default
        value = attribute_value(self._protos[name], folder=self._graph.folder, path=self._graph.path)
        wanted = (int, float) if isinstance(default, float) else type(default)
        if default is not None and not isinstance(value, wanted):
            self.refuse(f"attribute {name} is {type(value).__name__}, not {type(default).__name__}.")
        return value

    def has(self, name: str) -> bool:
        """True if the attribute is given."""
        return name in self._protos

    def check_read(self) -> None:
        """Refuse attributes that the converter does not know."""
        if self._unread:
            self.refuse(f"attribute {', '.join(sorted(self._unread))} is not converted.")

    def given(self, i: int) -> str | None:
        """The name of an input, None where it is left out."""
        return self.inputs[i] if i < len(self.inputs) and self.inputs[i] else None

    def fixed(self, i: int, what: str) -> Array:
        """The value of an input that must be known beforehand."""
        name = self.given(i)
        if name is None:
            self.refuse(f"its {what} is missing.")
        value = self._graph.known.get(name)
        if value is None:
            self.refuse(f"its {what} '{name}' is computed when the net runs; only a fixed one is converted.")
        return value

    def ints(self, i: int, what: str, default: list[int] | None = None) -> list[int]:
        """Whole numbers: an attribute in older versions of the operator, an input in newer ones."""
        if self.has(what):
            return [int(n) for n in np.atleast_1d(self.attribute(what))]
        if self.given(i) is not None:
            return [int(n) for n in self.fixed(i, what).reshape(-1)]
        if default is None:
            self.refuse(f"its {what} is missing.")
        return default

    def spec(self, i: int = 0) -> Spec:
        """Shape and type of an input."""
        name = self.given(i)
        if name is None:
            self.refuse(f"input {i} is missing.")
        if name in self._graph.known:
            value = self._graph.known[name]
            return value.shape, torch.from_numpy(value[:0] if value.ndim else value).dtype
        found = self._graph.specs.get(self._graph.names[name])
        if found is None:
            self.refuse(f"the shape of '{name}' is not known beforehand.")
        return found

    def shape(self, i: int = 0) -> list[int]:
        """An input's shape; an open size is `Graph.batch`."""
        return list(self.spec(i)[0])

    def axis(self, default: int | None, i: int = 0, name: str = "axis") -> int:
        """The attribute that names a dimension of an input, counted from 0."""
        given = self.attribute(name, default)
        if given is None:
            self.refuse(f"attribute {name} is missing.")
        return self.place(int(given), len(self.shape(i)))

    def place(self, axis: int, ndim: int) -> int:
        """A dimension counted from 0."""
        if not -ndim <= axis < max(ndim, 1):
            self.refuse(f"it names dimension {axis} of {ndim}.")
        return axis % max(ndim, 1)

    def only_output(self) -> str:
        """The first output, where nobody wants another."""
        if not self.places[0] or any(name and self._graph.readers.get(name) for name in self.places[1:]):
            self.refuse("only its first output is converted.")
        return self.places[0]

    def refuse(self, what: str) -> NoReturn:
        """Refuse the node.

        Raises:
            Refused: naming it.
        """
        raise Refused(f"{self}: {what}")


class Graph:
    """A net in the making."""

    def __init__(self, name: str, version: int, batch: int, folder: Path | None, path: object) -> None:
        self.net = Net(name)
        self.version = version
        #: stands for the open size: a prime that no size has
        self.batch = batch
        self.folder, self.path = folder, path
        #: values that are the same at every run
        self.known: dict[str, Array] = {}
        #: the blobs of the others
        self.names: dict[str, str] = {}
        self.specs: dict[str, Spec] = {}
        self.parameters: dict[str, torch.Tensor] = {}
        #: an input whose first size is the open one
        self.follows: str | None = None
        #: biases that were made up, for FCs that a bias may follow
        self.zero_biases: set[str] = set()
        #: how many nodes read a value; outputs of the graph count as read
        self.readers: dict[str, int] = {}
        #: elements that may still be worked out beforehand
        self.room = 0
        self._taken: set[str] = set()

    def has_room(self, count: int) -> bool:
        """True if as many elements may be worked out, beside all that were; they are counted."""
        if count > self.room:
            return False
        self.room -= count
        return True

    def take(self, name: str) -> None:
        """Reserve a name."""
        self._taken.add(name)

    def fresh(self, name: str) -> str:
        """``name`` with a number behind it."""
        count = 1
        while f"{name}_{count}" in self._taken:
            count += 1
        self._taken.add(f"{name}_{count}")
        return f"{name}_{count}"

    def is_open(self, size: int) -> bool:
        """True for a size that follows the batch's."""
        return size != 0 and size % self.batch == 0

    def blob(self, value: str) -> str:
        """The blob of a value; one that is known becomes a parameter."""
        if value in self.names:
            return self.names[value]
        self.names[value] = self._keep(value, self.known[value])
        return self.names[value]

    def _keep(self, blob: str, value: Array) -> str:
        wide = value.dtype in (np.int32, np.int64)
        if wide and value.size and bool(((value != 0) & (value % self.batch == 0)).any()):
            raise Refused(f"'{blob}', which follows the batch, is used as a number.")
        self.parameters[blob] = torch.from_numpy(np.require(value, requirements=["C", "W"]))
        self.specs[blob] = (tuple(value.shape), self.parameters[blob].dtype)
        return blob

    def constant(self, name: str, value: Any, dtype: str = "float32") -> str:
        """A blob with a fixed value."""
        return self._keep(self.fresh(name), np.asarray(value, dtype))

    def pass_on(self, value: str, made: str) -> None:
        """Let ``made`` be another name for a value."""
        if value in self.known and value not in self.names:
            self.known[made] = self.known[value]
        else:
            self.names[made] = self.names[value]

    def op(self, type: str, inputs: Sequence[str], outputs: Sequence[str] | str, **args: Any) -> str:
        """Append an operator and infer what it makes; its first output."""
        made = [outputs] if isinstance(outputs, str) else list(outputs)
        own: list[str] = []
        for blob in inputs:  # gradient rules give every input a gradient of its own
            own.append(self._twin(blob) if blob in own else blob)
        self._append(Op(type, own, made, args))
        self.names.update((name, name) for name in made)
        return made[0]

    def _twin(self, blob: str) -> str:
        twin = self.fresh(f"{blob}_again")
        self._append(Op("Copy", [blob], [twin]))
        return twin

    def _append(self, op: Op) -> None:
        known = {blob: self.specs[blob] for blob in op.inputs if blob in self.specs}
        found = infer_shapes(Net(self.net.name, [op]), known)
        self.net.ops.append(op)
        self.specs.update((blob, found[blob]) for blob in op.outputs if blob in found)

    def made_by(self, blob: str) -> Op | None:
        """The operator that makes a blob."""
        return next((op for op in reversed(self.net.ops) if blob in op.outputs), None)

    def reshape(self, node: Node, blob: str, shape: Sequence[int], made: str) -> str:
        """A reshape; an open size stays open."""
        if blob not in self.specs:
            node.refuse(f"the shape of '{blob}' is not known beforehand.")
        old = self.specs[blob][0]
        sizes: list[int] = []
        for i, size in enumerate(shape):
            if not self.is_open(size):
                sizes.append(size)
            elif i < len(old) and old[i] == size:
                sizes.append(0)
            elif -1 not in shape and -1 not in sizes:
                sizes.append(-1)
            else:
                node.refuse(f"shape {self.words(shape)} follows the batch in two ways.")
        return self.op("Reshape", [blob], [made, self.fresh(f"{made}_old_shape")], shape=sizes)

    def sized(
        self, node: Node, type: str, inputs: Sequence[str], shape: Sequence[int], made: str, **args: Any
    ) -> str:
        """An operator with an argument ``shape``, which follows an input where it is open."""
        if not any(map(self.is_open, shape)):
            return self.op(type, inputs, made, shape=list(shape), **args)
        if self.follows is None:
            node.refuse("a size follows the batch, which no input has as its first size.")
        sizes = [-(size // self.batch) if self.is_open(size) else size for size in shape]
        return self.op(type, [*inputs, self.follows], made, shape=sizes, **args)

    def words(self, shape: Sequence[int]) -> str:
        """A shape for messages."""
        return "[" + ", ".join("batch" if size == self.batch else str(size) for size in shape) + "]"


def type_number(dtype: torch.dtype) -> int:
    """Caffe2's number of an element type."""
    return NUMBER[name_of(torch.empty(0, dtype=dtype))]
