"""References to blobs.

Owned here: `BlobReference`, sparse gradients, and what a program may write where a blob is wanted.
Who calls it: `core`, and every module that builds nets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from caffe2.python import scope
from caffe2.python._core import registry

if TYPE_CHECKING:
    from caffe2.python._core.net import Net


class BlobReference:
    """The name of a blob, and the net it comes from, if known.

    It compares and hashes as its name. ``blob.Relu("y")`` adds an operator to its net with the blob
    as first input. ``meta`` is for programs.
    """

    _name: str
    _from_net: Net | None

    def __init__(self, name: object, net: Net | None = None) -> None:
        self._name = name.decode("utf-8") if isinstance(name, bytes) else str(name)
        self._from_net = net
        self.meta: dict[Any, Any] = {}

    def __hash__(self) -> int:
        return hash(self._name)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, BlobReference):
            return self._name == other._name
        if isinstance(other, bytes):
            return self._name == other.decode("utf-8")
        return isinstance(other, str) and self._name == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f'BlobReference("{self._name}")'

    def __add__(self, other: str) -> BlobReference:
        return BlobReference(self._name + _text(other), self._from_net)

    def __radd__(self, other: str) -> BlobReference:
        return BlobReference(_text(other) + self._name, self._from_net)

    def Net(self) -> Net | None:
        """The net the blob comes from."""
        return self._from_net

    def GetNameScope(self) -> str:
        """The name up to and including its last slash."""
        return self._name[: len(self._name) - len(self.GetUnscopedName())]

    def GetUnscopedName(self) -> str:
        """The name after its last slash."""
        return self._name.rpartition(scope._NAMESCOPE_SEPARATOR)[2]

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        """Adds an operator of this type to the blob's net, with the blob as first input."""
        if op_type.startswith("_"):
            raise AttributeError(f"'BlobReference' has no attribute '{op_type}'.")
        net = self._from_net
        if net is None:
            raise AttributeError(
                f"blob '{self._name}' belongs to no net, so '{op_type}' cannot be added through it. "
                f"Use net.{op_type}([blob], …)."
            )
        registry.require_operator(op_type)

        def add(inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
            rest = [] if inputs is None else list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            return net._CreateAndAddToSelf(op_type, [self, *rest], *args, **kwargs)

        return add

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self.__dict__, *registry.operator_types()})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise RuntimeError(f"only text can be added to a BlobReference, got {type(value).__name__}.")
    return value


class GradientSlice(NamedTuple):
    """A sparse gradient: the numbers of rows, and the gradients of those rows."""

    indices: Any
    values: Any


def ScopedName(name: str | bytes) -> str:
    """The name after the name scope in force."""
    return scope.CurrentNameScope() + (name.decode("ascii") if isinstance(name, bytes) else name)


def ScopedBlobReference(name: str | bytes, *args: Any, **kwargs: Any) -> BlobReference:
    """A reference to the blob of that name in the name scope in force."""
    return BlobReference(ScopedName(name), *args, **kwargs)


def rectify(blobs: Any, net: Net | None = None) -> list[BlobReference]:
    """A list of references from what a program gave: a name, a reference, or a list of these.

    Plain names get the name scope in force; references are taken as they are.

    Raises:
        TypeError: something else was given.
    """
    if isinstance(blobs, (str, bytes, BlobReference)):
        blobs = [blobs]
    elif type(blobs) not in (list, tuple):  # a GradientSlice is a tuple of another kind: no list of blobs
        raise TypeError(
            f"inputs and outputs are names, BlobReferences or lists of these; got {type(blobs).__name__}."
        )
    made = []
    for blob in blobs:
        if isinstance(blob, BlobReference):
            made.append(blob)
        elif isinstance(blob, (str, bytes)):
            made.append(ScopedBlobReference(blob, net=net))
        else:
            raise TypeError(
                f"blob #{len(made)} must be a name or a BlobReference, got {type(blob).__name__}: {blob!r}."
            )
    return made


def output_to_list(op_output: Any) -> list[BlobReference]:
    """What an operator method returned, always as a list."""
    if isinstance(op_output, BlobReference):
        return [op_output]
    return list(op_output)


def blob_ref(blob: Any) -> BlobReference:
    """A fresh reference to a blob, without a net."""
    return BlobReference(blob)
