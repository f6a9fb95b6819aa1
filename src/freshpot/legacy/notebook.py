"""The code cells of a Jupyter notebook, formats 2 to 4."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from freshpot.errors import FormatError, NotSupportedError
from freshpot.legacy.cells import Cell, Document

__all__ = ["read"]

_VERSIONS = (2, 3, 4)


def read(path: Path, text: str) -> Document:
    """The cells of a notebook.

    Raises:
        FormatError: not JSON, or not a notebook. NotSupportedError: it is in another language than Python.
    """
    try:
        book = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else None
        raise FormatError(
            f"is not a notebook: not JSON ({_first_line(error)})", path=path, where=where
        ) from None
    raw = _cells(path, book)
    _check_language(path, book)
    cells, outputs = [], 0
    place = _Place(text)
    for number, entry in enumerate(raw, 1):
        if not isinstance(entry, dict):
            raise FormatError(
                f"a cell must be an object, not {_kind(entry)}", path=path, where=f"cell {number}"
            )
        if entry.get("cell_type") != "code":
            continue
        source = _joined(path, number, entry.get("source", entry.get("input", "")))
        line, exact = place.of(source)
        shown = list(_shown(entry.get("outputs")))
        outputs += len(shown)
        cells.append(Cell(path, line, source, "".join(shown), exact))
    return Document(path, "notebook", tuple(cells), outputs=outputs)


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def _kind(value: Any) -> str:
    kinds = {"dict": "an object", "list": "a list", "str": "text", "NoneType": "null"}
    return kinds.get(type(value).__name__, "a number")


def _cells(path: Path, book: Any) -> list[Any]:
    """The list of cells: ``cells`` since format 4, in ``worksheets`` before."""
    if not isinstance(book, dict):
        raise FormatError(f"is not a notebook: {_kind(book)}, not an object with cells", path=path)
    cells = book.get("cells")
    if cells is None and isinstance(book.get("worksheets"), list):
        sheets = book["worksheets"]
        if not all(isinstance(sheet, dict) and isinstance(sheet.get("cells"), list) for sheet in sheets):
            raise FormatError("is not a notebook: a worksheet without cells", path=path)
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
    if not isinstance(cells, list):
        raise FormatError("is not a notebook: it has no list 'cells'", path=path)
    version = book.get("nbformat", 4)
    if type(version) is not int or version not in _VERSIONS:
        raise FormatError(
            f"is a notebook of format {str(version)[:20]}; known are {_VERSIONS[0]} to {_VERSIONS[-1]}. Save it as one "
            "of those.",
            path=path,
        )
    return cells


def _check_language(path: Path, book: dict[str, Any]) -> None:
    metadata = book.get("metadata")
    for key, name in (("kernelspec", "language"), ("language_info", "name")):
        entry = metadata.get(key) if isinstance(metadata, dict) else None
        language = entry.get(name) if isinstance(entry, dict) else None
        if isinstance(language, str) and language and "python" not in language.lower():
            raise NotSupportedError(f"{path} is a notebook in {language}; freshpot runs Python.")


def _joined(path: Path, number: int, source: Any) -> str:
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    if isinstance(source, str):
        return source
    raise FormatError(
        f"a cell's source must be text or a list of lines, not {_kind(source)}",
        path=path,
        where=f"cell {number}",
    )


class _Place:
    """Finds the lines of a cell in the text of the file, from the cell before on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at, self._line = 0, 1  # where to look on, and its line

    def of(self, source: str) -> tuple[int, bool]:
        """Line of the file with the first line of a cell; are the others below it."""
        first = None
        exact = "\n" in self._text.strip()  # else the line says nothing
        for index, line in enumerate(source.splitlines(keepends=True)):
            written = [
                self._text.find(json.dumps(line, ensure_ascii=ascii_), self._at) for ascii_ in (True, False)
            ]
            at = min((place for place in written if place >= 0), default=-1)
            if at < 0:
                return first or self._line, False
            self._line += self._text.count("\n", self._at, at)
            self._at = at
            first = self._line if first is None else first
            exact = exact and self._line == first + index
            self._at += 1
        return first or self._line, exact


def _shown(outputs: Any) -> Iterator[str]:
    """The text of a cell's outputs; "" for an output that is no text."""
    for output in outputs if isinstance(outputs, list) else ():
        text = output.get("text", "") if isinstance(output, dict) else ""
        if isinstance(text, list):
            text = "".join(line for line in text if isinstance(line, str))
        yield text if isinstance(text, str) else ""
