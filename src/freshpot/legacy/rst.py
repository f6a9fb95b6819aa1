"""The code blocks of a reStructuredText: directives, and literal blocks after ``::``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from freshpot.legacy.cells import Block

__all__ = ["blocks"]

_DIRECTIVE = re.compile(
    r"^([ \t]*)\.\. (code|code-block|sourcecode|ipython|parsed-literal|doctest)::[ \t]*(.*)$"
)
_OPTION = re.compile(r"^:[\w-]+:")
_OTHER = re.compile(r"^[ \t]*\.\. ")


def blocks(text: str) -> Iterator[Block]:
    """Every block in order."""
    lines = text.split("\n")
    at, close = 0, True
    while at < len(lines):
        line = lines[at]
        directive = _DIRECTIVE.match(line)
        literal = line.rstrip().endswith("::") and not _OTHER.match(line)
        if not directive and not literal:
            close = close and not line.strip()
            at += 1
            continue
        margin = len(line) - len(line.lstrip())
        start, end = _body(lines, at + 1, margin, options=directive is not None)
        if end > start:
            yield Block(start + 1, _tag(directive), _dedent(lines[start:end]), close and bool(directive))
        at, close = max(end, at + 1), True


def _tag(directive: re.Match[str] | None) -> str:
    if directive is None:
        return ""
    return directive[3].strip() if directive[2] in ("code", "code-block", "sourcecode") else directive[2]


def _body(lines: list[str], start: int, margin: int, *, options: bool) -> tuple[int, int]:
    """First and last-plus-one index of the lines indented more than ``margin``."""
    while options and start < len(lines) and _OPTION.match(lines[start].strip()):
        start += 1
    while start < len(lines) and not lines[start].strip():
        start += 1
    end = start
    for index in range(start, len(lines)):
        line = lines[index]
        if not line.strip():
            continue
        if len(line) - len(line.lstrip()) <= margin:
            break
        end = index + 1
    return start, end


def _dedent(lines: list[str]) -> tuple[str, ...]:
    width = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return tuple(line[width:] for line in lines)
