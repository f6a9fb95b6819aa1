"""The prefetcher: the source's order, its errors, and no thread left behind."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from freshpot.data.prefetch import Prefetcher
from freshpot.errors import DataError

#: of nets and readers that other tests left for the garbage collector
_before: set[threading.Thread] = set()


def threads() -> set[threading.Thread]:
    """Prefetching threads that this test began."""
    return {thread for thread in threading.enumerate() if thread.name == "freshpot-prefetch"} - _before


@pytest.fixture(autouse=True)
def _only_our_own_threads() -> None:
    _before.clear()
    _before.update(thread for thread in threading.enumerate() if thread.name == "freshpot-prefetch")


@pytest.mark.parametrize("depth", [1, 2, 50])
def test_items_come_in_order_and_end(depth: int) -> None:
    prefetcher = Prefetcher(range(20), depth)
    assert list(prefetcher) == list(range(20))
    assert list(prefetcher) == []
    prefetcher.close()
    assert not threads()


def test_it_stays_depth_items_ahead() -> None:
    made = []

    def source() -> Iterator[int]:
        for item in itertools.count():
            made.append(item)
            yield item

    with Prefetcher(source(), depth=3) as prefetcher:
        assert next(prefetcher) == 0
        until = time.monotonic() + 300
        while len(made) < 5:
            assert time.monotonic() < until
            time.sleep(0.001)
        time.sleep(0.05)  # for more, if more came
        assert made == [0, 1, 2, 3, 4]  # one taken, three waiting, one that waits for room
    assert not threads()


def test_an_error_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    prefetcher = Prefetcher(source())
    assert next(prefetcher) == 1
    for _ in range(2):
        with pytest.raises(KeyError, match="lost"):
            next(prefetcher)


def test_closing_ends_the_iteration() -> None:
    prefetcher = Prefetcher(itertools.count())
    next(prefetcher)
    prefetcher.close()
    prefetcher.close()
    assert list(prefetcher) == []


def test_garbage_collection_ends_the_thread() -> None:
    prefetcher = Prefetcher(itertools.count())
    next(prefetcher)
    assert threads()
    del prefetcher
    gc.collect()
    assert not threads()


def test_a_waiting_consumer_is_freed_by_close() -> None:
    waiting, made = threading.Event(), threading.Event()

    def source() -> Iterator[int]:
        made.wait(300)
        yield 1

    prefetcher = Prefetcher(source())
    line = prefetcher._line
    wait, stop = line._changed.wait, line.drop
    line._changed.wait = lambda timeout=None: waiting.set() or wait(timeout)  # type: ignore[func-returns-value]
    line.drop = lambda: stop() or made.set()  # type: ignore[func-returns-value, method-assign]
    found: list[object] = []
    consumer = threading.Thread(target=lambda: found.append(next(prefetcher, "end")))
    consumer.start()
    assert waiting.wait(300)
    prefetcher.close()
    consumer.join(300)
    assert found == ["end"]


@pytest.mark.parametrize(
    "source",
    ["itertools.count()", "iter(lambda: time.sleep(0.01), 1)", "range(1)"],
    ids=["busy", "slow", "done"],
)
def test_the_interpreter_exits(source: str) -> None:
    program = (
        "import itertools, time; from freshpot.data.prefetch import Prefetcher\n"
        f"p = Prefetcher({source}); next(p); print('ok')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


LEAVING = """
import atexit, threading, time

atexit.register(lambda: print([thread.is_alive() for thread in threads]))  # runs last
from freshpot.data import prefetch

prefetch._PATIENCE_S = 0.0  # a prefetcher that goes does not wait for its thread
atexit.register(lambda: over.set())  # runs first
over, threads = threading.Event(), []

def source(busy):
    yield 0
    busy.set()
    over.wait()
    time.sleep(0.3)  # as PyTorch's code would take its time
    yield 1

for i in range(2):
    busy = threading.Event()
    last = prefetch.Prefetcher(source(busy))
    threads.append(last._thread)
    next(last)
    busy.wait()
raise SystemExit(0)
"""


def test_all_threads_end_before_python_does() -> None:
    """Also those of prefetchers that are gone: a thread that is in PyTorch's code then would abort the process."""
    done = subprocess.run([sys.executable, "-c", LEAVING], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[False, False]\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_is_told() -> None:
    program = (
        "import itertools, os, warnings; from freshpot.data.prefetch import Prefetcher\n"
        "warnings.simplefilter('ignore')\n"
        "p = Prefetcher(range(100), 1); next(p)\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    try: list(p)\n"
        "    except Exception as error: print(type(error).__name__, error, flush=True)\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0); p.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.startswith("DataError the prefetching thread is gone")


def test_depth_must_be_positive() -> None:
    with pytest.raises(DataError, match="depth 0: a prefetcher holds 1 item at least"):
        Prefetcher(range(3), 0)
