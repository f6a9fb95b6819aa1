"""From ATen calls to operators: what converters work with, and their register.

Owned here: names of blobs, constants, the register. Who calls it: `_capture` and the converters.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.fx import Node

from freshpot.errors import NotSupportedError
from freshpot.net import Net, Op

Converter = Callable[["Lowering", "Call"], Any]
_table: dict[str, Converter] = {}

#: Caffe2's numbers of element types, for the operators that have one as an argument
CAFFE2_TYPES = {torch.float32: 1, torch.int32: 2, torch.bool: 5, torch.int64: 10, torch.float64: 13}


def aten(*names: str) -> Callable[[Converter], Converter]:
    """Declare the converter of these ATen operators (without overload: ``conv2d``)."""

    def register(converter: Converter) -> Converter:
        _table.update(dict.fromkeys(names, converter))
        return converter

    return register


@functools.cache
def converters() -> dict[str, Converter]:
    """All converters by ATen name."""
    package = importlib.import_module("freshpot.torch._aten")
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
    return _table


def name_of(target: Any) -> str:
    """The name that a node's target has in the register."""
    if isinstance(target, torch._ops.OpOverload):
        return target._schema.name.removeprefix("aten::")
    return getattr(target, "__name__", str(target))


def matters(node: Node) -> bool:
    """True for a call whose result somebody reads, or that writes into what it is given."""
    if node.op != "call_function":
        return False
    schema = getattr(node.target, "_schema", None)
    return bool(node.users) or (schema is not None and schema.is_mutable)


class Call:
    """One ATen call: its arguments by the names of its schema, defaults filled in."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.name = name_of(node.target)
        self.given: dict[str, Any] = dict(node.kwargs)
        schema = getattr(node.target, "_schema", None)
        for i, arg in enumerate(schema.arguments if schema else ()):
            if i < len(node.args):
                self.given[arg.name] = node.args[i]
            elif arg.name not in self.given:
                self.given[arg.name] = arg.default_value

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["given"][name]
        except KeyError:
            raise AttributeError(name) from None

    def like(self, node: Any = None) -> Tensor:
        """The shape and type of a node's value (of this call's first input by default), without data."""
        source: Any = node if node is not None else self.node.args[0]
        return source.meta["val"]

    @property
    def made(self) -> Any:
        """The shape and type of what the call makes."""
        return self.node.meta["val"]

    def refuse(self, what: str) -> NoReturn:
        """Refuse the call.

        Raises:
            NotSupportedError: naming the call.
        """
        raise NotSupportedError(f"aten.{self.name} (node '{self.node.name}'): {what}")


class Lowering:
    """A net in the making."""

    def __init__(self, name: str) -> None:
        self.net = Net(name)
        self.names: dict[Node, Any] = {}
        self.values: dict[str, Tensor] = {}
        self.learns: set[str] = set()
        self.inputs: list[str] = []
        self._taken: set[str] = set()

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Values of the blobs that the net reads and does not make, but for the inputs."""
        missing = [blob for blob in self.net.missing_inputs() if blob in self.values]
        return {blob: self.values[blob] for blob in missing}

    @property
    def trainable(self) -> list[str]:
        """Blobs that learn."""
        return [blob for blob in self.parameters if blob in self.learns]

    def fresh(self, name: str) -> str:
        """``name``, or a number after it where it is taken."""
        made, count = name, 0
        while made in self._taken:
            count += 1
            made = f"{name}_{count}"
        self._taken.add(made)
        return made

    def convert(self, node: Node) -> None:
        """Append the operators of a node."""
        call = Call(node)
        self._call = call
        made = converters()[call.name](self, call)
        self.names[node] = made

    def blob(self, node: Any) -> Any:
        """The blob of a node; of one with several results, a list."""
        return self.names[node]

    def blobs(self, nodes: Sequence[Any]) -> list[str]:
        """The blobs of nodes."""
        return [self.names[node] for node in nodes]

    def op(
        self,
        type: str,
        inputs: Sequence[str],
        output: str | None = None,
        more: Sequence[str] = (),
        **args: Any,
    ) -> str:
        """Append an operator with one output (and ``more``); its name."""
        made = output or self.fresh(self._call.node.name)
        self.net.ops.append(Op(type, list(inputs), [made, *more], args))
        return made

    def constant(self, name: str, value: Tensor) -> str:
        """A blob with a fixed value."""
        blob = self.fresh(f"{self._call.node.name}.{name}")
        self.values[blob] = value
        return blob

    def scalar(self, value: float, like: Tensor, blob: str) -> str:
        """A blob as large as ``blob`` that holds one value everywhere, made in the net."""
        number = CAFFE2_TYPES.get(like.dtype)
        if number is None:
            self._call.refuse(f"numbers beside tensors of {like.dtype} are not converted.")
        typed: Any = float(value) if like.is_floating_point() else int(value)
        name = self.fresh(f"{self._call.node.name}_number")
        return self.op("ConstantFill", [blob], name, value=typed, dtype=number)
