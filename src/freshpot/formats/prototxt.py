"""Protocol buffer text files, read so that nothing is lost: unknown fields, and where things stand.

Owned here: text -> tree of fields with line numbers -> message, and back. Who calls it: the Caffe door
(nets and solvers of Caffe and of its forks).

protobuf's own text reader refuses a file at the first field it does not know. Nets of Caffe's forks
are full of those. Here they are kept, as they stand, beside the message, and written back in place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_encoding, text_format
from google.protobuf.descriptor import FieldDescriptor

from freshpot.errors import FormatError, near_matches

_TOKEN = re.compile(
    r"""(?P<space>[\s]+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?)(?![\w.]))
      | (?P<word>-?[A-Za-z_][\w./-]*)
      | (?P<mark>[{}<>\[\]:,;])
    """,
    re.VERBOSE | re.ASCII,
)
#: deeper nesting is refused: nets need 5 or so
MAX_DEPTH = 64
#: a text longer than this is refused before it is parsed: reading takes some 40 bytes of memory a character
MAX_SIZE = 64 << 20


@dataclass(slots=True)
class Token:
    """A piece of the text, and the line it stands on."""

    kind: str
    text: str
    line: int


@dataclass(slots=True)
class Field:
    """``name: value`` or ``name { … }`` as it stands in the text."""

    name: str
    line: int
    #: scalars as tokens, messages as lists of fields; more than one for ``name: [a, b]``
    values: list[Token | list[Field]] = field(default_factory=list)


#: where a field stands: ("layer", 3, "convolution_param", 0)
Path = tuple[str | int, ...]


@dataclass(slots=True)
class TextMessage:
    """A message read from text, with what its schema does not know and the lines of its fields."""

    message: Any
    path: str | None = None
    #: unknown fields by the path of the message that they stand in
    unknown: dict[Path, list[Field]] = field(default_factory=dict)
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, *path: str | int) -> int | None:
        """The line on which the field at ``path`` begins: ``line_of("layer", 3)``."""
        return self.lines.get(path)

    def part(self, *path: str | int) -> TextMessage:
        """The message at ``path`` with what belongs to it: ``part("net_param", 0)`` of a solver."""
        message = self.message
        for name, index in zip(path[::2], path[1::2], strict=True):
            value = getattr(message, str(name))
            message = value[index] if hasattr(value, "__getitem__") else value
        size = len(path)
        return TextMessage(
            message,
            self.path,
            {where[size:]: fields for where, fields in self.unknown.items() if where[:size] == path},
            {where[size:]: line for where, line in self.lines.items() if where[:size] == path},
        )

    def unknown_names(self) -> list[str]:
        """``line 12: layer.3.foo_param`` for each unknown field, in order of lines."""
        found = [
            (f.line, ".".join(map(str, (*where, f.name))))
            for where, fields in self.unknown.items()
            for f in fields
        ]
        return [f"line {line}: {name}" for line, name in sorted(found)]


def parse_prototxt(text: str, message: Any, path: object = None) -> TextMessage:
    """Fill ``message`` from text; fields that it does not know are kept in the result.

    Raises:
        FormatError: the text is not well formed, or a value does not fit its field; names the line.
    """
    if len(text) > MAX_SIZE:
        raise FormatError(f"text of {len(text)} characters; at most {MAX_SIZE} are read", path=path)
    made = TextMessage(message, None if path is None else str(path))
    _Reader(made).fill(message, _Parser(text.removeprefix("\ufeff"), path).fields(), ())
    if missing := message.FindInitializationErrors():
        line = _line_of_parent(made, missing[0])
        raise FormatError(
            f"required fields are missing: {', '.join(missing)}",
            path=path,
            where=f"line {line}" if line else None,
        )
    return made


def _line_of_parent(made: TextMessage, missing: str) -> int | None:
    """The line of the innermost message that lacks a field: ``layer[3].transform_param.scale``."""
    place: list[str | int] = []
    for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", missing)[:-1]:
        place += [name, int(index or 0)]
    found = [made.lines.get(tuple(place[:n])) for n in range(len(place), 0, -2)]
    return next(filter(None, found), None)


class _Parser:
    """Text -> tree of fields."""

    def __init__(self, text: str, path: object) -> None:
        self.path = path
        self.tokens = self._tokenize(text)
        self.now: Token | None = next(self.tokens, None)
        self.line = 1

    def fail(self, message: str, line: int | None = None) -> FormatError:
        return FormatError(message, path=self.path, where=f"line {line or self.line}")

    def _tokenize(self, text: str) -> Iterator[Token]:
        at, line = 0, 1
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.fail(_unreadable(text[at : at + 12].split("\n")[0]), line)
            kind = found.lastgroup or ""
            if kind != "space":
                yield Token(kind, found.group(), line)
            line += found.group().count("\n")
            at = found.end()

    def advance(self) -> Token:
        if self.now is None:
            raise self.fail("the text ends in the middle of a field")
        token, self.now = self.now, None
        self.line = token.line
        self.now = next(self.tokens, None)
        return token

    def take(self, *marks: str) -> bool:
        """Step over one of ``marks`` if it comes next."""
        if self.now is not None and self.now.kind == "mark" and self.now.text in marks:
            self.advance()
            return True
        return False

    def fields(self, close: str | None = None, depth: int = 0) -> list[Field]:
        """Fields up to the closing mark (or the end)."""
        if depth > MAX_DEPTH:
            raise self.fail(f"messages are nested more than {MAX_DEPTH} deep")
        opened = self.line
        made: list[Field] = []
        while self.now is not None:
            if close is not None and self.take(close):
                return made
            made.append(self._field(depth))
            self.take(",", ";")
        if close is not None:
            raise self.fail(f"the message opened here is never closed with '{close}'", opened)
        return made

    def _field(self, depth: int) -> Field:
        token = self.advance()
        if token.kind != "word":
            raise self.fail(f"expected the name of a field, found {token.text!r}")
        made = Field(token.text, token.line)
        colon = self.take(":")
        if self.take("["):
            while not self.take("]"):
                made.values.append(self._value(depth))
                if not self.take(",") and not (self.now and self.now.text == "]"):
                    raise self.fail(f"expected ',' or ']' in the list of '{made.name}'")
        elif colon or (self.now is not None and self.now.text in ("{", "<")):
            made.values.append(self._value(depth))
        else:
            raise self.fail(f"expected ':' or '{{' after '{made.name}'")
        return made

    def _value(self, depth: int) -> Token | list[Field]:
        if self.take("{"):
            return self.fields("}", depth + 1)
        if self.take("<"):
            return self.fields(">", depth + 1)
        token = self.advance()
        if token.kind == "mark":
            raise self.fail(f"expected a value, found {token.text!r}")
        if token.kind != "string" or self.now is None or self.now.kind != "string":
            return token
        pieces = [token.text]  # adjacent strings are one
        while self.now is not None and self.now.kind == "string":
            pieces.append(self.advance().text)
        return Token("string", f'"{"".join(map(_between_double_quotes, pieces))}"', token.line)


def _unreadable(text: str) -> str:
    """What is wrong with text that is no token."""
    if text[:1] in ("'", '"'):
        return f"the string that begins with {text} has no closing quote on its line"
    return f"cannot read {text!r} here"


def _between_double_quotes(quoted: str) -> str:
    """The inside of a quoted string, as it stands between double quotes."""
    inside = quoted[1:-1]
    return inside if quoted[0] == '"' else re.sub(r'(\\.)|"', lambda m: m.group(1) or '\\"', inside)


class _Reader:
    """Tree of fields -> message."""

    def __init__(self, made: TextMessage) -> None:
        self.made = made

    def fill(self, message: Any, fields: list[Field], where: Path) -> None:
        known = message.DESCRIPTOR.fields_by_name
        for found in fields:
            descriptor = known.get(found.name) or _group(known, found.name)
            if descriptor is None or not self._all_fit(descriptor, found):
                self.made.unknown.setdefault(where, []).append(found)
                continue
            for value in found.values:
                self._set(message, descriptor, found, value, where)

    def _all_fit(self, descriptor: FieldDescriptor, found: Field) -> bool:
        """False for an enum value that the schema does not know: such a field is kept as unknown."""
        if descriptor.enum_type is None:
            return True
        quoted = [v for v in found.values if isinstance(v, Token) and v.kind == "string"]
        if quoted:
            raise self._fail(found, f"must be a name without quotes, found {quoted[0].text}")
        return all(
            isinstance(v, Token) and _enum_number(descriptor, v.text) is not None for v in found.values
        )

    def _set(
        self, message: Any, descriptor: FieldDescriptor, found: Field, value: Token | list[Field], where: Path
    ) -> None:
        repeated = _repeated(descriptor)
        place = (*where, descriptor.name, len(getattr(message, descriptor.name)) if repeated else 0)
        if not repeated and len(found.values) > 1:
            raise self._fail(found, f"takes one value, found a list of {len(found.values)}")
        if not repeated and place in self.made.lines:
            raise self._fail(
                found, f"is given twice, first on line {self.made.lines[place]}; keep one of them"
            )
        self.made.lines[place] = found.line
        if descriptor.message_type is not None:
            if isinstance(value, Token):
                raise self._fail(found, f"is a message: expected '{{', found {value.text!r}")
            target = getattr(message, descriptor.name)
            child = target.add() if repeated else target
            if not repeated:
                child.SetInParent()
            self.fill(child, value, place)
            return
        if not isinstance(value, Token):
            raise self._fail(found, "is not a message: expected a value, found '{'")
        converted = self._scalar(descriptor, found, value)
        try:
            if repeated:
                getattr(message, descriptor.name).append(converted)
            else:
                setattr(message, descriptor.name, converted)
        except (TypeError, ValueError) as error:
            raise self._fail(found, f"cannot hold {_short(value.text)}: {error}") from error

    def _fail(self, found: Field, message: str) -> FormatError:
        return FormatError(f"field '{found.name}' {message}", path=self.made.path, where=f"line {found.line}")

    def _scalar(self, descriptor: FieldDescriptor, found: Field, token: Token) -> Any:
        if descriptor.enum_type is not None:
            return _enum_number(descriptor, token.text)
        reader = _SCALARS[descriptor.cpp_type]
        try:
            return reader(descriptor, token)
        except (ValueError, OverflowError, KeyError) as error:
            kind = _KINDS[descriptor.cpp_type]
            hint = near_matches(token.text, ("true", "false")) if kind == "true or false" else ""
            raise self._fail(found, f"must be {kind}, found {_short(token.text)}.{hint}") from error


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:36]} …"


def _repeated(descriptor: FieldDescriptor) -> bool:
    flag = getattr(descriptor, "is_repeated", None)
    return descriptor.label == FieldDescriptor.LABEL_REPEATED if flag is None else bool(flag)  # type: ignore[attr-defined]


def _group(known: Any, name: str) -> FieldDescriptor | None:
    found = known.get(name.lower())
    return found if found is not None and found.type == FieldDescriptor.TYPE_GROUP else None


def _enum_number(descriptor: Any, text: str) -> int | None:
    values = descriptor.enum_type.values_by_name
    if text in values:
        return values[text].number
    return int(text) if text.isdigit() and int(text) in descriptor.enum_type.values_by_number else None


def _read_int(_: FieldDescriptor, token: Token) -> int:
    return int(token.text, 0) if not re.fullmatch(r"-?0\d+", token.text) else int(token.text, 8)


def _read_float(_: FieldDescriptor, token: Token) -> float:
    text = token.text.lower()
    return float(text.rstrip("f")) if token.kind == "number" and not text.startswith("0x") else float(text)


def _read_bool(_: FieldDescriptor, token: Token) -> bool:
    return {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}[token.text.lower()]


def _read_string(descriptor: FieldDescriptor, token: Token) -> str | bytes:
    if token.kind != "string":
        raise ValueError("not in quotes")
    data = text_encoding.CUnescape(token.text[1:-1])
    return data if descriptor.type == FieldDescriptor.TYPE_BYTES else data.decode("utf-8")


_F = FieldDescriptor
_SCALARS = {
    _F.CPPTYPE_INT32: _read_int,
    _F.CPPTYPE_INT64: _read_int,
    _F.CPPTYPE_UINT32: _read_int,
    _F.CPPTYPE_UINT64: _read_int,
    _F.CPPTYPE_FLOAT: _read_float,
    _F.CPPTYPE_DOUBLE: _read_float,
    _F.CPPTYPE_BOOL: _read_bool,
    _F.CPPTYPE_STRING: _read_string,
}
_KINDS = {
    cpp: "a whole number" if reader is _read_int else "a number" if reader is _read_float else "true or false"
    for cpp, reader in _SCALARS.items()
} | {_F.CPPTYPE_STRING: "text in quotes"}


def format_prototxt(made: TextMessage) -> str:
    """The message as text, unknown fields included, in the schema's order with the unknown ones last."""
    lines: list[str] = []
    _write(made, made.message, (), 0, lines)
    return "".join(lines)


