"""Lines of text that look like Python calls in ``with`` blocks.

Owned here: the formats, as programs see them in the original. Who calls it: the printer beside this module.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

_LONGEST_TEXT = 64


class Text:
    """Lines, indented by the blocks they are in."""

    def __init__(self) -> None:
        self._indent = 0
        self._lines_in_context = [0]
        self.lines: list[str] = []

    @contextlib.contextmanager
    def context(self, text: str | None) -> Iterator[None]:
        """Put what is added inside into a block ``with text:``; with None into none."""
        if text is None:
            yield
            return
        self.add(f"with {text}:")
        self._indent += 4
        self._lines_in_context.append(0)
        yield
        if self._lines_in_context[-1] == 0:
            self.add("pass")
        self._indent -= 4
        self._lines_in_context.pop()

    def add(self, text: str) -> None:
        """Add a line."""
        self._lines_in_context[-1] += 1
        self.lines.append(" " * self._indent + text)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def _quoted(text: Any) -> str:
    """Text in quotes, the end left out if it is long."""
    if isinstance(text, bytes):
        text = text.decode("ascii", errors="ignore")
    more = len(text) - _LONGEST_TEXT
    return f"'{text}'" if more < 0 else f"'{text[:_LONGEST_TEXT]}'...<+len={more}>"


def argument_value(arg: Any) -> str:
    """The value of an Argument message; nets and anything empty as ``[]``."""
    for field in ("f", "i"):
        if arg.HasField(field):
            return str(getattr(arg, field))
    if arg.HasField("s"):
        return _quoted(arg.s)
    if arg.floats or arg.ints:
        return str(list(arg.floats or arg.ints))
    return str([_quoted(text) for text in arg.strings])


def commonprefix(m: Sequence[str]) -> str:
    """What all texts begin with."""
    return os.path.commonprefix(m)


def format_value(val: Any) -> str:
    """A list as ``['a', 'b']``, anything else as `str` has it."""
    return f"[{', '.join(map(_in_quotes, val))}]" if isinstance(val, list) else str(val)


def _in_quotes(value: Any) -> str:
    return f"'{value}'"


def factor_prefix(vals: Iterable[Any], do_it: bool) -> str:
    """Values in a row: ``x_a, x_b``, or with ``do_it`` ``x_[a, b]``."""
    texts = [format_value(value) for value in vals]
    prefix = commonprefix(texts) if do_it and len(texts) > 1 else ""
    joined = ", ".join(text[len(prefix) :] for text in texts)
    return f"{prefix}[{joined}]" if prefix else joined


def call(op: str, inputs: Any = None, outputs: Any = None, factor_prefixes: bool = False) -> str:
    """``outputs = op(inputs)``; inputs that are pairs become ``name=value``, after the others."""
    inputs = inputs or []
    plain = factor_prefix([item for item in inputs if not isinstance(item, tuple)], factor_prefixes)
    named = [f"{item[0]}={item[1]}" for item in inputs if isinstance(item, tuple)]
    text = f"{op}({', '.join(part for part in (plain, *named) if part)})"
    return f"{factor_prefix(outputs, factor_prefixes)} = {text}" if outputs else text


def format_device_option(dev_opt: Any) -> str | None:
    """A DeviceOption message; None if it says nothing."""
    if not dev_opt or not (dev_opt.device_type or dev_opt.device_id or dev_opt.node_name):
        return None
    return call("DeviceOption", [dev_opt.device_type, dev_opt.device_id, f"'{dev_opt.node_name}'"])
