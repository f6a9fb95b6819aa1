"""How long it takes until a program can begin: imports and the command, beside ``import torch``."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from freshpot.bench.jobs._contest import one_line
from freshpot.bench.machine import version_of
from freshpot.bench.remote import last_words
from freshpot.bench.rows import Options, Row, job
from freshpot.errors import DataError

ADDED_S = 0.3
_IMPORT = """import time
start = time.perf_counter(); import torch
middle = time.perf_counter(); import {}
print(middle - start, time.perf_counter() - start)"""
_HELP = "import sys; from freshpot.cli import main; sys.exit(main(['--help']))"


@job("start", "imports and freshpot --help")
def start(options: Options) -> Iterator[Row]:
    runs = 1 if options.quick else 7
    rival = f"import torch {version_of('torch')}"
    for module in ("caffe", "caffe2.python.core"):
        options.say(f"  import {module}, {runs} times")
        try:
            both = [_import(module) for _ in range(runs)]
        except DataError as error:
            yield Row(f"import {module}", rival, note=one_line(error))
            continue
        theirs, ours = min(both, key=lambda pair: pair[1])
        yield Row(f"import {module}", rival, theirs, ours, most=ADDED_S, added=True, note="the fastest start")
    options.say(f"  freshpot --help, {runs} times")
    pairs = [(_process("import torch"), _process(_HELP)) for _ in range(runs)]
    theirs, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield Row("freshpot --help", f"{rival}, process and all", theirs, ours)


def _import(module: str) -> tuple[float, float]:
    """Seconds of ``import torch``, and of both imports, in a new process."""
    first, both = _run(_IMPORT.format(module)).split()
    return float(first), float(both)


def _process(program: str) -> float:
    begin = time.perf_counter()
    _run(program)
    return time.perf_counter() - begin


def _run(program: str) -> str:
    # a program starts from compiled files, as torch does, unless it is the very first
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    if done.returncode:
        raise DataError(f"python -c {program.splitlines()[-1]!r} failed: {last_words(done.stderr)}")
    return done.stdout
