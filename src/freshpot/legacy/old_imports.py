"""A program's own modules that are Python 2: modernised as they are imported, like the program itself.

Only source files outside Python's and its packages' folders are looked at, and only those that Python 3 cannot read,
or that use what it lacks, are changed. Nothing is written: no file of the program, and no compiled one.
"""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import os
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import freshpot
from freshpot.legacy import modernize, python2
from freshpot.legacy.notes import Notes

__all__ = ["OldModules"]

_FOREIGN = tuple(
    str(Path(str(folder)).resolve()) + os.sep
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        Path(freshpot.__file__).parents[1],
    )
)


class OldModules(importlib.abc.MetaPathFinder):
    """Finds modules as Python does; gives those of Python 2 a loader that modernises them."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not importlib.machinery.SourceFileLoader or not spec.origin:
            return None
        if _is_foreign(spec.origin) or (text := _old_text(spec.origin)) is None:
            return None
        self._notes.add(f"module {name}: written for Python 2, modernised")
        spec.loader = _Loader(name, spec.origin, text)
        return spec


def _is_foreign(origin: str) -> bool:
    path = os.path.realpath(origin)
    return path.startswith(_FOREIGN) or f"{os.sep}site-packages{os.sep}" in path or "dist-packages" in path


def _old_text(origin: str) -> str | None:
    """The text of a module as Python 3; None for one that is that already, or that neither reads."""
    try:
        with open(origin, encoding="utf-8-sig") as file:
            text = file.read().replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError):
        return None
    (cell,), old = modernize.modernize([text])
    return cell.text if old and cell.error is None else None


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads the modernised text."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        tree = modernize.parse(self._text)
        if self.is_package(fullname) or "." in fullname:
            _import_siblings(tree, Path(self.path).parent)
        return compile(tree, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(python2.names())
        super().exec_module(module)


def _import_siblings(tree: ast.Module, folder: Path) -> None:
    """Python 2 looked for ``import x`` in a module's own folder first: so it is where nothing else has that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and _is_sibling(node.module, folder):
            node.level = 1
        for name, statements in ast.iter_fields(node):
            if isinstance(statements, list) and name in ("body", "orelse", "finalbody"):
                statements[:] = [part for statement in statements for part in _parted(statement, folder)]


def _parted(statement: ast.stmt, folder: Path) -> list[ast.stmt]:
    """``import x, os`` as ``from . import x`` and ``import os``."""
    if not isinstance(statement, ast.Import):
        return [statement]
    made: list[ast.stmt] = []
    for alias in statement.names:
        near = "." not in alias.name and _is_sibling(alias.name, folder)
        part = ast.ImportFrom(None, [alias], 1) if near else ast.Import([alias])
        made.append(ast.copy_location(part, statement))
    return made


def _is_sibling(name: str | None, folder: Path) -> bool:
    root = (name or "").partition(".")[0]
    there = (folder / f"{root}.py").is_file() or (folder / root / "__init__.py").is_file()
    return there and root not in sys.modules and importlib.machinery.PathFinder.find_spec(root) is None
