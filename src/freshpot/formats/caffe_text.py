"""Caffe nets in text form, of any age and any fork, brought to the present form with nothing lost.

Owned here: the upgrade of a net *with* its unknown fields and line numbers; fork fields that mean what a
present field means; the account of what a net says that this schema cannot express. Who calls it: the Caffe
door, whose nets refuse to run with such fields (an ignored field is a wrong result), and the upgrade tools.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from freshpot.errors import near_matches
from freshpot.formats import protobuf
from freshpot.formats.caffe_upgrade import Say, layer_origins, silent, upgrade_net, v1_type_name
from freshpot.formats.prototxt import Field, Path, TextMessage, Token, parse_prototxt

#: fields of forks that choose speed or precision, never what is computed: runs leave them aside
HINTS = frozenset(
    {
        "forward_type",
        "backward_type",
        "forward_math",
        "backward_math",
        "default_forward_type",
        "default_backward_type",
        "default_forward_math",
        "default_backward_math",
        "cudnn_convolution_algo_seeker",
        "cudnn_math_override",
        "engine",
        "conv_algos_override",
    }
)


@dataclass(frozen=True, slots=True)
class StrangeField:
    """A field that the schema does not know: the layer it stands in (None: the net), line, and what is wrong."""

    layer: int | None
    line: int
    message: str
    hint: bool = False


def read_net_text(text: str, path: str | os.PathLike[str] | None = None, say: Say = silent) -> TextMessage:
    """A NetParameter from prototxt text, brought to the present form.

    Raises:
        FormatError: the text cannot be read, or cannot be upgraded; names the line.
    """
    made = parse_prototxt(text, protobuf.load("caffe").NetParameter(), path)
    upgrade_net_text(made, say)
    return made


def upgrade_net_text(made: TextMessage, say: Say = silent) -> bool:
    """Bring a NetParameter read from text to the present form, unknown fields and lines too.

    Returns:
        False if something known could not be carried over; ``say`` was told what.

    Raises:
        FormatError: as `upgrade_net`, with the line.
    """
    origins = layer_origins(made.message)
    complete = upgrade_net(made.message, made.path or "", say, made.line_of)
    index = {origin: i for i, origin in enumerate(origins) if origin is not None}
    made.lines = {new: line for old, line in made.lines.items() if (new := _moved(old, index)) is not None}
    unknown, made.unknown = made.unknown, {}
    for old, fields in unknown.items():
        new = _moved(old, index)
        if new is None:
            continue
        while _message_at(made.message, new) is None:  # it is called otherwise now: keep it a level higher
            *outer, name, _ = new
            new, fields = tuple(outer), [Field(str(name), fields[0].line, [fields])]
        made.unknown.setdefault(new, []).extend(fields)
    _translate(made)
    return complete


def _moved(where: Path, index: dict[int, int]) -> Path | None:
    """Where a field stands after the upgrade; None if its layer is gone (a padding layer)."""
    if not where or where[0] not in ("layer", "layers"):
        return where
    if where[1] not in index:
        return None
    return ("layer", index[int(where[1])], *where[4 if _was_v0(where) else 2 :])


def _was_v0(where: Path) -> bool:
    return where[:1] == ("layers",) and where[2:3] == ("layer",)


# ---- fork fields that have a present meaning ------------------------------------------------------


def _translate(made: TextMessage) -> None:
    """Set present fields from fork fields that mean the same, and forget those."""
    for where in list(made.unknown):
        if len(where) < 2 or where[0] != "layer":
            continue
        layer = made.message.layer[int(where[1])]
        left = [field for field in made.unknown[where] if not _translated(layer, where[2:], field)]
        made.unknown[where] = left
        if not left:
            del made.unknown[where]


def _translated(layer: Any, inside: Path, found: Field) -> bool:
    text = found.values[0].text if len(found.values) == 1 and isinstance(found.values[0], Token) else None
    if inside == () and found.name == "type" and text is not None and not layer.type:
        layer.type = v1_type_name(text)  # an enum value of a fork's V1 layers
        return True
    if inside[:1] == ("pooling_param",) and found.name == "ceil_mode" and text in ("true", "false"):
        pooling = layer.pooling_param
        pooling.round_mode = pooling.CEIL if text == "true" else pooling.FLOOR
        return True
    return False


# ---- what is left ---------------------------------------------------------------------------------


def strange_fields(made: TextMessage) -> list[StrangeField]:
    """Every unknown field of an upgraded net, in order of lines."""
    found = [_strange(made, where, f) for where, fields in made.unknown.items() for f in fields]
    return sorted(found, key=lambda strange: strange.line)


def _strange(made: TextMessage, where: Path, found: Field) -> StrangeField:
    in_layer = len(where) >= 2 and where[0] == "layer"
    inside = where[2:] if in_layer else where
    place = ".".join(str(part) for part in inside if isinstance(part, str))
    what = _what(_message_at(made.message, where), place, found)
    if in_layer and inside[:1] in (("include",), ("exclude",)):  # nobody knows if the layer is in the net
        layer = made.message.layer[int(where[1])]
        return StrangeField(None, found.line, f"layer '{layer.name}' ({layer.type}): {what}")
    return StrangeField(int(where[1]) if in_layer else None, found.line, what, hint=found.name in HINTS)


def _message_at(message: Any, where: Path) -> Any:
    """The message at a path, or None if there is none."""
    for name, index in zip(where[::2], where[1::2], strict=True):
        value: Any = getattr(message, str(name), None)
        if hasattr(value, "__len__"):
            message = value[int(index)] if int(index) < len(value) else None
        else:
            message = value if value is not None and message.HasField(str(name)) else None
        if message is None:
            return None
    return message


def _what(message: Any, place: str, found: Field) -> str:
    known = message.DESCRIPTOR.fields_by_name
    full = f"{place}.{found.name}" if place else found.name
    if found.name not in known:
        owner = f"'{place}'" if place else message.DESCRIPTOR.name
        return f"{owner} has no field '{found.name}'.{near_matches(found.name, known)}"
    if known[found.name].enum_type is None:  # kept a level higher than it stood
        inside = ", ".join(f"'{f.name}'" for value in found.values if isinstance(value, list) for f in value)
        return f"'{full}' has no field {inside}."
    values = [v.name for v in known[found.name].enum_type.values]
    given = ", ".join(v.text if isinstance(v, Token) else "{ … }" for v in found.values)
    return f"'{full}' has no value {given}; there are {', '.join(values)}.{near_matches(given, values)}"
