"""What a benchmark yields, what it is told, and the list of benchmarks.

Owned here: `Row`, `Options`, `@job`. Who uses it: the modules in `jobs`, `suite`, `report`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

__all__ = ["JOBS", "Curve", "Job", "Options", "Result", "Row", "job"]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: the work, and by which door freshpot does it.
        competitor: with its version.
        theirs, ours: in ``unit`` ("s" or "MB"); None = not measured, and ``note`` says why.
        most: the ratio that freshpot aims at, at most; None = no aim was set.
        note: what a reader must know, or why there are no numbers.
        added: the figures are ours less theirs, not ours over theirs: ``most`` is in ``unit`` then.
    """

    what: str
    competitor: str
    theirs: float | None = None
    ours: float | None = None
    unit: str = "s"
    most: float | None = None
    note: str = ""
    added: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours over theirs, or ours less theirs."""
        if self.theirs is None or self.ours is None or not self.theirs:
            return None
        return self.ours - self.theirs if self.added else self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """Whether the aim is reached; None if there is none, or no figure."""
        return None if self.ratio is None or self.most is None else self.ratio <= self.most


@dataclass(frozen=True)
class Curve:
    """How a cost grows: one line of the plot. ``x`` and ``seconds`` go together; ``over`` names x."""

    plot: str
    name: str
    over: str
    x: list[int]
    seconds: list[float]


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Attributes:
        threads: of every competitor.
        quick: short turns, few of them, small sizes: to see that all works, not for figures.
        data: where MNIST is, as `load_mnist` takes it.
        caffe2_python, paddle_python: interpreters that have the original packages.
        caffe_binary: the original's ``caffe``.
        say: shows a line of progress.
    """

    threads: int
    quick: bool = False
    data: str | None = None
    caffe2_python: str | None = None
    caffe_binary: str | None = None
    paddle_python: str | None = None
    say: Callable[[str], None] = field(default=print)

    @property
    def turn_s(self) -> float:
        """Seconds of a turn."""
        return 0.005 if self.quick else 0.2

    @property
    def rounds(self) -> int:
        """Turns of each competitor."""
        return 2 if self.quick else 9


Result: TypeAlias = "Row | Curve"
Run: TypeAlias = Callable[[Options], Iterator[Result]]


@dataclass(frozen=True)
class Job:
    """A benchmark: ``run`` yields results as they are measured."""

    name: str
    title: str
    run: Run


JOBS: dict[str, Job] = {}


def job(name: str, title: str) -> Callable[[Run], Run]:
    """Declare a benchmark; they run in the order of their declaration."""

    def register(run: Run) -> Run:
        JOBS[name] = Job(name, title, run)
        return run

    return register


def script(name: str) -> Path:
    """The file of a program that another interpreter runs."""
    return Path(__file__).parent / "programs" / f"{name}.py"
