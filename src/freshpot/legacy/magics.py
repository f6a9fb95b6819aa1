"""IPython's lines that are not Python: ``%magic``, ``!command``, ``name?`` become calls or empty lines.

What they call (``freshpot_magic``, ``freshpot_shell``) is in the namespace of the run: :mod:`shell`.
"""

from __future__ import annotations

import re

__all__ = ["MAGIC", "SHELL", "cell_magic", "translate"]

MAGIC = "freshpot_magic"
SHELL = "freshpot_shell"

_CELL = re.compile(r"^\s*%%(\w+)[ \t]*(.*)$")
_LINE = re.compile(r"^(\s*)%[ \t]*(\w+)[ \t]*(.*)$")
_COMMAND = re.compile(r"^(\s*)!(?!=)[ \t]*(\S.*)$")
_CAPTURE = re.compile(r"^(\s*)([A-Za-z_][\w, ]*=\s*)(!|%(?=[A-Za-z]))[ \t]*(\S.*)$")
#: options of ``%timeit``; the statement is run once whatever they say
_TIMEIT = re.compile(r"^(-[nrptc]\s*\d*\s+|-[oqvpc]\s+)*")
_HELP = re.compile(r"^\s*(\?{1,2}[\w.]+|[\w.]+\?{1,2})\s*$")
_SKETCH = re.compile(r"^\s*(%(?!%)|!)|=\s*[!%]|\?\s*$|^\s*\?", re.MULTILINE)

#: cell magics whose cell is ordinary Python
_PYTHON = {"time", "timeit", "capture", "prun"}


def cell_magic(source: str) -> tuple[str, str] | None:
    """Name and rest of the line of the ``%%magic`` that a cell starts with, or None."""
    first = next((line for line in source.split("\n") if line.strip()), "")
    hit = _CELL.match(first)
    return (hit[1], hit[2].strip()) if hit else None


def translate(source: str) -> str:
    """The cell as Python, line for line."""
    magic = cell_magic(source)
    if magic is not None:
        return _translate_cell(source, *magic)
    if not _SKETCH.search(source):
        return source
    done: list[str] = []
    state = _Nesting()
    lines = source.split("\n")
    while len(done) < len(lines):
        taken = lines[len(done) : len(done) + 1]
        if not state.inside:
            taken = _with_continued(lines[len(done) :])
            taken = [_line(" ".join(taken)), *[""] * (len(taken) - 1)]
        state.read(taken[0])
        done += taken
    return "\n".join(done)


def _with_continued(lines: list[str]) -> list[str]:
    """The first line; if it is a magic or a command, also those that its backslash at the end continues with."""
    if not (_LINE.match(lines[0]) or _COMMAND.match(lines[0]) or _CAPTURE.match(lines[0])):
        return lines[:1]
    taken = []
    for line in lines:
        taken.append(line.rstrip().removesuffix("\\").rstrip() if line.rstrip().endswith("\\") else line)
        if taken[-1] is line:
            break
    return [taken[0], *(line.strip() for line in taken[1:])]


def _translate_cell(source: str, name: str, rest: str) -> str:
    lines = source.split("\n")
    at = next(i for i, line in enumerate(lines) if line.strip())
    if name in _PYTHON:
        statement = _TIMEIT.sub("", rest + " ").strip() if name in ("time", "timeit") else ""
        return translate("\n".join([*lines[:at], statement, *lines[at + 1 :]]))
    body = "\n".join(lines[at + 1 :])
    empty = [""] * (len(lines) - at - 1)
    return "\n".join([*lines[:at], f"{MAGIC}({name!r}, {rest!r}, {body!r})", *empty])


def _line(line: str) -> str:
    if hit := _LINE.match(line):
        indent, name, rest = hit.groups()
        if name in ("time", "timeit") and rest:
            return indent + _TIMEIT.sub("", rest)
        return f"{indent}{MAGIC}({name!r}, {rest.strip()!r})"
    if hit := _COMMAND.match(line):
        return f"{hit[1]}{SHELL}({hit[2].rstrip()!r})"
    if hit := _CAPTURE.match(line):
        if hit[3] == "!":
            return f"{hit[1]}{hit[2]}{SHELL}({hit[4].rstrip()!r}, capture=True)"
        name, _, rest = hit[4].partition(" ")
        return f"{hit[1]}{hit[2]}{MAGIC}({name!r}, {rest.strip()!r})"
    return "" if _HELP.match(line) else line


class _Nesting:
    """Is the end of the text read so far inside brackets, a long string or a continued line?"""

    _TOKEN = re.compile(r"'''|\"\"\"|\\.|['\"#()\[\]{}]|\\$")

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""
        self._continued = False

    @property
    def inside(self) -> bool:
        return self._depth > 0 or bool(self._quote) or self._continued

    def read(self, line: str) -> None:
        """Take one more line."""
        for hit in self._TOKEN.finditer(line):
            token = hit[0]
            if self._quote:
                if token == self._quote:
                    self._quote = ""
            elif token == "#":
                break
            elif token[0] in "'\"":
                self._quote = token
            elif token in "([{":
                self._depth += 1
            elif token in ")]}":
                self._depth = max(0, self._depth - 1)
        self._continued = line.endswith("\\")
        if len(self._quote) == 1 and not self._continued:
            self._quote = ""  # a short string ends with its line
