"""Pinned memory: what arrives is what was sent, buffers are written to again only when they have been read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from far_device import FAR, FarPort, Traffic
from freshpot.data import pinned
from freshpot.data.pinned import Pinned, Pinner, copy_to, on_device, to_device
from freshpot.data.prefetch import Prefetcher

CPU = torch.device("cpu")


@pytest.fixture
def port(traffic: Traffic, monkeypatch: pytest.MonkeyPatch) -> FarPort:
    port = FarPort()
    monkeypatch.setattr(pinned, "port_for", lambda device: port if device.type == "cuda" else None)
    return port


def batches(count: int = 20, start: int = 0) -> list[list[np.ndarray]]:
    return [[np.full((2, 3), i, np.float32), np.array([i, i], np.int32)] for i in range(start, start + count)]


def seen(made: list[Any], port: FarPort) -> list[Any]:
    port.run(len(port._queue))
    return [[tensor.cpu().tolist() for tensor in batch] for batch in made]


def wanted(given: list[list[np.ndarray]]) -> list[Any]:
    return [[array.tolist() for array in batch] for batch in given]


# ---- now and then ----------------------------------------------------------------------------------
def test_what_is_uploaded_now_and_then(port: FarPort, traffic: Traffic) -> None:
    """The source may change at once; the first of a shape is copied as ever, two buffers serve the others."""
    source, made = torch.zeros(4), []
    for i in range(12):
        source.fill_(i)
        made.append(to_device(source, FAR))
        if i == 0:
            traffic.waits = 0
    assert [batch[0] for batch in seen([[t] for t in made], port)] == [[i] * 4 for i in range(12)]
    assert port.pinned == 2
    assert traffic.uploads == 12


def test_nothing_waits_from_the_second_time_on(port: FarPort, traffic: Traffic) -> None:
    to_device(torch.zeros(4), FAR)
    traffic.waits = 0
    for _ in range(5):
        to_device(torch.zeros(4), FAR)
    assert traffic.waits == 0


def test_copies_to_a_tensor_that_is_there(port: FarPort) -> None:
    source, target = torch.zeros(4), torch.zeros(4).to(FAR)
    for i in range(8):
        source.fill_(i)
        copy_to(target, source)
        source.fill_(-1)
    port.run(len(port._queue))
    assert target.cpu().tolist() == [7] * 4


def test_large_and_empty_tensors_are_copied_as_ever(port: FarPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "_MOST", 100)
    for source in (torch.zeros(101), torch.zeros(0)):
        for _ in range(3):
            assert to_device(source, FAR).cpu().tolist() == source.tolist()
    assert port.pinned == 0


def test_buffers_of_old_shapes_are_let_go(port: FarPort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "_MOST_IN_ALL", 1000)
    made = [to_device(torch.full((n,), float(n)), FAR) for n in range(50, 90) for _ in range(4)]
    assert seen([[t] for t in made], port) == [[[float(n)] * n] for n in range(50, 90) for _ in range(4)]
    assert next(iter(pinned._buffers[FAR, port]._known))[0][0] > 80


def test_without_a_gpu_nothing_is_pinned(traffic: Traffic) -> None:
    source = torch.ones(3)
    assert to_device(source, CPU) is source
    assert to_device(source, FAR).cpu().tolist() == [1, 1, 1]


# ---- in the background -------------------------------------------------------------------------------
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_batches_arrive_in_order_through_few_buffers(depth: int, port: FarPort, traffic: Traffic) -> None:
    pinner = Pinner(batches(60))
    pinner.serve(FAR)
    with Prefetcher(pinner, depth) as prefetcher:
        made = [on_device(batch, FAR) for batch in prefetcher]
    assert traffic.waits == 0
    assert seen(made, port) == wanted(batches(60))
    assert port.pinned <= 2 * (depth + 3)


def test_batches_follow_the_device(port: FarPort) -> None:
    """Those on their way when it changes come as they were made, and arrive all the same."""
    pinner, made = Pinner(batches(30)), []
    with Prefetcher(pinner, 2) as prefetcher:
        for i, batch in enumerate(prefetcher):
            device = FAR if 5 <= i < 15 or i >= 22 else CPU
            pinner.serve(device)
            made.append(on_device(batch, device))
            assert {tensor.device for tensor in made[-1]} == {device}
    assert seen(made, port) == wanted(batches(30))


def test_batches_that_nobody_uploads(port: FarPort) -> None:
    """As when training goes on from a snapshot."""
    pinner = Pinner(batches(20))
    pinner.serve(FAR)
    with Prefetcher(pinner, 2) as prefetcher:
        for _ in range(9):
            assert isinstance(next(prefetcher), Pinned)
        made = [on_device(batch, FAR) for batch in prefetcher]
    assert seen(made, port) == wanted(batches(11, 9))


def test_text_and_read_only_arrays(port: FarPort) -> None:
    numbers = np.arange(3.0)
    numbers.flags.writeable = False
    words = np.array([b"a", b"b"], object)
    pinner = Pinner([[numbers, words, np.zeros((0, 2))]] * 3)
    for device in (CPU, FAR):
        pinner.serve(device)
        for batch in pinner:
            found = on_device(batch, device)
            port.run(len(port._queue))
            assert found[0].cpu().tolist() == [0, 1, 2]
            assert found[1] is words
            assert found[2].shape == (0, 2)


def test_the_port_of_these_tests_notices_early_writes(port: FarPort) -> None:
    memory = port.memory((2,), torch.float32).fill_(1)
    _, event = port.upload(memory)
    memory.fill_(2)
    with pytest.raises(AssertionError, match="before it was read"):
        event.synchronize()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch can use")
def test_batches_arrive_on_cuda() -> None:
    """Also while the GPU is busy, and buffers are used again and again."""
    pinner, busy = Pinner(batches(200)), torch.randn(2000, 2000, device="cuda")
    pinner.serve(FAR)
    made = []
    with Prefetcher(pinner, 2) as prefetcher:
        for batch in prefetcher:
            busy = (busy @ busy).clamp_(-1, 1)
            made.append(on_device(batch, FAR))
    assert [[t.cpu().tolist() for t in batch] for batch in made] == wanted(batches(200))
    source, target = torch.zeros(4), torch.zeros(4, device="cuda")
    for i in range(50):
        busy = (busy @ busy).clamp_(-1, 1)
        copy_to(target, source.fill_(i))
        assert target.cpu().tolist() == [i] * 4
        assert to_device(source, FAR).cpu().tolist() == [i] * 4
