"""Code cells of tutorials in Markdown, and running them as a notebook does."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: a line in a cell from which on the tutorial shows what was printed
_OUTPUT = re.compile(r"^output\s*[:：]", re.IGNORECASE)
#: lines that mean nothing here: IPython's magics, and Python 2's way to Python 3
_DROPPED = re.compile(r"^\s*(%|from __future__ )")


@dataclass(frozen=True)
class Cell:
    """One code cell: its lines as written, and the line of the file on which they start."""

    path: Path
    line: int
    source: str

    @property
    def code(self) -> str:
        """What is run: line numbers stay."""
        lines = self.source.split("\n")
        end = next((i for i, line in enumerate(lines) if _OUTPUT.match(line)), len(lines))
        return "\n".join("" if _DROPPED.match(line) else line for line in lines[:end])


def read_cells(path: Path, part: str | None = None) -> list[Cell]:
    """The Python cells of a file, or of the part of it whose heading is ``# <part>. ...``."""
    cells, body, start, inside = [], [], 0, part is None
    python = fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("```"):
            if fenced and python:
                cells.append(Cell(path, start, "\n".join(body)))
            fenced, python = not fenced, not fenced and inside and line.strip() == "```python"
            body, start = [], number + 1
        elif fenced:
            body.append(line)
        elif part is not None and (heading := re.match(r"# (\d+)\. ", line)):
            inside = heading[1] == part
    return cells


@dataclass
class Run:
    """A notebook after its cells ran: what each printed, the names they left, the pictures shown."""

    printed: list[str]
    names: dict[str, Any]
    shown: list[bytes]

    def printed_by(self, fragment: str) -> str:
        """What the cells printed that hold ``fragment`` in their output, joined."""
        return "".join(text for text in self.printed if fragment in text)


def run_cells(cells: list[Cell], **names: Any) -> Run:
    """Run cells one after the other in one namespace. An error names the cell's file and line."""
    run = Run([], {"__name__": "__main__", **names}, [])
    with _ipython(run.shown):
        for cell in cells:
            code = compile("\n" * (cell.line - 1) + cell.code, str(cell.path), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, run.names)
            run.printed.append(out.getvalue())
    return run


@contextlib.contextmanager
def _ipython(shown: list[bytes]) -> Iterator[None]:
    """``from IPython import display`` for the time of a run; images are kept in ``shown``."""
    display = types.ModuleType("IPython.display")
    display.Image = lambda data, **_: shown.append(data)  # type: ignore[attr-defined]
    package = types.ModuleType("IPython")
    package.display = display  # type: ignore[attr-defined]
    package.version_info = (9, 0, 0)  # type: ignore[attr-defined] # matplotlib asks
    stand_ins = {"IPython": package, "IPython.display": display}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
