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
from freshpot.torch._sizes import OpenSizes, Size

Converter = Callable[["Lowering", "Call"], Any]
_table: dict[str, Converter] = {}

#: Caffe2's numbers of element types, for the operators that have one as an argument
CAFFE2_TYPES = {
    torch.float32: 1,
    torch.int32: 2,
    torch.bool: 5,
    torch.uint8: 6,
    torch.int8: 7,
    torch.int16: 9,
    torch.int64: 10,
    torch.float16: 12,
    torch.float64: 13,
}
#: elements of a result that is worked out beforehand
_MOST_KNOWN = 1 << 20
#: calls whose results differ each time, which no constant may stand for
_RANDOM = {"rand", "randn", "randint", "bernoulli", "bernoulli_", "rand_like", "randn_like", "randperm"}


class Refused(NotSupportedError):
    """A call that its converter does not take; kept until all are known."""


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
    """True for a call whose result somebody reads, or that writes into what it is given; not for sizes."""
    if node.op != "call_function" or isinstance(node.meta.get("val"), (torch.SymInt, torch.SymBool, int)):
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
            Refused: naming the call.
        """
        raise Refused(f"aten.{self.name} (node '{self.node.name}'): {what}")


class Lowering:
    """A net in the making."""

    def __init__(self, name: str, training: bool = False) -> None:
        self.net = Net(name)
        self.training = training
        self.names: dict[Node, Any] = {}
        self.values: dict[str, Tensor] = {}
        self.learns: set[str] = set()
        self.inputs: list[str] = []
        self.sizes = OpenSizes()
        #: results that are the same at every run, by node; they become blobs where an operator reads them
        self.known: dict[Node, Any] = {}
        #: blobs that no state_dict of the module has
        self.made_up: set[str] = set()
        #: calls that were not converted, and why
        self.refused: dict[Node, Refused] = {}
        #: second operands that were multiplied (``torch.add(a, b, alpha=2)``), by call
        self.scaled: dict[Node, str] = {}
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
        """Append the operators of a node; a refusal is kept, so that all are known at the end."""
        call = Call(node)
        self._call = call
        value = _evaluated(node, self.known)
        if value is not None:
            self.known[node] = value
            return
        converter = converters().get(call.name)
        try:
            if converter is None:
                call.refuse("has no counterpart.")
            self.names[node] = converter(self, call)
        except Refused as refusal:
            self.refused[node] = refusal
            made = call.made
            several = isinstance(made, (tuple, list))
            self.names[node] = [node.name] * len(made) if several else node.name

    @property
    def current(self) -> str:
        """The name of the call that is being converted."""
        return self._call.node.name

    def blob(self, node: Any) -> Any:
        """The blob of a node; of one with several results, a list."""
        if node in self.known and node not in self.names:
            if _is_fill(node):
                outer, self._call = getattr(self, "_call", None), Call(node)
                self.names[node] = converters()[self._call.name](self, self._call)
                self._call = outer or self._call
                return self.names[node]
            value = self.known[node]
            made: Any = [self._constant(node.name, v) for v in value] if isinstance(value, tuple) else None
            self.names[node] = made or self._constant(node.name, value)
        return self.names[node]

    def blobs(self, nodes: Sequence[Any]) -> list[str]:
        """The blobs of nodes."""
        return [self.blob(node) for node in nodes]

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
        own: list[str] = []
        for blob in inputs:  # gradient rules give every input a gradient of its own
            own.append(self._twin(blob) if blob in own else blob)
        self.net.ops.append(Op(type, own, [made, *more], args))
        return made

    def _twin(self, blob: str) -> str:
        twin = self.fresh(f"{blob}_again")
        self.net.ops.append(Op("Copy", [blob], [twin]))
        return twin

    def constant(self, name: str, value: Tensor) -> str:
        """A blob with a fixed value."""
        return self._constant(f"{self._call.node.name}.{name}", value)

    def _constant(self, name: str, value: Tensor) -> str:
        blob = self.fresh(name)
        self.values[blob] = value.detach().clone()
        self.made_up.add(blob)
        return blob

    def sized(self, type: str, inputs: Sequence[str], shape: Sequence[Size], **args: Any) -> str:
        """An operator with an argument ``shape``, and an input that open sizes follow."""
        sizes, like = self.sizes.closed(shape)
        more = [] if like is None else [like]
        return self.op(type, [*inputs, *more], shape=sizes, **args)

    def cast(self, blob: str, found: torch.dtype, wanted: torch.dtype) -> str:
        """The blob in another type; gradients end where it was no fraction."""
        numbers = CAFFE2_TYPES.get(found), CAFFE2_TYPES.get(wanted)
        if None in numbers:
            self._call.refuse(f"from {found} to {wanted} is not converted.")
        name = self.fresh(f"{blob}_cast")
        made = self.op("Cast", [blob], name, to=numbers[1], from_type=numbers[0])
        if found.is_floating_point or not wanted.is_floating_point:
            return made
        return self.op("StopGradient", [made], self.fresh(f"{blob}_number"))

    def typed(self, node: Node, found: torch.dtype, wanted: torch.dtype) -> str:
        """A node's blob, in another type where it has another."""
        blob = self.blob(node)
        return blob if found is wanted else self.cast(blob, found, wanted)

    def count(self, size: torch.SymInt) -> str:
        """An open size as a blob, one float."""
        name = self.fresh(f"{self.current}_size")
        sizes, like = self.sizes.closed([size])
        if like is None:
            self._call.refuse("an open size that follows no input is not converted.")
        ones = self.op("FillSized", [like], name, shape=sizes, value=1.0)
        return self.op("ReduceSum", [ones], self.fresh(f"{self.current}_count"), axes=[0], keepdims=0)

    def scalar(self, value: float, like: Tensor, blob: str) -> str:
        """A blob as large as ``blob`` that holds one value everywhere, made in the net."""
        number = CAFFE2_TYPES.get(like.dtype)
        if number is None:
            self._call.refuse(f"numbers beside tensors of {like.dtype} are not converted.")
        typed: Any = float(value) if like.is_floating_point() else int(value)
        name = self.fresh(f"{self._call.node.name}_number")
        return self.op("ConstantFill", [blob], name, value=typed, dtype=number)


def _is_fill(node: Node) -> bool:
    name = name_of(node.target).removesuffix("_like").removeprefix("new_")
    return name in ("full", "zeros", "ones", "scalar_tensor")


def _evaluated(node: Node, known: dict[Node, Any]) -> Any:
    """What a call makes, where all it reads is known and its size is fixed; else None."""
    made = node.meta.get("val")
    if name_of(node.target) in _RANDOM or name_of(node.target).startswith(("empty", "new_empty")):
        return None
    if not isinstance(made, Tensor) or any(isinstance(n, torch.SymInt) for n in made.shape):
        return None
    schema = getattr(node.target, "_schema", None)
    if made.numel() > _MOST_KNOWN or schema is None or schema.is_mutable:
        return None
    if not _is_fill(node) and not all(read in known for read in node.all_input_nodes):
        return None
    if _is_fill(node) and node.all_input_nodes:
        value = Call(node).given.get("fill_value", int("ones" in name_of(node.target)))
        return (
            torch.full(tuple(made.shape), value, dtype=made.dtype)
            if isinstance(value, (int, float))
            else None
        )
    given: Any = torch.fx.map_arg((node.args, dict(node.kwargs)), lambda read: known[read])
    named = {key: value for key, value in given[1].items() if key != "device"}
    return node.target(*given[0], **named)  # type: ignore[operator]
