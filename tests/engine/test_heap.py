"""Memory for large outputs is used again while plans run, and the system has it back afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
import torch

from freshpot.engine import Plan, Workspace, heap
from freshpot.errors import NetError
from freshpot.net import Net, Op

pytestmark = pytest.mark.skipif(heap._library() is None, reason="the C library is not glibc")

#: numbers of a tensor of 48 MB
LARGE = 12 << 20

#: what a process that has done nothing else says: MB that it has, or took from the system a piece at a time
MEMORY = """
import ctypes, gc, json
import torch
from freshpot.engine import Plan, Workspace, heap
from freshpot.net import Net, Op

LARGE, MB = 12 << 20, 1 << 20
FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()

class Info(ctypes.Structure):  # mallinfo2's, of malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]

def from_system():
    info = heap._library().mallinfo2
    info.restype = Info
    return info().hblkhd // MB

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // MB

ws, said = Workspace(), {}
ws.feed("X", torch.ones(LARGE))
plan = Plan(Net("n", [Op("Elu", ["X"], ["Y"]), Op("Elu", ["Y"], ["Z"])]), ws)
plan.run()
said["first run"] = from_system()
plan.run(3)
said["more runs"] = from_system()
kept = torch.ones(4 * LARGE)  # more than what is left over from the run
said["outside"] = from_system()
del kept
said["before the end"] = resident()
for name in ("X", "Y", "Z"):
    ws.remove(name)
del ws, plan
gc.collect()
said["at the end"] = resident()
print(json.dumps(said))
"""


def plan_of(ws: Workspace, numbers: int, more: tuple[Op, ...] = ()) -> Plan:
    ws.feed("X", torch.ones(numbers))
    return Plan(Net("n", [Op("Elu", ["X"], ["Y"]), Op("Elu", ["Y"], ["Z"]), *more]), ws)


def test_where_memory_comes_from_and_goes_to() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["more runs"] <= said["first run"] - 90  # Y and Z come from memory that is kept
    assert said["outside"] >= said["more runs"] + 4 * 47  # outside of runs all is as usual
    assert said["at the end"] < said["before the end"] - 120  # it goes back when the plan is gone


def test_after_an_error_all_is_as_usual() -> None:
    ws = Workspace()
    ws.feed("P", torch.full((1, 2), 0.5))
    ws.feed("label", torch.tensor([1], dtype=torch.int32))
    plan = plan_of(ws, LARGE, (Op("LabelCrossEntropy", ["P", "label"], ["loss"]),))
    plan.run(2)
    ws.feed("label", torch.tensor([7], dtype=torch.int32))
    with pytest.raises(NetError):
        plan.run()
    assert heap._running == 0


def test_small_outputs_change_nothing() -> None:
    plan = plan_of(Workspace(), 1000)
    plan.run(3)
    assert not plan._large


def test_another_thread_may_ask_for_large_pieces_meanwhile() -> None:
    heap.begin()
    try:
        made: list[float] = []
        thread = threading.Thread(target=lambda: made.append(float(torch.ones(2 * LARGE).sum())))
        thread.start()
        thread.join()
    finally:
        heap.end()
    assert made == [2 * LARGE]


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({}, True),
        ({"MALLOC_ARENA_MAX": "2"}, True),
        ({"MALLOC_MMAP_MAX_": "100"}, False),
        ({"MALLOC_TRIM_THRESHOLD_": "100000"}, False),
        ({"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=128"}, False),
        ({"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}, True),
    ],
)
def test_who_has_set_it_has_the_last_word(environment: dict[str, str], kept: bool) -> None:
    assert (heap._glibc(environment) is not None) is kept
