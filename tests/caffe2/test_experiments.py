"""What trainings and tests of programs use: test_util, experiment_util, timeout_guard."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, test_util, workspace
from caffe2.python.experiment_util import ExternalLogger, ModelTrainerLog
from caffe2.python.timeout_guard import CompleteInTimeOrDie


# ---- test_util -------------------------------------------------------------------------------------
def test_random_arrays() -> None:
    for shape in ((), (3,), (2, 4)):
        array = test_util.rand_array(*shape)
        assert (array.shape, array.dtype) == (shape, np.float32)
        assert (np.abs(array) <= 0.5).all()
    test_util.randBlobsFloat32(["a", "b"], 2, 3, offset=10.0)
    assert all(workspace.FetchBlob(name).min() >= 10 for name in "ab")
    test_util.randBlob("c", np.float64, 5)
    assert workspace.FetchBlob("c").dtype == np.float64


def test_small_helpers() -> None:
    net = core.Net("n")
    net.Relu("x", "y")
    assert test_util.numOps(net) == 1
    assert test_util.str_compare(b"a", "a")
    assert not test_util.str_compare("a", "b")


class _Cases(test_util.TestCase):
    __test__ = False  # run by test_test_cases

    def test_plain(self) -> None:
        assert workspace.Blobs() == []
        workspace.FeedBlob("left", np.ones(1))

    @test_util.caffe2_flaky
    def test_flaky(self) -> None:
        workspace.FeedBlob("left", np.ones(1))


@pytest.mark.parametrize(("flaky", "skipped"), [("0", "test_flaky"), ("1", "test_plain")])
def test_test_cases(flaky: str, skipped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFFE2_RUN_FLAKY_TESTS", flaky)
    workspace.FeedBlob("before", np.ones(1))
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(_Cases).run(result)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])
    assert [case._testMethodName for case, _ in result.skipped] == [skipped]
    assert workspace.Blobs() == []


# ---- experiment_util -------------------------------------------------------------------------------
class _Kept(ExternalLogger):
    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def set_runtime_args(self, runtime_args: dict[str, Any]) -> None:
        self.seen.append(runtime_args)

    def log(self, log_dict: dict[str, Any]) -> None:
        self.seen.append(log_dict)
        if log_dict["cumulative_batch_count"] == 2:
            raise OSError("disk full")


@pytest.mark.parametrize("args", [{"lr": 0.1}, argparse.Namespace(lr=0.1)], ids=["dict", "namespace"])
def test_logs(
    args: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    other = _Kept()
    log = ModelTrainerLog("mine", args, [other])
    log.log(100, 1, {"loss": 0.5, "accuracy": 0.9})
    with caplog.at_level(logging.WARNING):
        log.log(250, 2, {"loss": 0.4, "accuracy": 0.8})
    assert "external logger _Kept failed: disk full" in caplog.text
    first, header, *rows = Path(log.filename).read_text(encoding="utf-8").splitlines()
    assert (first, log.experiment_id[:5]) == (f"# {args}", "mine_")
    names = "time_spent cumulative_time_spent input_count cumulative_input_count cumulative_batch_count"
    assert header.split(",") == [*names.split(), "inputs_per_sec", "accuracy", "loss"]
    assert [row.split(",")[2:5] for row in rows] == [["100", "100", "1"], ["150", "250", "2"]]
    assert set(other.seen[0]) == {"lr", "experiment_id", "hostname"}
    assert other.seen[2]["loss"] == 0.4


def test_log_without_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ModelTrainerLog("alone", None).log(1, 1, {})
    assert len(list(tmp_path.glob("alone_*.log"))) == 1


# ---- timeout_guard ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "start", ["with t.CompleteInTimeOrDie(0.2):", "t.EuthanizeIfNecessary(0.2)\nif True:"]
)
def test_late_programs_are_interrupted(start: str) -> None:
    code = f"import time, caffe2.python.timeout_guard as t\n{start}\n  time.sleep(60)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode != 0
    assert "Call did not finish in time. Timeout:0.2s" in ended.stderr
    assert "KeyboardInterrupt" in ended.stderr
    assert "# ThreadID:" in ended.stdout


def test_programs_in_time_are_left_alone() -> None:
    with CompleteInTimeOrDie(60):
        pass
    with pytest.raises(ZeroDivisionError), CompleteInTimeOrDie(60):
        raise ZeroDivisionError
