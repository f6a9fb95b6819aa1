"""Choosing between ways of doing one job by timing them, once a machine.

Owned here: the choice, and the file that remembers it. Who calls it: operators with several kernels.

``FRESHPOT_AUTOTUNE``: ``1`` (the default) times ways that were never timed for this job on this machine, and
remembers; ``0`` takes the first way that the operator names, so that runs on any machine do the same
arithmetic in the same order; ``verbose`` is 1 and says on stderr what was chosen. The choices are kept in
the cache folder, a file for each processor, PyTorch and number of threads, so later runs repeat them.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from freshpot.data.cache import cache_folder
from freshpot.formats.atomic import write_bytes

#: goes up when candidates change their meaning: older files are not read
VERSION = 1
#: runs of each way, at least where they are short and where they take long; the shortest counts
_RUNS, _FEWEST_RUNS = 5, 2
#: seconds that timing one way takes at least, so that what else the machine does passes, and at most
_LEAST, _ENOUGH = 0.02, 0.25

Ways = Mapping[str, Callable[[], Any]]


def choose(job: str, ways: Ways) -> str:
    """The name of the fastest way of doing ``job``.

    Args:
        job: what is done, with all sizes: the same text means the same work.
        ways: name -> the work, free of effects. The first is the one to take where nothing is timed.
    """
    first = next(iter(ways))
    setting = os.environ.get("FRESHPOT_AUTOTUNE", "1")
    if setting == "0" or len(ways) == 1:
        return first
    known = _memory(torch.get_num_threads())
    found = known.choices.get(job, "")
    if found not in ways:
        spent = _time(ways)
        found = min(spent, key=spent.__getitem__)
        known.remember(job, found)
        if setting == "verbose":
            times = ", ".join(f"{name} {1e3 * s:.3f} ms" for name, s in spent.items())
            print(f"freshpot: {job}: {found} ({times})", file=sys.stderr)
    return found


def _time(ways: Ways) -> dict[str, float]:
    """Seconds of the shortest of some runs of each way, in turn: what else the machine does meanwhile meets all alike.

    With one thread, processor time counts, which others do not take.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    best, spent, rounds = dict.fromkeys(ways, float("inf")), 0.0, 0
    for work in ways.values():
        work()
    while rounds < _FEWEST_RUNS or not (spent > _ENOUGH or (rounds >= _RUNS and spent > _LEAST)):
        start = time.perf_counter()
        for name, work in ways.items():
            before = clock()
            work()
            best[name] = min(best[name], clock() - before)
        spent += (time.perf_counter() - start) / len(ways)
        rounds += 1
    return best


class _Memory:
    """The choices made on this machine with one number of threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.choices = _read(path)

    def remember(self, job: str, choice: str) -> None:
        """Keep a choice, in the file too, at once: a process that is killed and goes on later repeats it."""
        self.choices[job] = choice
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            choices = {**_read(self._path), job: choice}  # others may have added theirs meanwhile
            write_bytes(self._path, json.dumps(choices, indent=0, sort_keys=True).encode())
        except OSError as error:
            _say_once(f"freshpot: the choices of kernels are not kept: {error}")


@functools.cache
def _say_once(words: str) -> None:
    print(words, file=sys.stderr)


def _read(path: Path) -> dict[str, str]:
    """The file's choices; none if it is not there or is no such file."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {job: choice for job, choice in found.items() if isinstance(choice, str)}


@functools.cache
def _memory(threads: int) -> _Memory:
    name = f"{VERSION}-{_processor()}-torch{torch.__version__}-{threads}threads.json"
    return _Memory(cache_folder("kernels") / name)


def _processor() -> str:
    """The processor's kind, as part of a file's name."""
    found = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            parts = dict(line.rstrip().split("\t: ") for line in lines.read().splitlines() if "\t: " in line)
            found = " ".join(parts.get(k, "") for k in ("vendor_id", "cpu family", "model")) or found
    except (OSError, ValueError):
        pass
    return "".join(c if c.isalnum() else "-" for c in found)
