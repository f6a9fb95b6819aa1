"""Protobuf messages built from field tables, with no compiler; owns the one private descriptor pool.

Called by every reader and writer of protobuf files, and by the ``*_pb2`` modules of the doors.

A field table (``schema/<name>.fields``) lists what makes messages compatible on the wire::

    file caffe2/proto/caffe2.proto        the name the descriptor carries
    package caffe2
    import <other file>                   any number of them

    enum Outer.Kind                       names are relative to the package
      0 FIRST
    message Outer
      1 kind   Outer.Kind = FIRST         number, name, type, words, default
      2 sizes  int64  repeated packed     a name of another package starts with a dot
    extend Outer                          more fields of a message that stands above

The pool is private so that nothing clashes with a package that registers the same file names.
"""

from __future__ import annotations

import copyreg
import functools
import json
import pkgutil
import re
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError, Message

from freshpot.errors import FormatError, near_matches

MessageT = TypeVar("MessageT", bound=Message)

_POOL = descriptor_pool.DescriptorPool()
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {name[5:].lower(): number for name, number in _FIELD.Type.items()}
_LABELS = {
    "optional": _FIELD.LABEL_OPTIONAL,
    "repeated": _FIELD.LABEL_REPEATED,
    "required": _FIELD.LABEL_REQUIRED,
}
_WORDS = {*_LABELS, "packed", "deprecated"}
_FIELD_LINE = re.compile(r"(?P<number>\d+)\s+(?P<name>\w+)\s+(?P<words>[^=]*?)\s*(=\s*(?P<default>.+))?")
_ENUM_LINE = re.compile(r"(?P<number>-?\d+)\s+(?P<name>\w+)")

#: table -> the table of what was added to its messages elsewhere, which is read behind it
ADDITIONS = {"caffe": "caffe_forks"}

#: Tables that come with freshpot. A table may only import one that stands before it.
TABLES = (
    "caffe2",
    "caffe2_legacy",
    "hsm",
    "metanet",
    "predictor_consts",
    "prof_dag",
    "torch",
    "onnx",
    "caffe",
    "paddle",
)


class _TableReader:
    """Turns the lines of one field table into a FileDescriptorProto."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.file = descriptor_pb2.FileDescriptorProto(syntax="proto2")
        self.messages: dict[str, Any] = {}
        self.open_enums: dict[str, Any] = {}
        self.enums: set[str] = set()
        self.open: Any = None

    def read(self, text: str) -> descriptor_pb2.FileDescriptorProto:
        lines = [line.strip() for line in text.splitlines()]
        self.enums = {line.split()[1] for line in lines if line.startswith("enum ")}
        for number, line in enumerate(lines, 1):
            if line and not line.startswith("#"):
                try:
                    self._line(line)
                except (KeyError, ValueError) as error:
                    raise FormatError(
                        f"not a line of a field table: {line!r} ({error})",
                        path=self.table,
                        where=f"line {number}",
                    ) from error
        return self.file

    def _line(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "file":
            self.file.name = rest
        elif word == "package":
            self.file.package = rest
        elif word == "import":
            self.file.dependency.append(rest)
        elif word == "message":
            self.open = self.messages[rest] = self._parent(rest, "nested_type", "message_type")
        elif word == "extend":
            self.open = self.messages[rest] if rest in self.messages else self.open_enums[rest]
        elif word == "enum":
            self.open = self.open_enums[rest] = self._parent(rest, "enum_type", "enum_type")
        elif isinstance(self.open, descriptor_pb2.DescriptorProto):
            self._field(line)
        else:
            self._enum_value(line)

    def _parent(self, name: str, inside: str, outside: str) -> Any:
        outer, _, last = name.rpartition(".")
        siblings = getattr(self.messages[outer], inside) if outer else getattr(self.file, outside)
        return siblings.add(name=last)

    def _enum_value(self, line: str) -> None:
        found = _ENUM_LINE.fullmatch(line)
        if found is None or self.open is None:
            raise ValueError("expected: number name")
        number = int(found["number"])
        if any(value.number == number for value in self.open.value):
            self.open.options.allow_alias = True
        self.open.value.add(name=found["name"], number=number)

    def _field(self, line: str) -> None:
        found = _FIELD_LINE.fullmatch(line)
        type_name, *words = found["words"].split() if found else [""]
        if found is None or not type_name or not _WORDS.issuperset(words):
            raise ValueError(
                "expected: number name type [repeated|required] [packed] [deprecated] [= default]"
            )
        label = next((_LABELS[word] for word in words if word in _LABELS), _FIELD.LABEL_OPTIONAL)
        number = int(found["number"])
        if any(field.number == number or field.name == found["name"] for field in self.open.field):
            raise ValueError("this number or name is taken")
        field = self.open.field.add(name=found["name"], number=number, label=label)
        self._set_type(field, type_name)
        if "packed" in words:
            field.options.packed = True
        if "deprecated" in words:
            field.options.deprecated = True
        if found["default"] is not None:
            quoted = type_name in ("string", "bytes")
            field.default_value = json.loads(found["default"]) if quoted else found["default"]

    def _set_type(self, field: descriptor_pb2.FieldDescriptorProto, name: str) -> None:
        if name in _SCALARS:
            field.type = _SCALARS[name]
            return
        field.type_name = name if name.startswith(".") else f".{self.file.package}.{name}"
        is_enum = name in self.enums or (name.startswith(".") and _is_enum(name[1:]))
        field.type = _FIELD.TYPE_ENUM if is_enum else _FIELD.TYPE_MESSAGE


def _is_enum(full_name: str) -> bool:
    try:
        return bool(_POOL.FindEnumTypeByName(full_name))
    except KeyError:
        return False


def _reduce_nested(message: Message) -> tuple[Any, tuple[type[Message], bytes]]:
    """Pickle by class: protobuf's own way looks nested messages up in the default pool."""
    return _restore, (type(message), message.SerializePartialToString())


