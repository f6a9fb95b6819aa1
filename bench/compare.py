"""Timing several ways of doing one job beside each other, in turn, in one process.

Absolute times on shared machines mean little: what counts is the ratio of medians of alternating runs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(jobs: Mapping[str, Callable[[], object]], rounds: int, inner: int) -> dict[str, float]:
    """Median seconds of one call of each job: ``rounds`` turns, each job ``inner`` calls a turn."""
    spent: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        for _ in range(3):
            job()
    for _ in range(rounds):
        for name, job in jobs.items():
            start = time.perf_counter()
            for _ in range(inner):
                job()
            spent[name].append((time.perf_counter() - start) / inner)
    return {name: statistics.median(times) for name, times in spent.items()}


def table(title: str, medians: Mapping[str, float], base: str) -> str:
    """A Markdown table: each job's median in ms and as a ratio of ``base``."""
    lines = [f"### {title}", "", f"| job | median ms | ratio to {base} |", "|---|---:|---:|"]
    lines += [f"| {name} | {1e3 * t:.3f} | {t / medians[base]:.2f} |" for name, t in medians.items()]
    return "\n".join(lines)
