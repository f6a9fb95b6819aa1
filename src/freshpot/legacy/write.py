"""Writing the modernised program: as a Python file or as a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError, FormatError
from freshpot.formats.atomic import write_bytes
from freshpot.legacy.cells import Document
from freshpot.legacy.modernize import modernize

__all__ = ["write"]

_PRELUDE = """from freshpot.legacy import prelude

prelude.start(globals(){python2})  # what the program expects around it"""


def write(document: Document, path: Path) -> None:
    """Write the program that would run, as ``.py`` or ``.ipynb``.

    Raises:
        FormatError: a cell is neither Python 3 nor Python 2. ArgumentError: another ending.
    """
    modern, old = modernize(cell.source for cell in document.cells)
    for cell, new in zip(document.cells, modern, strict=True):
        if new.error is not None:
            line = cell.place(cell.first + (new.error.lineno or 1) - 1)
            raise FormatError(f"cannot be modernised: {new.error.msg}", path=cell.path, where=line)
    first = _PRELUDE.format(python2=", python2=True" if old else "")
    if path.suffix == ".py":
        write_bytes(path, _python(document, first, [cell.text for cell in modern]).encode())
    elif path.suffix == ".ipynb":
        book = _notebook([first, *(cell.text for cell in modern)])
        write_bytes(path, (json.dumps(book, indent=1, ensure_ascii=False) + "\n").encode())
    else:
        raise ArgumentError(f"--to writes .py or .ipynb, not '{path.name}'.")


def _python(document: Document, first: str, cells: list[str]) -> str:
    parts = [f'"""{document.path.name}, modernised by freshpot."""\n\n{first}\n']
    for cell, text in zip(document.cells, cells, strict=True):
        parts.append(f"# %% line {cell.line}\n{text.strip(chr(10))}\n")
    return "\n".join(parts)


def _notebook(cells: list[str]) -> dict[str, Any]:
    return {
        "cells": [
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell{number:03d}",
                "metadata": {},
                "outputs": [],
                "source": text.strip("\n").splitlines(keepends=True),
            }
            for number, text in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
