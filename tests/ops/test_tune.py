"""Choosing between kernels by timing: what is remembered, what is ignored, what switches it off."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from freshpot.ops import _tune


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, forgotten afterwards."""
    monkeypatch.setenv("FRESHPOT_CACHE", str(tmp_path))
    monkeypatch.setenv("FRESHPOT_AUTOTUNE", "1")
    _tune._memory.cache_clear()
    yield tmp_path
    _tune._memory.cache_clear()


class Clock:
    """A clock that goes on by what the ways are said to take, whatever else the machine does."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    thread_time = perf_counter


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "now", 0.0)
    monkeypatch.setattr(_tune, "time", Clock())


def ways(log: list[str]) -> dict[str, Callable[[], None]]:
    def way(name: str, seconds: float) -> None:
        log.append(name)
        Clock.now += seconds

    return {"slow": lambda: way("slow", 0.02), "fast": lambda: way("fast", 0.01)}


def test_the_fastest_is_chosen_and_remembered(cache: Path) -> None:
    log: list[str] = []
    assert _tune.choose("job", ways(log)) == "fast"
    assert {"slow", "fast"} == set(log)
    log.clear()
    assert _tune.choose("job", ways(log)) == "fast"
    assert not log


def test_the_file_is_read_by_the_next_process(cache: Path) -> None:
    _tune.choose("job", ways([]))
    _tune._memory.cache_clear()
    log: list[str] = []
    assert _tune.choose("job", ways(log)) == "fast"
    assert not log


def test_two_processes_keep_both_choices(cache: Path) -> None:
    one, other = (_tune._Memory(cache / "choices.json") for _ in range(2))
    one.remember("a", "x")
    other.remember("b", "y")
    assert json.loads((cache / "choices.json").read_bytes()) == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    "damaged", [b"", b"{", b"[1]", b'{"job": 3}', b'{"job": "gone"}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_damaged_file_is_no_choice(cache: Path, damaged: bytes) -> None:
    path = _tune._memory(_tune.torch.get_num_threads())._path
    path.parent.mkdir(parents=True)
    path.write_bytes(damaged)
    _tune._memory.cache_clear()
    assert _tune.choose("job", ways([])) == "fast"


def test_switched_off_the_first_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHPOT_AUTOTUNE", "0")
    log: list[str] = []
    assert _tune.choose("job", ways(log)) == "slow"
    assert not log


def test_verbose_says_what_was_chosen(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHPOT_AUTOTUNE", "verbose")
    _tune.choose("job", ways([]))
    assert "job: fast (slow 20.000 ms, fast 10.000 ms)" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_said(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / "file").write_text("")
    memory = _tune._Memory(cache / "file" / "choices.json")
    memory.remember("a", "x")
    assert "the choices of kernels are not kept" in capsys.readouterr().err
