"""Parts of tutorials, read by the product's reader and run cell by cell where a test looks between the cells."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freshpot.legacy import ipython
from freshpot.legacy.cells import Cell, read_document
from freshpot.legacy.magics import MAGIC
from freshpot.legacy.modernize import modernize


def read_cells(path: Path, part: str | None = None) -> list[Cell]:
    """The cells of a file, or of the part of it whose heading is ``# <part>. ...``."""
    lines = path.read_text(encoding="utf-8").split("\n")
    headings = [
        (number, hit[1]) for number, line in enumerate(lines, 1) if (hit := re.match(r"# (\d+)\. ", line))
    ]

    def part_of(cell: Cell) -> str | None:
        return next((name for number, name in reversed(headings) if number < cell.line), None)

    return [cell for cell in read_document(path).cells if part is None or part_of(cell) == part]


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
    modern, _ = modernize(cell.source for cell in cells)
    run.names[MAGIC] = lambda *words: None
    with _ipython(run.shown):
        for cell, new in zip(cells, modern, strict=True):
            code = compile("\n" * (cell.line - 1) + new.text, str(cell.path), "exec", dont_inherit=True)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(code, run.names)
            run.printed.append(out.getvalue())
    return run


@contextlib.contextmanager
def _ipython(shown: list[bytes]) -> Iterator[None]:
    """``from IPython import display`` for the time of a run; images are kept in ``shown``."""
    stand_ins = ipython.modules(ipython.Notebook(lambda value: False, print, print, {}))
    stand_ins["IPython.display"].Image = lambda data, **_: shown.append(data)
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
