"""One piece of work by freshpot and by others, in turn: rows of the table, whatever fails.

Owned here: making the competitors, timing them together, ending them. Who calls it: the jobs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from freshpot.bench.machine import version_of
from freshpot.bench.remote import Remote
from freshpot.bench.rows import Options, Row
from freshpot.bench.timing import Local, Timed, medians
from freshpot.errors import DataError, NotSupportedError

__all__ = ["Rival", "contest", "local", "one_line", "original_caffe2", "original_paddle", "packaged"]

OURS = "freshpot"


@dataclass(frozen=True)
class Rival:
    """A competitor.

    Attributes:
        name: if what ``make`` returns has a ``version``, that one is shown.
        make: builds the work. NotSupportedError: it cannot be had here, and why.
        most: the ratio aimed at.
        note: for the reader.
    """

    name: str
    make: Callable[[], Timed]
    most: float | None = None
    note: str = ""


def contest(
    options: Options,
    what: str,
    ours: Callable[[], Timed],
    rivals: list[Rival],
    *,
    times: int = 1,
    rounds: int | None = None,
    warm_up: int = 3,
) -> Iterator[Row]:
    """Rows of ours against each rival; a rival's failure is a row that says so.

    Args:
        what: for the first column.
        times: how often the timed call is done in what the row speaks of.
        rounds, warm_up: as `medians` takes them, instead of what the options say.
    """
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        made: dict[str, Timed] = {}
        for name, make in ((OURS, ours), *((rival.name, rival.make) for rival in rivals)):
            options.say(f"  {what}: preparing {name}")
            try:
                made[name] = make()
            except Exception as error:
                failed[name] = one_line(error)
            else:
                if hasattr(made[name], "close"):
                    stack.callback(made[name].close)  # type: ignore[attr-defined]
        options.say(f"  {what}: {len(made)} in turn")
        found = medians(
            made,
            turn_s=options.turn_s,
            rounds=rounds or options.rounds,
            warm_up=warm_up,
            on_error=lambda name, error: failed.__setitem__(name, one_line(error)),
        )
    mine = found.get(OURS)
    for rival in rivals:
        shown = getattr(made.get(rival.name), "version", None) or rival.name
        if mine is None or rival.name not in found:
            note = failed.get(rival.name) or f"freshpot failed: {failed.get(OURS)}"
            yield Row(what, shown, note=note, most=rival.most)
        else:
            yield Row(what, shown, found[rival.name] * times, mine * times, most=rival.most, note=rival.note)


def local(make: Callable[..., Callable[[], object]], *args: Any, **given: Any) -> Callable[[], Timed]:
    """Makes a function of this process when it is asked to."""
    return lambda: Local(make(*args, **given))


def original_caffe2(options: Options, program: str, most: float | None, **given: Any) -> Rival:
    """The original Caffe2, in the interpreter that the user named."""

    def make() -> Timed:
        if options.caffe2_python is None:
            raise NotSupportedError("not measured: name an interpreter that has it with --caffe2-python")
        return Remote(options.caffe2_python, program, threads=options.threads, **given)

    return Rival("Caffe2", make, most)


def original_paddle(options: Options, program: str, most: float | None = None, **given: Any) -> Rival:
    """The original Paddle, in the interpreter that the user named."""

    def make() -> Timed:
        if options.paddle_python is None:
            raise NotSupportedError("not measured: name an interpreter that has it with --paddle-python")
        return Remote(options.paddle_python, program, threads=options.threads, **given)

    return Rival("PaddlePaddle", make, most)


def packaged(options: Options, package: str, title: str, program: str, **given: Any) -> Rival:
    """A package of this interpreter, if it is installed, in a process of its own."""

    def make() -> Timed:
        if importlib.util.find_spec(package) is None:
            raise NotSupportedError(f"not measured: {package} is not installed")
        return Remote(sys.executable, program, threads=options.threads, **given)

    return Rival(title, make)


def torch_name(way: str) -> str:
    """How PyTorch is called in the table."""
    return f"PyTorch {way} {version_of('torch')}"


def one_line(error: Exception) -> str:
    """What went wrong, for a table."""
    words = " ".join(str(error).split()) or type(error).__name__
    plain = isinstance(error, (DataError, NotSupportedError))
    return (words if plain else f"{type(error).__name__}: {words}")[:200].replace("|", "\\|")