def _write(made: TextMessage, message: Any, where: Path, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    for descriptor, value in message.ListFields():
        values = list(value) if _repeated(descriptor) else [value]
        for k, item in enumerate(values):
            if descriptor.message_type is not None:
                lines.append(f"{pad}{descriptor.name} {{\n")
                _write(made, item, (*where, descriptor.name, k), depth + 1, lines)
                lines.append(f"{pad}}}\n")
            else:
                text = text_format.MessageToString(_single(message, descriptor, item)).strip()
                lines.append(f"{pad}{text}\n")
    for unknown in made.unknown.get(where, []):
        _write_unknown(unknown, depth, lines)


def _single(message: Any, descriptor: FieldDescriptor, item: Any) -> Any:
    """A message of the same type that holds one scalar only, so that protobuf prints it."""
    made = type(message)()
    if _repeated(descriptor):
        getattr(made, descriptor.name).append(item)
    else:
        setattr(made, descriptor.name, item)
    return made


def _write_unknown(unknown: Field, depth: int, lines: list[str]) -> None:
    pad = "  " * depth
    for value in unknown.values:
        if isinstance(value, Token):
            lines.append(f"{pad}{unknown.name}: {value.text}\n")
        else:
            lines.append(f"{pad}{unknown.name} {{\n")
            for child in value:
                _write_unknown(child, depth + 1, lines)
            lines.append(f"{pad}}}\n")
