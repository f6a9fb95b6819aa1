"""Running one program in several processes, as users start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 900


def start(program: Path | str, *words: str, **environment: str) -> subprocess.Popen[str]:
    """A process that runs a program, with one thread."""
    given = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, *(["-c", program] if isinstance(program, str) else [str(program)]), *words]
    return subprocess.Popen(
        command,
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=environment.get("PWD"),
    )


def results(processes: Sequence[subprocess.Popen[str]]) -> list[Any]:
    """What each printed last, as JSON; all must end well."""
    try:
        found = [process.communicate(timeout=PATIENCE_S) for process in processes]
    except subprocess.TimeoutExpired:
        for process in processes:
            process.kill()
        found = [process.communicate() for process in processes]
    for process, (_, errors) in zip(processes, found, strict=True):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in found]


def in_processes(program: Path | str, count: int, *words: str) -> list[Any]:
    """Results of ``count`` processes; each is given its rank, how many there are, and the words."""
    return results([start(program, str(rank), str(count), *words) for rank in range(count)])
