"""Running a program: cell after cell in one namespace, as a notebook does."""

from __future__ import annotations

import ast
import builtins
import contextlib
import copy
import linecache
import pprint
import select
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from freshpot.legacy import early, magics, missing
from freshpot.legacy.cells import Cell, Document
from freshpot.legacy.modernize import Modernized, modernize, parse
from freshpot.legacy.surroundings import Surroundings

__all__ = ["FAILED", "NOT_RUN", "OK", "Options", "Outcome", "Result", "run"]

OK, FAILED, NOT_RUN = "ok", "failed", "not run"


@dataclass(frozen=True)
class Options:
    """How to run.

    Attributes:
        folder: for figures and stand-ins.
        keep_going: run the cells after one that failed.
        dialect: the package that is ours whatever is installed.
        allow_shell: shell lines may run.
        quick: cap trainings at so many steps.
        stand_ins: random weights also for models that nobody knows.
        arguments: of the program, behind its name in ``sys.argv``.
    """

    folder: Path
    keep_going: bool = False
    dialect: str | None = None
    allow_shell: bool = False
    quick: int | None = None
    stand_ins: bool = False
    arguments: tuple[str, ...] = ()


@dataclass
class Outcome:
    """What became of a cell: its status, the seconds it took; if it failed the error's first line and where."""

    cell: Cell
    status: str = NOT_RUN
    seconds: float = 0.0
    error: str = ""
    place: str = ""


@dataclass
class Result:
    """A program after its run; ``interrupted``: by Ctrl-C, in the cell that failed."""

    document: Document
    outcomes: list[Outcome]
    figures: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def passed(self) -> bool:
        return all(outcome.status == OK for outcome in self.outcomes)


def run(document: Document, options: Options) -> Result:
    """Run all cells; the program prints as it likes, errors of cells are kept for the table.

    The program has the rights of the process, as under ``python FILE``. Nothing is timed out.
    """
    modern, old = modernize(cell.source for cell in document.cells)
    around = Surroundings(
        document.path,
        options.folder,
        "\n".join(cell.source for cell in document.cells),
        python2=old,
        dialect=options.dialect,
        allow_shell=options.allow_shell,
        quick=options.quick,
        stand_ins=options.stand_ins,
        arguments=options.arguments,
    )
    if old:
        changed = sum(cell.changed for cell in modern)
        around.notes.add(f"written for Python 2: {changed} of {len(modern)} cells were modernised")
    result = Result(document, [Outcome(cell) for cell in document.cells], names=vars(around.module))
    with around.installed():
        running = _Run(document, modern, around)
        try:
            running.all(result.outcomes, keep_going=options.keep_going)
        except KeyboardInterrupt:
            result.interrupted = True
        if not result.passed and (lacks := missing.missing(running.trees)):
            around.notes.add(lacks)
    result.figures, result.notes = around.figures.paths, around.notes.lines
    return result


