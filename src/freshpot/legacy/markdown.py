"""The code blocks of a Markdown text: fenced, and indented by four columns."""

from __future__ import annotations

import re
from collections.abc import Iterator

from freshpot.legacy.cells import Block

__all__ = ["blocks"]

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`]*)$")
_BETWEEN = re.compile(r"^\s*(\**output\**\s*[:：]?\**\s*)?$", re.IGNORECASE)


def blocks(text: str) -> Iterator[Block]:
    """Every block in order. A fence with a language inside a fenced block closes it, as authors mean it."""
    lines = text.split("\n")
    at, close = 0, True  # close: only empty lines or "Output:" since the last block
    blank = True
    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            end = _closing(lines, at + 1, fence[1])
            yield Block(at + 2, fence[2].strip(), tuple(lines[at + 1 : end]), close)
            at, close, blank = end + 1, True, True
        elif blank and _is_indented(line):
            end = _end_of_indented(lines, at)
            yield Block(at + 1, "", tuple(_dedent(x) for x in lines[at:end]), close, indented=True)
            at, close, blank = end, True, True
        else:
            close = close and _BETWEEN.match(line) is not None
            blank = not line.strip()
            at += 1


def _closing(lines: list[str], start: int, fence: str) -> int:
    """Index of the line that closes a fenced block; the end of the text if none does."""
    for index in range(start, len(lines)):
        hit = _FENCE.match(lines[index])
        if hit and hit[1][0] == fence[0] and len(hit[1]) >= len(fence):
            return index
    return len(lines)


def _is_indented(line: str) -> bool:
    return line.startswith(("    ", "\t")) and bool(line.strip())


def _end_of_indented(lines: list[str], start: int) -> int:
    """Index after the last line of an indented block; empty lines belong to it if it goes on after them."""
    end = start
    for index in range(start, len(lines)):
        if _is_indented(lines[index]):
            end = index + 1
        elif lines[index].strip():
            break
    return end


def _dedent(line: str) -> str:
    return line[1:] if line.startswith("\t") else line[4:]
