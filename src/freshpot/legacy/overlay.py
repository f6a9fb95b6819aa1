"""Files that the author had: found in a folder of the run where this machine has none of that name.

While a program runs, reading, asking for, or changing to a path that does not exist looks for it in the overlay
(``/usr/local/x`` is ``FOLDER/usr/local/x`` there); what is missing there too is made if it is a known stand-in.
Writing goes to the overlay only where the folder named exists there alone. What exists is never touched.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.legacy.notes import Notes

__all__ = ["Overlay"]

_stat, _open = os.stat, builtins.open
#: functions whose first argument is a path that is read, and that do not open it through today's ``open``
_READERS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (os, ("stat", "chdir", "listdir")),
    (np, ("loadtxt", "genfromtxt", "fromfile")),
)


class Overlay:
    """The folder, and the rule that makes what is not in it.

    Args:
        folder: made when something is put there.
        make: called with the name asked for and the place for it; makes it, or returns False.
        notes: where it is said that a file of an earlier run is used.
    """

    def __init__(self, folder: Path, make: Callable[[str, Path], bool], notes: Notes) -> None:
        self.folder = folder.resolve()
        self._make = make
        self._notes = notes
        self._made: list[Path] = []  # in this run
        self._busy = threading.local()
        self._start = Path.cwd()  # one file has one place, wherever the program changes to

    def place(self, name: str) -> Path:
        """Where in the overlay a path belongs."""
        path = Path(os.path.abspath(name))
        if path.is_relative_to(self.folder):
            return path
        if path.is_relative_to(self._start):
            return self.folder / path.relative_to(self._start)
        return self.folder / path.relative_to(path.anchor)

    def find(self, path: Any) -> Any:
        """The path itself, or its place in the overlay if only that exists."""
        name = _name(path)
        if name is None or getattr(self._busy, "on", False) or _exists(name):
            return path
        place = self.place(name)
        if _exists(place):
            if not any(map(place.is_relative_to, self._made)):
                self._notes.add(f"{name}: {place}, of an earlier run")
            return place
        self._busy.on = True
        try:
            if not self._make(name, place):
                return path
        finally:
            self._busy.on = False
        self.made(place)
        return place

    def made(self, place: Path) -> None:
        """Something was put there in this run, and is noted."""
        self._made.append(place)

    def target(self, path: Any) -> Any:
        """Where to write: the path itself, unless its folder exists in the overlay alone."""
        name = _name(path)
        if name is None or _exists(name) or _exists(os.path.dirname(os.path.abspath(name))):
            return path
        place = self.place(name)
        return place if _exists(place.parent) else path

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Serve ``open``, ``os.stat`` (and so ``os.path.exists`` …), ``os.chdir``, and numpy's own openers."""

        def open(file: Any, mode: str = "r", *args: Any, **keywords: Any) -> Any:
            path = self.find(file) if "r" in mode else self.target(file)
            return _open(path, mode, *args, **keywords)

        patches: list[tuple[Any, str, Any]] = [(builtins, "open", open), (io, "open", open)]
        for module, names in _READERS:
            patches += [(module, name, self._serving(getattr(module, name))) for name in names]
        before = [(module, name, getattr(module, name)) for module, name, _ in patches]
        try:
            for module, name, value in patches:
                setattr(module, name, value)
            yield
        finally:
            for module, name, value in before:
                setattr(module, name, value)

    def _serving(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def served(*args: Any, **keywords: Any) -> Any:
            return function(
                *(self.find(word) if at == 0 else word for at, word in enumerate(args)), **keywords
            )

        return served


def _name(path: Any) -> str | None:
    """The path as text; None for descriptors and bytes."""
    if isinstance(path, str):
        return path or None
    if isinstance(path, os.PathLike):
        name = os.fspath(path)
        return name if isinstance(name, str) and name else None
    return None


def _exists(path: str | Path) -> bool:
    try:
        _stat(path)
    except (OSError, ValueError):
        return False
    return True
