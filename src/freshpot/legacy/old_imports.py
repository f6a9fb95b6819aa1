"""A program's own modules that are Python 2: modernised as they are imported, like the program itself.

Only source files outside Python's and its packages' folders are looked at, and only those that Python 3 cannot read,
or that use what it lacks, are changed. Nothing is written: no file of the program, and no compiled one.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
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
        return compile(self._text, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(python2.names())
        super().exec_module(module)
