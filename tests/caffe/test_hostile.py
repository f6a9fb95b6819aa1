"""Damaged files give typed errors or are read: none crashes, hangs or fills the memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hostile
import pytest

PROGRAM = Path(hostile.__file__)


def read_all(shared: Path, first: int, last: int) -> list[list[str]]:
    """What came of mutants first … last-1: [number, kind, outcome …] each, in order of numbers."""
    found: dict[int, list[str]] = {}
    environment = {**os.environ, "GLOG_minloglevel": "3", "OMP_NUM_THREADS": "1"}
    begin = first
    while begin < last:
        command = [sys.executable, str(PROGRAM), str(shared), str(begin), str(last), "1"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        lines = [line.split(maxsplit=2) for line in done.stdout.splitlines() if line[:1].isdigit()]
        found |= {int(line[0]): line for line in lines if len(line) == 3}
        begin += len(lines)
        if done.returncode == 0:
            break
        kind = hostile.KINDS[begin % len(hostile.KINDS)]
        found[begin] = [str(begin), kind, f"DIED {done.returncode} {done.stderr[-300:]}"]
        begin += 1
    return [found[number] for number in range(first, last)]


def check(outcomes: list[list[str]]) -> None:
    bad = [" ".join(line) for line in outcomes if line[2].startswith(("UNTYPED", "DIED"))]
    assert not bad, "\n".join(bad[:20])
    seen = Counter((kind, outcome == "read") for _, kind, outcome in outcomes)
    for kind in hostile.KINDS:
        assert seen[kind, False] > 3, f"no damaged {kind} was refused: the mutations do nothing"


def test_a_sample_of_damaged_files(shared: Path) -> None:
    check(read_all(shared, 0, 500))


@pytest.mark.slow
def test_many_damaged_files(shared: Path) -> None:
    check(read_all(shared, 500, 2500))


def test_the_good_files_are_read(shared: Path, tmp_path: Path) -> None:
    readers = hostile.Readers(shared)
    for kind, sources in hostile.SOURCES.items():
        if kind in ("prototxt", "solver"):
            continue
        for k, source in enumerate(sources):
            copy = tmp_path / f"{k}.{kind}"
            copy.write_bytes((shared / source).read_bytes())
            readers.read(kind, copy)


def test_a_death_is_seen(shared: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dies.py"
    program.write_text("import os, sys\nif sys.argv[2] == '0': print('0 lmdb read', flush=True); os.abort()\n"
                       "for n in range(int(sys.argv[2]), 4): print(n, 'lmdb read')\n")  # fmt: skip
    monkeypatch.setattr(sys.modules[__name__], "PROGRAM", program)
    assert [line[2].split()[0] for line in read_all(shared, 0, 4)] == ["read", "DIED", "read", "read"]