def _restore(cls: type[Message], data: bytes) -> Message:
    message = cls()
    message.MergeFromString(data)
    return message


def _printed(message: Message) -> str:
    """The message as text. Every runtime prints alike: floats as ``0.0``, which upb alone prints as ``0``."""
    return text_format.MessageToString(message)


def _message_class(descriptor: Any, module: str) -> type[Message]:
    """The class of a message, importable (so that pickle finds it) as ``module.Outer.Inner``."""
    if hasattr(message_factory, "GetMessageClass"):
        cls = message_factory.GetMessageClass(descriptor)
    else:  # protobuf before 4.22
        cls = message_factory.MessageFactory(_POOL).GetPrototype(descriptor)  # type: ignore[attr-defined]
    outer = descriptor
    names = [outer.name]
    while outer.containing_type is not None:
        outer = outer.containing_type
        names.insert(0, outer.name)
    cls.__module__ = module
    cls.__qualname__ = ".".join(names)
    cls.__str__ = cls.__repr__ = _printed  # type: ignore[method-assign,assignment]
    if len(names) > 1:
        copyreg.pickle(cls, _reduce_nested)
    for nested in descriptor.nested_types:
        setattr(cls, nested.name, _message_class(nested, module))
    return cls


def _private_names(prefix: str, enums: Iterable[Any], messages: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Descriptors under the names a generated module has for them, ``_OUTER_INNER``."""
    for enum in enums:
        yield f"{prefix}_{enum.name.upper()}", enum
    for message in messages:
        name = f"{prefix}_{message.name.upper()}"
        yield name, message
        yield from _private_names(name, message.enum_types, message.nested_types)


def build(text: str, table: str = "<table>") -> SimpleNamespace:
    """Register the messages of a field table and return what a generated ``_pb2`` module would hold.

    Args:
        text: the field table.
        table: what to call it in errors.

    Returns:
        a namespace with ``DESCRIPTOR``, each top-level message class and enum wrapper, and each value
        of a top-level enum.

    Raises:
        FormatError: a line that is no field, or names that do not resolve.
    """
    proto = _TableReader(table).read(text)
    try:
        _POOL.AddSerializedFile(proto.SerializeToString())
        file = _POOL.FindFileByName(proto.name)
    except (TypeError, KeyError) as error:
        raise FormatError(f"the tables do not fit together: {error}", path=table) from error
    module = proto.name.removesuffix(".proto").replace("/", ".") + "_pb2"
    names: dict[str, Any] = {"DESCRIPTOR": file}
    for name, enum in file.enum_types_by_name.items():
        names[name] = EnumTypeWrapper(enum)
        names.update((value.name, value.number) for value in enum.values)
    for name, message in file.message_types_by_name.items():
        names[name] = _message_class(message, module)
    names.update(_private_names("", file.enum_types_by_name.values(), file.message_types_by_name.values()))
    return SimpleNamespace(**names)


def read_table(name: str) -> str:
    """The text of a field table that comes with freshpot.

    Raises:
        FormatError: the installation lacks it.
    """
    data = pkgutil.get_data("freshpot.formats", f"schema/{name}.fields")
    if data is None:
        raise FormatError(f"the field table schema/{name}.fields is missing from this installation")
    return data.decode("utf-8")


@functools.cache
def load(name: str) -> SimpleNamespace:
    """The messages of one of :data:`TABLES`, as :func:`build` returns them, built on first use.

    >>> load("caffe2").TensorProto(dims=[2, 3]).dims[1]
    3
    """
    if name not in TABLES:
        raise FormatError(
            f"no field table {name!r}; there are {', '.join(TABLES)}.{near_matches(name, TABLES)}"
        )
    text = read_table(name)
    if name in ADDITIONS:
        text += "\n" + read_table(ADDITIONS[name])
    for imported in re.findall(r"^import\s+(?:\S*/)?(\w+)\.proto$", text, re.MULTILINE):
        load(imported)
    return build(text, f"{name}.fields")


def _perhaps(data: bytes) -> str:
    """What bytes that are no message may be."""
    if data[:200].isascii() and data[:200].decode().replace("\n", " ").replace("\t", " ").isprintable():
        return ". It is text: is it another kind of file?"
    return ". It is cut off, damaged, or another kind of file."


def parse_message(
    cls: type[MessageT], data: bytes, *, path: object = None, where: str | None = None
) -> MessageT:
    """Parse the bytes of one message.

    Args:
        cls: the message class.
        data: its serialised form.
        path, where: file and place in it, for the error.

    Raises:
        FormatError: the bytes are not a (complete) message of that class, or a name in it is not text.
    """
    message = cls()
    try:
        message.ParseFromString(data)
    except (DecodeError, ValueError, IndexError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        name = message.DESCRIPTOR.full_name
        raise FormatError(
            f"{len(data)} bytes are not a complete {name} message: {reason}{_perhaps(data)}",
            path=path,
            where=where,
        ) from error
    bad = None if data.isascii() else _bad_text(message)
    if bad:
        raise FormatError(f"field {bad} holds bytes that are not UTF-8 text", path=path, where=where)
    return message


def _bad_text(message: Message) -> str | None:
    """A text field with bytes in it, which some runtimes let through, or None."""
    for field, value in message.ListFields():
        items = [value] if isinstance(value, (str, bytes, Message)) else value
        if field.type == field.TYPE_STRING:
            if any(isinstance(item, bytes) for item in items):
                return field.full_name
        elif field.message_type is not None:
            bad = next(filter(None, map(_bad_text, items)), None)
            if bad:
                return bad
    return None
