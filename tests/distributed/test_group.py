"""Sums, copies and gatherings over processes, and how they find each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several import in_processes, start

from freshpot.distributed import meeting
from freshpot.distributed.group import Group
from freshpot.errors import ArgumentError, DistributedError

OWN = np.arange(6).reshape(2, 3)


def wanted(rank: int, size: int) -> dict[str, Any]:
    all_own = [OWN + 10 * r for r in range(size)]
    total = sum(all_own)
    return {
        "sum": [total.tolist(), [sum(range(size))] * 2],
        "half the sum": [(total / 2).tolist()],
        "sum of columns": [total.T.tolist()],
        "sum of halves": [total.tolist()],
        "sum of bytes": [total.tolist()],
        "product": [np.prod(all_own, axis=0).tolist()],
        "smallest": [OWN.tolist()],
        "sum of nothing": [],
        "copy": all_own[0].tolist(),
        "copy of the last": all_own[-1].tolist(),
        "gathered": [own.astype(bool).tolist() for own in all_own],
        "sent": all_own[0 if rank == 1 else rank].tolist(),
        "a part at the place": [rank == 0, (2 * OWN + 10 * (size - 1)).tolist()]
        if rank in (0, size - 1)
        else "not among them",
        "left": "group 'cases' was left; make a new one.",
    }


def test_together(tmp_path: Path) -> None:
    place = tmp_path / "a place"
    found = in_processes(Path(__file__).with_name("group_cases.py"), 3, str(place))
    assert found == [wanted(rank, 3) for rank in range(3)]
    assert not place.exists()


LEAVING = """
import atexit, json, sys

atexit.register(lambda: print(json.dumps([group._store is None and not group._backends for group in groups])))  # last
from freshpot.distributed import meeting

rank, size, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
group = meeting.by_file(place, "all", rank, size, 300)
groups = [group, group.part("two", [0, 1])]
group.barrier()
"""


def test_a_group_is_left_before_python_ends(tmp_path: Path) -> None:
    """Gloo's threads need Python to let go of a tensor, and end the process with an abort when it is not there."""
    assert in_processes(LEAVING, 2, str(tmp_path / "place")) == [[True, True]] * 2


def test_alone() -> None:
    group, x = Group("alone", 0, 1), torch.ones(2)
    group.all_reduce([x], 0.5)
    group.broadcast([x])
    group.barrier()
    assert x.tolist() == [0.5, 0.5]
    assert group.all_gather(x)[0].tolist() == [0.5, 0.5]


REFUSED: list[tuple[Any, str]] = [
    (lambda: Group("g", 2, 2), "rank 2 of 2 processes; ranks go from 0 to 1"),
    (lambda: Group("g", 0, 0), "rank 0 of 0 processes"),
    (lambda: Group("g", 0, 2), "2 processes need a place to find each other"),
    (lambda: Group("g", 0, 1).broadcast([torch.ones(1)], 1), "root is 1; ranks go from 0 to 0"),
    (lambda: Group("g", 0, 1).part("p", [0, 0]), "ranks \\[0, 0\\] name a process twice"),
    (lambda: Group("g", 0, 1).part("p", [1]), "a rank of a part is 1"),
    (lambda: Group("g", 0, 1).send(torch.ones(1), 0), "to is 0, this process itself"),
    (lambda: Group("g", 0, 1).receive(torch.ones(1), 3), "source is 3; ranks go"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_refused(call: Any, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        call()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, MASTER_ADDR, MASTER_PORT not: start the processes with torchrun"),
        (
            {"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "h", "MASTER_PORT": "1"},
            "WORLD_SIZE is 'two'; it must be a whole number",
        ),
    ],
)
def test_an_environment_that_says_a_part(
    environment: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(ArgumentError, match=words):
        meeting.from_environment("g")


def test_no_environment_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert meeting.from_environment("g").size == 1
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert meeting.from_environment("g").size == 1


def test_nobody_else_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DistributedError, match="there is no folder"):
        meeting.by_file(tmp_path / "nowhere" / "place", "g", 0, 2)
    with pytest.raises(DistributedError, match="process 0 of 2: finding the others failed"):
        meeting.by_file(tmp_path / "place", "g", 0, 2, timeout_s=1)
    place = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for key, value in place.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(DistributedError, match=r"nobody is to be found at 127\.0\.0\.1:1"):
        meeting.from_environment("g", 1)


LOST = """
import json, sys
import torch
from freshpot.distributed import meeting
from freshpot.errors import DistributedError

rank, size, place = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
group = meeting.by_file(place, "g", rank, size, 3600)
if rank == 1:
    import os
    print("{}", flush=True)
    os._exit(0)
try:
    while True:
        group.all_reduce([torch.ones(3)])
except DistributedError as error:
    print(json.dumps(str(error)))
"""


def test_a_lost_process_is_noticed(tmp_path: Path) -> None:
    """Long before the hour has passed that processes wait for each other."""
    message, _ = in_processes(LOST, 2, str(tmp_path / "place"))
    assert message.startswith("group 'g', process 0 of 2: adding up failed: ")
    assert "Another process stopped" in message


TORCHRUN = """
import json, os, torch
from freshpot.distributed import meeting
group, x = meeting.from_environment("g", 300), torch.ones(1)
group.all_reduce([x])
print(json.dumps([group.rank, group.size, x.item()]), flush=True)
"""


def test_processes_that_torchrun_started(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(TORCHRUN)
    words = ["--standalone", "--nproc-per-node", "2", str(program)]
    ran = start("from torch.distributed.run import main; main()", *words)
    output, errors = ran.communicate(timeout=300)
    assert ran.returncode == 0, errors
    assert sorted(output.split("\n")) == ["", "[0, 2, 2.0]", "[1, 2, 2.0]"]
