"""Timing several ways of doing one thing beside each other, in turn.

Absolute times on shared machines mean little: what counts is the ratio of medians of alternating runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Protocol

__all__ = ["Local", "Timed", "alternate", "medians", "table"]


class Timed(Protocol):
    """Something that can be run and timed, here or in another process."""

    def time(self, calls: int) -> float:
        """Seconds of one call, the mean of ``calls`` in a row."""


class Local:
    """A function of this process."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call

    def time(self, calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            self._call()
        return (time.perf_counter() - start) / calls


def medians(
    jobs: Mapping[str, Timed],
    *,
    turn_s: float = 0.2,
    rounds: int = 9,
    warm_up: int = 3,
    on_error: Callable[[str, Exception], None] | None = None,
) -> dict[str, float]:
    """Median seconds of one call of each job: ``rounds`` turns of about ``turn_s`` seconds each.

    Args:
        warm_up: calls before the first turn; 0: each turn is one call, however long.
        on_error: hears of a job that failed, which is left out from then on; without it the error goes on.
    """
    calls: dict[str, int] = {}
    spent: dict[str, list[float]] = {}

    def attempt(name: str, calls: int) -> float | None:
        try:
            return jobs[name].time(calls)
        except Exception as error:
            if on_error is None:
                raise
            spent.pop(name, None)
            on_error(name, error)
            return None

    for name in jobs:
        if not warm_up:
            calls[name], spent[name] = 1, []
            continue
        first = attempt(name, warm_up)
        once = None if first is None else attempt(name, 1)
        if once is not None:
            calls[name], spent[name] = max(1, min(2000, int(turn_s / max(once, 1e-7)))), []
    for _ in range(rounds):
        for name in list(spent):
            seconds = attempt(name, calls[name])
            if seconds is not None:
                spent[name].append(seconds)
    return {name: statistics.median(times) for name, times in spent.items()}


def alternate(jobs: Mapping[str, Callable[[], object]], rounds: int, inner: int) -> dict[str, float]:
    """Median seconds of one call of each function: ``rounds`` turns, each function ``inner`` calls a turn."""
    timed = {name: Local(job) for name, job in jobs.items()}
    for job in timed.values():
        job.time(3)
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in timed.items():
            spent[name].append(job.time(inner))
    return {name: statistics.median(times) for name, times in spent.items()}


def table(title: str, medians: Mapping[str, float], base: str) -> str:
    """A Markdown table: each job's median in ms and as a ratio of ``base``."""
    lines = [f"### {title}", "", f"| job | median ms | ratio to {base} |", "|---|---:|---:|"]
    lines += [f"| {name} | {1e3 * t:.3f} | {t / medians[base]:.2f} |" for name, t in medians.items()]
    return "\n".join(lines)