class _Run:
    """The cells of one program as they run."""

    def __init__(self, document: Document, modern: list[Modernized], around: Surroundings) -> None:
        self._document, self._modern, self._around = document, modern, around
        self._names = vars(around.module)
        self.trees = [None if cell.error else parse(cell.text) for cell in modern]
        self._stop = False  # the program has ended itself

    def all(self, outcomes: list[Outcome], *, keep_going: bool) -> None:
        """Run them; what is not run says so.

        Raises:
            KeyboardInterrupt: in a cell, which has failed then.
        """
        for index, outcome in enumerate(outcomes):
            self._around.figures.start(index + 1, self._code(index), outcome.cell.place)
            self._around.shell.shown = outcome.cell.shown
            if self._document.interactive and len(outcomes) > 1:
                print(f"\n--- cell {index + 1} of {len(outcomes)}, line {outcome.cell.line} ---", flush=True)
            start = time.perf_counter()
            try:
                outcome.status = self._one(index, outcome)
            finally:
                outcome.seconds = time.perf_counter() - start
            if self._stop or (outcome.status != OK and not keep_going):
                return

    def _one(self, index: int, outcome: Outcome) -> str:
        cell = outcome.cell
        try:
            self._import_ahead(index)
            with _timed(magics.cell_magic(cell.source)):
                self._execute(cell, self._modern[index], self._code(index))
            if self._document.interactive:
                self._around.figures.save_open()
        except SystemExit as stop:
            if stop.code not in (None, 0):
                return self._failed(outcome, stop)
            self._ended(index, outcome, stop)
        except KeyboardInterrupt as interrupt:
            outcome.status = self._failed(outcome, interrupt)
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _reader_has_gone():
                raise
            return self._failed(outcome, error)
        return OK

    def _ended(self, index: int, outcome: Outcome, stop: SystemExit) -> None:
        """A cell ended the program; nothing comes after it."""
        self._stop = True
        if index + 1 < len(self._modern):
            line = _line_in(stop, self._code(index)) or outcome.cell.first
            self._around.notes.add(f"{outcome.cell.place(line)}: the program ended itself here")

    def _import_ahead(self, index: int) -> None:
        if not self._document.interactive:
            return
        known = {*self._names, *dir(builtins)}
        for name, (later, statement) in early.imports_ahead(self.trees, index, known).items():
            cell = self._document.cells[later]
            first = cell.first
            module = ast.increment_lineno(copy.deepcopy(ast.Module([statement], [])), first - 1)
            try:
                exec(_compiled(module, self._code(later), "exec"), self._names)
            except Exception:
                continue
            place = cell.place(first + statement.lineno - 1)
            place += "" if cell.exact else f" {later + 1}"
            self._around.notes.add(
                f"{name}: used in cell {index + 1} but imported only in {place}; that line was run first"
            )

    def _code(self, index: int) -> str:
        """Name of a cell's code in tracebacks: the file, or the cell where lines are counted in it."""
        cell = self._document.cells[index]
        return str(cell.path) if cell.exact else f"{cell.path}, cell {index + 1}"

    def _execute(self, cell: Cell, modern: Modernized, name: str) -> None:
        """Run the text; show the value of the last line."""
        if modern.error is not None:
            raise modern.error
        magic = magics.cell_magic(cell.source)
        # %%timeit runs its cell in a function of its own: what it binds is gone afterwards
        names = dict(self._names) if magic is not None and magic[0] == "timeit" else self._names
        tree = parse(modern.text)
        ast.increment_lineno(tree, cell.first - 1)
        if not cell.exact:
            linecache.cache[name] = (len(cell.source), None, cell.source.splitlines(keepends=True), name)
        last = tree.body.pop() if self._shows(tree, modern.text) else None
        linecache.checkcache(name)
        exec(_compiled(tree, name, "exec"), names)
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            self._show(eval(_compiled(expression, name, "eval"), names))

    def _shows(self, tree: ast.Module, text: str) -> bool:
        last = tree.body[-1] if tree.body else None
        lines = [line.split("#")[0].rstrip() for line in text.split("\n")]
        ends = next((line for line in reversed(lines) if line), "")
        return self._document.interactive and isinstance(last, ast.Expr) and not ends.endswith(";")

    def _show(self, value: Any) -> None:
        if value is not None and not self._around.figures.show(value):
            print(pprint.pformat(value, sort_dicts=False))

    def _failed(self, outcome: Outcome, error: BaseException) -> str:
        """Keep the error's first line, and the last line of the program that it came through."""
        code = self._code(self._index(outcome))
        outcome.error = _first_line(error)
        if isinstance(error, ModuleNotFoundError) or (isinstance(error, ImportError) and error.path is None):
            outcome.error += missing.hint(
                error.name
            )  # without a path: one of our stand-ins, which has not all
        if isinstance(error, SyntaxError) and error is self._modern[self._index(outcome)].error:
            outcome.error = f"{type(error).__name__}: {error.msg}; neither Python 3 nor Python 2"
            line = outcome.cell.first + (error.lineno or 1) - 1
        else:
            line = _line_in(error, code) or outcome.cell.first
            trace = traceback.TracebackException.from_exception(error)
            print("".join(_from_program(trace, code)), file=sys.stderr, end="", flush=True)
        outcome.place = outcome.cell.place(line)
        return FAILED

    def _index(self, outcome: Outcome) -> int:
        return self._document.cells.index(outcome.cell)


def _reader_has_gone() -> bool:
    """True if nobody reads what this process prints any more."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no such call on this system; output that is no file
        return False


def _compiled(tree: Any, name: str, mode: str) -> Any:
    """The code, without the warnings that today's Python has for yesterday's text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        return compile(tree, name, mode, dont_inherit=True)


def _first_line(error: BaseException) -> str:
    """``KeyError: 'x'``; an error of the program may fail to say what it is."""
    try:
        words = (str(error).strip() or repr(error)).splitlines()[0]
        notes = getattr(error, "__notes__", [])
        words += f" ({notes[0].splitlines()[0]})" if notes and notes[0] else ""
    except Exception:
        words = "(an error that cannot be shown)"
    name = type(error).__name__
    return name if words == f"{name}()" else f"{name}: {words}"


def _line_in(error: BaseException, name: str) -> int | None:
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == name), None)


def _from_program(trace: traceback.TracebackException, name: str) -> Iterator[str]:
    """The traceback from the program's first line on: how freshpot got there helps nobody."""
    first = next((i for i, frame in enumerate(trace.stack) if frame.filename == name), 0)
    trace.stack[:] = trace.stack[first:]
    return trace.format()


@contextlib.contextmanager
def _timed(magic: tuple[str, str] | None) -> Iterator[None]:
    """Print the times that ``%%time`` prints."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    if magic is not None and magic[0] in ("time", "timeit"):
        print(f"CPU times: total: {time.process_time() - cpu:.3g} s")
        print(f"Wall time: {time.perf_counter() - wall:.3g} s")
