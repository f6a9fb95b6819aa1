"""caffe2.python.parallel_workers and data_workers: batches from functions that run in threads."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, data_workers, parallel_workers, workspace
from freshpot.errors import KernelError


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(parallel_workers, "_PATIENCE", 300.0)  # on a busy machine threads take long to end
    workspace.ResetWorkspace()
    yield
    assert data_workers.global_coordinator.stop()
    assert parallel_workers.global_coordinator.stop()
    data_workers.global_coordinator._queues.clear()
    workspace.ResetWorkspace()


class Counting:
    """Arrays that count their samples: data of two columns, and the number as label."""

    def __init__(self, *sizes: int) -> None:
        self.sizes, self.calls, self.next = sizes, 0, 0

    def __call__(self, worker_id: int, batch_size: int) -> list[np.ndarray]:
        count = self.sizes[self.calls % len(self.sizes)]
        labels = np.arange(self.next, self.next + count, dtype=np.int32)
        self.next += count
        self.calls += 1
        return [np.repeat(labels[:, None], 2, axis=1).astype(np.float32), labels]


def batches(fetch: Any, count: int, **options: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the net sees in ``count`` runs."""
    net = core.Net("reader")
    options = {"batch_size": 4, "num_worker_threads": 1, "timeout": 300, **options}
    coordinator = data_workers.init_data_input_workers(net, ["data", "label"], fetch, **options)
    workspace.CreateNet(net)
    coordinator.start()
    seen = []
    for _ in range(count):
        workspace.RunNet(net)
        seen.append((workspace.FetchBlob("data"), workspace.FetchBlob("label")))
    return seen


@pytest.mark.parametrize("sizes", [(4,), (1, 2), (3, 11)], ids=str)
def test_batches_are_whole_and_in_order(sizes: tuple[int, ...]) -> None:
    for i, (data, label) in enumerate(batches(Counting(*sizes), 6)):
        assert label.tolist() == list(range(4 * i, 4 * i + 4))
        np.testing.assert_array_equal(data, np.repeat(label[:, None], 2, axis=1))


def test_other_columns_count_samples() -> None:
    counting = Counting(3)

    def fetch(worker_id: int, batch_size: int) -> list[np.ndarray]:
        data, label = counting(worker_id, batch_size)
        return [data.T.copy(), label]

    for data, label in batches(fetch, 3, batch_columns=[1, 0]):
        assert data.shape == (2, 4)
        np.testing.assert_array_equal(data[0], label)


def test_batches_as_they_are() -> None:
    assert [len(label) for _, label in batches(Counting(3, 5), 4, dont_rebatch=True)] == [3, 5, 3, 5]


def test_several_threads_and_loggers() -> None:
    logged: list[dict[str, float]] = []

    class Kept:
        def log(self, numbers: dict[str, float]) -> None:
            logged.append(dict(numbers))

    lock, counting = threading.Lock(), Counting(2)

    def fetch(worker_id: int, batch_size: int) -> list[np.ndarray]:
        with lock:
            return counting(worker_id, batch_size)

    seen = batches(fetch, 20, num_worker_threads=3, external_loggers=[Kept()])
    labels = np.concatenate([label for _, label in seen])
    assert len(set(labels.tolist())) == 80
    assert data_workers.global_coordinator.stop()
    assert {"inputs_per_sec", "queue_size", "enqueue_time", "fetcher_time_count"} <= set().union(*logged)


def test_another_batch_size() -> None:
    batches(Counting(2), 1)
    other = core.Net("other")
    data_workers.global_coordinator.reset_data_input("", "train", other, 6)
    workspace.CreateNet(other)
    sizes = []
    for _ in range(8):
        workspace.RunNet(other)
        sizes.append(len(workspace.FetchBlob("label")))
    assert sizes[-1] == 6


BAD: dict[str, Any] = {
    "returned 1 arrays, expected 2": [np.zeros(2)],
    "returned list, expected numpy arrays": [np.zeros(2), [0, 0]],
    r"different numbers of samples: \[2, 3\]": [np.zeros(2), np.zeros(3)],
}


@pytest.mark.parametrize("message", BAD)
def test_wrong_results_end_the_source(message: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KernelError, match="is closed and empty"):
        batches(lambda worker_id, batch_size: BAD[message], 1)
    assert re.search(message, caplog.text)


def test_a_source_that_gives_nothing(caplog: pytest.LogCaptureFixture) -> None:
    pause, again, calls = threading.Event(), threading.Event(), []

    def nothing(worker_id: int, batch_size: int) -> None:
        if calls:
            again.set()
        calls.append(1)
        pause.wait(0.01)

    with pytest.raises(KernelError, match=r"gave nothing for 0\.2"):
        batches(nothing, 1, timeout=0.2)
    assert again.wait(300)
    assert "returned None" in caplog.text


# ---- parallel_workers ------------------------------------------------------------------------------
def test_workers_run_until_they_are_stopped() -> None:
    ids: set[int] = set()
    both = threading.Event()
    calls: list[str] = []

    def work(worker_id: int) -> None:
        ids.add(worker_id)
        if len(ids) == 2:
            both.set()

    coordinator = parallel_workers.init_workers(
        work,
        worker_name="mine",
        init_fun=lambda own, everybody: calls.append("init"),
        shutdown_fun=lambda: calls.append("shutdown"),
    )
    coordinator.start()
    assert both.wait(300)
    coordinator.stop_coordinator("mine")
    assert calls == ["init", "shutdown"]
    assert ids <= set(coordinator.get_worker_ids())


def test_a_failing_worker_ends_its_own_kind(caplog: pytest.LogCaptureFixture) -> None:
    ended = threading.Event()

    def work(worker_id: int) -> None:
        raise ZeroDivisionError("by nothing")

    coordinator = parallel_workers.init_workers(work, num_worker_threads=1, shutdown_fun=ended.set)
    with caplog.at_level(logging.ERROR):
        coordinator.start()
        assert ended.wait(300)
        assert coordinator.stop()
    assert "Exception in worker" in caplog.text
    assert "by nothing" in caplog.text
