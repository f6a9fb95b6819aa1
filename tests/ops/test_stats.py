"""Statistics that operators add to."""

from __future__ import annotations

import time

import numpy as np
import pytest

from caffe2.python import core, workspace
from freshpot.errors import ArgumentError, DTypeError, NetError, ShapeError
from freshpot.ops.io import stats


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without statistics."""
    monkeypatch.setattr(stats.PROCESS, "_sums", {})
    workspace.ResetWorkspace()
    workspace.FeedBlob("k", np.array(["a", "b"], object))
    workspace.FeedBlob("v", np.array([[1], [2]]))


def run(type_: str, inputs: list[str], outputs: list[str], **args: int) -> None:
    workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs, **args))


def exported() -> tuple[list[bytes], list[int]]:
    return workspace.FetchBlob("ks").tolist(), workspace.FetchBlob("vs").tolist()


def test_a_registry_of_its_own() -> None:
    run("StatRegistryCreate", [], ["r"])
    assert workspace.FetchBlob("r").endswith(b"type std::unique_ptr<caffe2::StatRegistry>.")
    for _ in range(2):
        run("StatRegistryUpdate", ["k", "v", "r"], [])
    run("StatRegistryExport", ["r"], ["ks", "vs", "ts"], reset=0)
    assert exported() == ([b"b", b"a"], [4, 2])
    assert all(abs(t - time.time_ns()) < 3600e9 for t in workspace.FetchBlob("ts").tolist())
    run("StatRegistryExport", ["r"], ["ks", "vs", "ts"])
    run("StatRegistryExport", ["r"], ["ks", "vs", "ts"])
    assert exported() == ([b"b", b"a"], [0, 0])
    assert workspace.GetStats() == {}


def test_the_registry_of_the_process_outlives_workspaces() -> None:
    run("StatRegistryUpdate", ["k", "v"], [])
    workspace.ResetWorkspace()
    assert workspace.GetStats() == {"a": 1, "b": 2}
    run("StatRegistryExport", [], ["ks", "vs", "ts"])
    assert workspace.GetStats() == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (["k", "three"], ShapeError, "there are 2 keys and 3 values."),
        (["k", "v", "k"], ArgumentError, "handle must hold a registry; make it with StatRegistryCreate."),
        (["v", "v"], DTypeError, "input keys must be string, but blob 'v' is int64"),
    ],
)
def test_refusals(inputs: list[str], error: type[NetError], words: str) -> None:
    workspace.FeedBlob("three", np.array([1, 2, 3]))
    with pytest.raises(error, match=words):
        run("StatRegistryUpdate", inputs, [])
    assert workspace.GetStats() == {}
