"""Small calls, where what surrounds the arithmetic counts: RunNet on a few operators, feeding, fetching.

Beside the original, if there is one: the same script runs in both, in turn, a process each.

    python bench/small_nets.py [--caffe2-python /path/to/python] [--turns 3]

``--caffe2-python`` names an interpreter whose ``caffe2`` is the original (the PyTorch 1.8.1 wheel brings it,
for example); without it the table has our times alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

JOBS = Path(__file__).with_name("small_nets_jobs.py")


def times(python: str) -> dict[str, float]:
    """Microseconds of each job under one interpreter, one thread. Another interpreter than this one gets no
    `PYTHONPATH`, which would lead it to our `caffe2`.

    Raises:
        SystemExit: the interpreter cannot run the script; says what it said.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    done = subprocess.run([python, str(JOBS)], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{python} cannot run {JOBS.name}:\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def fastest(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of each job, the shortest time of all runs."""
    return {name: min(run[name] for run in runs) for name in runs[0]}


def table(ours: dict[str, float], original: dict[str, float] | None) -> str:
    """A Markdown table; with the original's times, also the ratio (below 1: we are faster)."""
    if original is None:
        lines = ["| call | freshpot µs |", "|---|---:|"]
        return "\n".join([*lines, *(f"| {name} | {t:.2f} |" for name, t in ours.items())])
    lines = ["| call | freshpot µs | original µs | ratio |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {t:.2f} | {original[name]:.2f} | {t / original[name]:.2f} |" for name, t in ours.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Time, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--caffe2-python", metavar="EXE", help="interpreter with the original caffe2")
    parser.add_argument("--turns", type=int, default=3, help="how often each runs, in turn")
    chosen = parser.parse_args()
    ours: list[dict[str, float]] = []
    original: list[dict[str, float]] = []
    for _ in range(max(1, chosen.turns)):
        ours.append(times(sys.executable))
        if chosen.caffe2_python:
            original.append(times(chosen.caffe2_python))
    print(table(fastest(ours), fastest(original) if original else None))
    if not original:
        print("\nThe original's times are missing: name its interpreter with --caffe2-python.")


if __name__ == "__main__":
    main()
