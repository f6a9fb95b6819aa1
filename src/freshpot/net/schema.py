"""What an operator declares about itself: its ports and its arguments, and the checks that follow.

Owned here: declarations and the checking of an :class:`~freshpot.net.op.Op` against them, without torch.
Who calls it: `ops` (every definition), `net.registry`, `engine.plan`, the generated catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from freshpot.errors import ArgumentError, ArityError
from freshpot.net.floats import Floats
from freshpot.net.net import Net
from freshpot.net.op import Op

#: Groups of element types for ``Port(dtypes=…)``.
FLOAT = ("float32",)
FLOATS = ("float32", "float64")
ANY_FLOAT = ("float16", "float32", "float64")
INT = ("int32",)
INTS = ("int32", "int64")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "int64")
BOOL = ("bool",)
STRING = ("string",)
NUMERIC = (*INTS, *FLOATS)
ANY: tuple[str, ...] = ()

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of an operator, or a run of them.

    Args:
        name: how messages, the catalogue and kernels call it.
        dtypes: element types it takes; empty means any (also things that are not tensors).
        shape: shape in words, one symbol a dimension (``"N C H W"``, ``"M 1"``). Symbols that occur
            twice in an operator must agree; numbers are exact; ``"..."`` (the default) is any shape;
            ``"..."`` as first or last symbol stands for any number of dimensions there.
        optional: it may be left out (then so are all ports after it).
        many: it stands for any number of blobs, at least ``at_least``.
        doc: one line for the catalogue.
    """

    name: str
    dtypes: tuple[str, ...] = ANY
    shape: str = "..."
    optional: bool = False
    many: bool = False
    at_least: int = 1
    doc: str = ""


class Arg:
    """One argument of an operator.

    Args:
        name: the original's name.
        kind: ``int``, ``float``, ``bool`` (stored as int), ``str``, ``bytes``, ``Net`` or a list of one
            of these, as ``[int]``.
        default: value if it is not given; leave it out for a required argument.
        doc: one line: meaning, unit, range.
        choices: the only values allowed, if given.

    A value of another kind is refused as in the original: a float where an int is wanted, and an int
    where a float is wanted, are mistakes there too.
    """

    __slots__ = ("choices", "default", "doc", "kind", "name")

    def __init__(
        self, name: str, kind: Any, default: Any = _REQUIRED, doc: str = "", *, choices: tuple[Any, ...] = ()
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.doc = doc
        self.choices = choices

    @property
    def required(self) -> bool:
        """True if the operator cannot do without it."""
        return self.default is _REQUIRED

    @property
    def kind_name(self) -> str:
        """The kind in words: ``int``, ``list of float`` …"""
        return f"list of {self.kind[0].__name__}" if isinstance(self.kind, list) else self.kind.__name__

    def read(self, op: Op) -> Any:
        """The argument's value in ``op``, checked; the default if it is not there.

        Raises:
            ArgumentError: it is required and missing, or its value is of another kind or not allowed.
        """
        if self.name not in op.args:
            if self.required:
                given = ", ".join(op.args) or "none"
                raise ArgumentError(
                    f"argument '{self.name}' ({self.kind_name}) is required. Arguments given: {given}.",
                    op=str(op),
                )
            return list(self.default) if isinstance(self.default, list) else self.default
        if self.kind is Net and op.args[self.name] == [] and not self.required:
            return self.default  # an exported net keeps the argument, emptied
        value = self._convert(op.args[self.name], op)
        if self.choices and value not in self.choices:
            allowed = ", ".join(repr(c) for c in self.choices)
            raise ArgumentError(
                f"argument '{self.name}' must be one of {allowed}; got {value!r}.", op=str(op)
            )
        return value

    def _convert(self, value: Any, op: Op) -> Any:
        if isinstance(self.kind, list):
            if isinstance(value, Floats):
                if self.kind[0] is object:
                    return value
                value = list(value)
            if isinstance(value, list):
                kind = self.kind[0]
                if kind is object or (kind is not Net and set(map(type, value)) <= {kind}):
                    return list(value)  # weights may stand here, millions of numbers
                return [_as_kind(kind, v, self, op) for v in value]
        elif not isinstance(value, list):
            return _as_kind(self.kind, value, self, op)
        raise _wrong_kind(self, value, op)


def _as_kind(kind: type, value: Any, arg: Arg, op: Op) -> Any:
    if kind is bool and isinstance(value, int):
        return bool(value)
    if kind is int and isinstance(value, int):
        return int(value)
    if kind is float and isinstance(value, float):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind is bytes and isinstance(value, (str, bytes)):
        return value.encode() if isinstance(value, str) else value
    if kind is Net and isinstance(value, Net):
        return value
    if kind is object:
        return value
    raise _wrong_kind(arg, value, op)


def _wrong_kind(arg: Arg, value: Any, op: Op) -> ArgumentError:
    hint = ""
    if arg.kind is float and isinstance(value, int):
        hint = f" Write {float(value)} instead of {value}."
    return ArgumentError(
        f"argument '{arg.name}' must be {arg.kind_name}, got {type(value).__name__}.{hint}", op=str(op)
    )


def arity(ports: tuple[Port, ...]) -> tuple[int, int | None]:
    """Fewest and most blobs that these ports take; ``None`` for no limit."""
    fewest = sum(0 if p.optional else p.at_least if p.many else 1 for p in ports)
    most = None if any(p.many for p in ports) else len(ports)
    return fewest, most


def check_arity(op: Op, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    """Raise :class:`ArityError` if ``op`` has too few or too many inputs or outputs."""
    for what, ports, blobs in (("input", inputs, op.inputs), ("output", outputs, op.outputs)):
        fewest, most = arity(ports)
        if len(blobs) < fewest or (most is not None and len(blobs) > most):
            wanted = (
                f"{fewest}"
                if fewest == most
                else f"at least {fewest}"
                if most is None
                else f"{fewest} to {most}"
            )
            names = (
                ", ".join(p.name + ("…" if p.many else "?" if p.optional else "") for p in ports) or "none"
            )
            raise ArityError(f"takes {wanted} {what}s ({names}), got {len(blobs)}.", op=str(op))
