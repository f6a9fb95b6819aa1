"""The figures that a program shows, saved as PNG files. What it draws is drawn as it says, but for one thing:
x and y of unequal length, which :mod:`tails` cuts to their common tail.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes
from freshpot.legacy import tails
from freshpot.legacy.notes import Notes

__all__ = ["Figures"]

_PNG = b"\x89PNG\r\n\x1a\n"
_current: Figures | None = None  # of the run in progress


def _show(*args: Any, **keywords: Any) -> None:
    """``pyplot.show``; modules such as pylab keep a reference to it beyond a run."""
    if _current is not None:
        _current.save_open()


class Figures:
    """Names and writes pictures: ``cell03-1.png`` is the first that cell 3 showed.

    Args:
        folder: made with the first picture.
        notes: where it is said what was drawn otherwise than written.
    """

    def __init__(self, folder: Path, notes: Notes) -> None:
        self.folder = folder
        self.paths: list[Path] = []
        self._notes = notes
        self._cell = 1
        self._number = 0
        self._code = ""
        self._place: Callable[[int], str] = str

    def start(self, cell: int, code: str, place: Callable[[int], str]) -> None:
        """From here on pictures belong to that cell.

        Args:
            cell: counted from 1. code: name of its code, as in tracebacks. place: names a line of it.
        """
        self._cell, self._number, self._code, self._place = cell, 0, code, place

    def _say(self, words: str) -> None:
        """Say it of the line of the program that is running, on stderr and below the table."""
        frame = sys._getframe()
        while frame is not None and frame.f_code.co_filename != self._code:
            frame = frame.f_back  # type: ignore[assignment]
        words = f"{self._place(frame.f_lineno)}: {words}" if frame is not None else words
        print(f"freshpot: {words}", file=sys.stderr, flush=True)
        self._notes.add(words)

    def save(self, png: bytes) -> None:
        """Keep one picture and say where.

        Raises:
            DataError: it cannot be written.
        """
        self._number += 1
        path = self.folder / f"cell{self._cell:02d}-{self._number}.png"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(path, png)
        except OSError as error:
            why = error.strerror or error
            raise DataError(
                f"cannot save the figure {path}: {why}. Name another folder with --out."
            ) from error
        self.paths.append(path)
        print(f"[figure: {path}]")

    def save_open(self) -> None:
        """Keep and close every open figure of pyplot, as a notebook does after a cell."""
        pyplot: Any = sys.modules.get("matplotlib.pyplot")
        for number in pyplot.get_fignums() if pyplot else ():
            picture = io.BytesIO()
            pyplot.figure(number).savefig(picture, format="png")
            pyplot.close(number)
            self.save(picture.getvalue())

    def show(self, value: Any) -> bool:
        """Keep a value that is a picture (``_repr_png_``); False if it is none."""
        draw = getattr(value, "_repr_png_", None)
        png = draw() if callable(draw) and not isinstance(value, type) else None
        if isinstance(png, tuple):  # with metadata
            png = png[0]
        if not isinstance(png, bytes) or not png.startswith(_PNG):
            return False
        self.save(png)
        return True

    @contextlib.contextmanager
    def installed(self, *, wanted: bool) -> Iterator[None]:
        """Have ``pyplot.show`` save, without a screen; ``wanted``: the program speaks of matplotlib."""
        before = os.environ.get("MPLBACKEND")
        os.environ["MPLBACKEND"] = "Agg"
        try:
            with self._drawing() if wanted else contextlib.nullcontext():
                yield
        finally:
            if before is None:
                del os.environ["MPLBACKEND"]
            else:
                os.environ["MPLBACKEND"] = before

    @contextlib.contextmanager
    def _drawing(self) -> Iterator[None]:
        import matplotlib
        from matplotlib import pyplot

        global _current
        module: Any = matplotlib
        kept = module.use, pyplot.show, pyplot.switch_backend
        pyplot.switch_backend("Agg")
        pyplot.close("all")
        interactive: Any = pyplot
        module.use = interactive.switch_backend = lambda *args, **keywords: None  # there is no screen
        interactive.show = _show
        before, _current = _current, self
        try:
            with tails.cut(self._say):
                yield
        finally:
            _current = before
            module.use, interactive.show, interactive.switch_backend = kept
            pyplot.close("all")
