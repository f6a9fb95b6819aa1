"""All that a legacy program expects around it, put up for the time of a run and taken down again."""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from freshpot.legacy import ends, ipython, magics, old_matplotlib, paddle_data, python2, weights
from freshpot.legacy.binding import bound
from freshpot.legacy.figures import Figures
from freshpot.legacy.notes import Notes
from freshpot.legacy.overlay import Overlay
from freshpot.legacy.quick import capped
from freshpot.legacy.routes import Routes
from freshpot.legacy.shell import Shell
from freshpot.legacy.standins import StandIns

__all__ = ["Surroundings"]


class Surroundings:
    """Modules, files, addresses, magics and figures of one run.

    Attributes:
        module: the program's ``__main__``; its ``__dict__`` is the namespace of all cells.
        notes: what was done beyond running the program.

    Args:
        path: the program.
        folder: figures go there, stand-ins below ``files``.
        text: the whole program, to see what it speaks of.
        python2: it was written for Python 2.
        dialect, allow_shell, quick, stand_ins, arguments: as the command's options.
    """

    def __init__(
        self,
        path: Path,
        folder: Path,
        text: str,
        *,
        python2: bool = False,
        dialect: str | None = None,
        allow_shell: bool = False,
        quick: int | None = None,
        stand_ins: bool = False,
        arguments: Sequence[str] = (),
    ) -> None:
        self.notes = Notes()
        self._folder = folder.resolve()
        self.figures = Figures(folder, self.notes)
        self.overlay = Overlay(folder / "files", StandIns(self.notes).make, self.notes)
        self.module = ModuleType("__main__")
        self.routes = Routes(self.notes)
        self.shell = Shell(vars(self.module), self.notes, self.overlay, self.routes, allowed=allow_shell)
        self._notebook = ipython.Notebook(
            self.figures.show, self.shell.magic, self.shell.run, vars(self.module)
        )
        self._arguments = list(arguments)
        self._path, self._text = path, text
        self._python2, self._dialect, self._quick = python2, dialect, quick
        self._stand_ins = stand_ins

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Put everything up."""
        self._fill_namespace()
        drawing = "matplotlib" in self._text or "pylab" in self._text
        before = os.getcwd(), list(sys.path), sys.argv
        with contextlib.ExitStack() as stack:
            stack.callback(_restore, *before)
            sys.path.insert(0, str(self._path.resolve().parent))
            sys.argv = [str(self._path), *self._arguments]
            stack.enter_context(self.figures.installed(wanted=drawing))
            if drawing:
                stack.enter_context(old_matplotlib.served())
            stack.enter_context(
                bound(self._notebook, self.notes, dialect=self._dialect, python2=self._python2)
            )
            stack.enter_context(capped(self._quick, self._text, self.notes))
            stack.enter_context(self.routes.installed())
            if "caffe" in self._text:
                stack.enter_context(weights.installed(self.notes, self._text, self._stand_ins))
            if "paddle" in self._text:
                stack.enter_context(paddle_data.installed(self._folder / "files" / "paddle", self.notes))
            stack.enter_context(ends.told())
            stack.enter_context(self._main_module())
            stack.enter_context(self.overlay.installed())
            yield

    def _fill_namespace(self) -> None:
        names = vars(self.module)
        names.update({magics.MAGIC: self.shell.magic, magics.SHELL: self.shell.run, "__builtins__": builtins})
        names["__file__"] = str(self._path)
        names["round"] = python2.round_any
        if "get_ipython" in self._text:
            names["get_ipython"] = self._notebook.get_ipython
        if self._python2:
            names.update(python2.names())

    @contextlib.contextmanager
    def _main_module(self) -> Iterator[None]:
        """The program's namespace is ``__main__``, as pickles and worker processes expect."""
        before = sys.modules["__main__"]
        sys.modules["__main__"] = self.module
        try:
            yield
        finally:
            sys.modules["__main__"] = before


def _restore(folder: str, path: list[str], argv: list[str]) -> None:
    os.chdir(folder)
    sys.path[:] = path
    sys.argv = argv
