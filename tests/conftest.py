"""Fixtures shared by every test, and a guard: no test may leave anything behind.

A test that leaves a file in the working folder or in the repository, or that goes elsewhere and stays there,
fails by name; what is written deeper in the repository fails the run.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from freshpot.data.cache import cache_folder

if TYPE_CHECKING:
    from far_device import Traffic
    from far_graph import FarRecorder

if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # One of several processes on the same cores: choices of kernels of its own, or another process changes them
    # between two runs that must agree; and threads that have nothing to do sleep instead of looking for work.
    os.environ["FRESHPOT_CACHE"] = str(cache_folder(f"tests-{_worker}"))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Examples are the same in every run, however slow the machine is; `--hypothesis-profile=explore` draws others.
_PATIENT: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("steady", derandomize=True, database=None, **_PATIENT)
hypothesis.settings.register_profile("explore", derandomize=False, database=None, **_PATIENT)
hypothesis.settings.load_profile("steady")

# A shell starts what runs in the background with Ctrl-C ignored, and so would be what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
#: what Python and the tools that check the code may make anywhere
CACHES = {"__pycache__", ".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv"}

_BEFORE = pytest.StashKey[set[str]]()


def find_shared() -> Path | None:
    """The folder with reference data: ``FRESHPOT_SHARED``, else ``shared`` beside the repository."""
    named = os.environ.get("FRESHPOT_SHARED")
    beside = Path(named) if named else ROOT.parent / "shared"
    return beside if (beside / "reference").is_dir() else None


SHARED = find_shared()
WHY_SKIPPED = "reference data not found: put it in ../shared or name its folder in FRESHPOT_SHARED"
needs_shared = pytest.mark.skipif(SHARED is None, reason=WHY_SKIPPED)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference data, or skip the test."""
    if SHARED is None:
        pytest.skip(WHY_SKIPPED)
    return SHARED


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traffic]:
    """A GPU made of CPU tensors; what goes there and back.

    Small products are left to PyTorch on both sides, so that results may be compared bit by bit.
    """
    from far_device import far_device
    from freshpot.ops import _memory

    monkeypatch.setattr(_memory, "SMALL_PRODUCT", -1)
    with far_device(monkeypatch) as traffic:
        yield traffic


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, traffic: Traffic) -> Iterator[FarRecorder]:
    """What that GPU records and replays."""
    from far_graph import far_graphs

    with far_graphs(monkeypatch, traffic) as recorder:
        yield recorder
        assert recorder.lost == 0


def _listing() -> set[str]:
    """What lies in the repository and in the working folder, at the top."""
    places = {str(ROOT), os.getcwd()}
    return {os.path.join(place, name) for place in places for name in os.listdir(place) if name not in CACHES}


def _files() -> set[str]:
    """Every file of the repository."""
    found = set()
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in CACHES and not name.endswith(".egg-info")]
        found |= {os.path.join(folder, name) for name in names}
    return found


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    """No test leaves files in the working folder or goes elsewhere and stays there."""
    here, before = os.getcwd(), _listing()
    yield
    stays = os.getcwd()
    os.chdir(here)
    assert stays == here, f"the test went to {stays} and stayed there: use monkeypatch.chdir"
    left = sorted(_listing() - before)
    assert not left, f"the test left {left} behind: write to tmp_path"


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_BEFORE] = _files()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The run fails if there is a file in the repository that was not there before."""
    left = sorted(_files() - session.config.stash[_BEFORE])
    if left and not hasattr(
        session.config, "workerinput"
    ):  # said once, where several processes run the tests
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for path in left:
            reporter.write_line(
                f"left behind in the repository, by a test or by you meanwhile: {path}", red=True
            )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
