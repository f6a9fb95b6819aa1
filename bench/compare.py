"""Timing several ways of doing one job beside each other, in turn, in one process.

Absolute times on shared machines mean little: what counts is the ratio of medians of alternating runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch


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


def mnist_like(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, np.ndarray, np.ndarray]:
    """Read the arguments that LeNet's benchmarks share, set the threads, draw a batch like MNIST's.

    Returns:
        the arguments, images (N, 1, 28, 28) float32 from 0 to 1, labels (N,).
    """
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(0)
    images = rng.random((args.batch, 1, 28, 28), dtype=np.float32)
    return args, images, rng.integers(0, 10, args.batch)
