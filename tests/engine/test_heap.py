"""Memory for large outputs is used again while plans run, and the system has it back afterwards."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path

import pytest
import torch

from freshpot.engine import Plan, Workspace, heap
from freshpot.errors import NetError
from freshpot.net import Net, Op

pytestmark = pytest.mark.skipif(heap._library() is None, reason="the C library is not glibc")

#: numbers of a tensor of 48 MB
LARGE = 12 << 20
MB = 1 << 20


class _Info(ctypes.Structure):
    """What ``mallinfo2`` tells (malloc.h)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def from_system() -> int:
    """MB that were taken from the system a piece at a time."""
    info = heap._library().mallinfo2
    info.restype = _Info
    return int(info().hblkhd) // MB


def resident() -> int:
    """MB that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // MB


def plan_of(ws: Workspace, numbers: int, more: tuple[Op, ...] = ()) -> Plan:
    ws.feed("X", torch.ones(numbers))
    return Plan(Net("n", [Op("Elu", ["X"], ["Y"]), Op("Elu", ["Y"], ["Z"]), *more]), ws)


def test_large_outputs_come_from_memory_that_is_kept() -> None:
    ws = Workspace()
    plan = plan_of(ws, LARGE)
    plan.run()
    first = from_system()
    plan.run(3)
    assert from_system() <= first - 90  # Y and Z


def test_outside_of_runs_all_is_as_usual() -> None:
    plan = plan_of(Workspace(), LARGE)
    plan.run(3)
    before = from_system()
    kept = torch.ones(4 * LARGE)  # more than what is left over from the run
    assert from_system() >= before + 4 * 47
    del kept


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


def test_memory_goes_back_when_the_plan_is_gone() -> None:
    ws = Workspace()
    plan = plan_of(ws, LARGE)
    plan.run(3)
    before = resident()
    for name in ("X", "Y", "Z"):
        ws.remove(name)
    del ws, plan
    gc.collect()
    assert resident() < before - 120


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
