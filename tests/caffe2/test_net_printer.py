"""caffe2.python.net_printer: text as the original printed it, and what its check finds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import builder_cases
import numpy as np
import pytest

from caffe2.python import core, net_printer, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.net_builder import ops
from caffe2.python.task import Task, TaskGroup, WorkspaceType

HERE = Path(__file__).parent
PRINT = (
    "import builder_cases, sys; from caffe2.python import net_printer;"
    "make, options = builder_cases.CASES[sys.argv[1]];"
    "print(net_printer.to_string(make(), **options))"
)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


@pytest.mark.parametrize("name", builder_cases.CASES)
def test_text_is_the_originals(name: str) -> None:
    # a process of its own: names of nets and steps depend on those that were used before
    command = [sys.executable, "-c", PRINT, name]
    printed = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True).stdout
    assert printed == (HERE / "printed" / f"{name}.txt").read_text(encoding="utf-8")


def test_only_what_can_be_run_is_printed() -> None:
    with pytest.raises(TypeError, match="Printer: unsupported object type: int"):
        net_printer.to_string(3)
    assert net_printer.to_string(None) == ""


def test_a_type_of_the_programs_own() -> None:
    class Mine:
        pass

    @net_printer.Printer.register(Mine)
    def show(text: net_printer.Printer, mine: Mine) -> None:
        with text.context("mine"):
            pass

    assert net_printer.to_string(Mine()) == "with mine:\n    pass"
    with pytest.raises(MisuseError, match="already registered"):
        net_printer.Printer.register(Mine)


CALLS: list[tuple[tuple[object, ...], dict[str, bool], str]] = [
    (("f",), {}, "f()"),
    (("f", ["a", ("k", 1)]), {}, "f(a, k=1)"),
    (("f", [("k", 1)], ["y"]), {}, "y = f(k=1)"),
    (("f", ["x_a", "x_b"], ["y"]), {"factor_prefixes": True}, "y = f(x_[a, b])"),
    (("f", [["a", "b"], []]), {}, "f(['a', 'b'], [])"),
]


@pytest.mark.parametrize(("args", "options", "text"), CALLS)
def test_calls(args: tuple[object, ...], options: dict[str, bool], text: str) -> None:
    assert net_printer.call(*args, **options) == text


def test_debug_net_runs_and_prints_each_operator(capfd: pytest.CaptureFixture[str]) -> None:
    net = core.Net("n")
    net.Relu("x", "y")
    debug = net_printer.debug_net(net)
    workspace.FeedBlob("x", np.array([-1, 2], np.float32))
    workspace.RunNetOnce(debug)
    assert workspace.FetchBlob("y").tolist() == [0, 2]
    assert "y = Relu(x)" in capfd.readouterr().err
    with pytest.raises(MisuseError, match="debug_net wants a Net, got str"):
        net_printer.debug_net("n")


def _reads_nothing() -> None:
    with Task():
        ops.Add(["a", "b"])


def _writes_twice() -> None:
    for _ in range(2):
        with Task(workspace_type=WorkspaceType.GLOBAL):
            ops.Const(0, blob_out="out")


def _later_than_read() -> None:
    with Task():
        ops.Copy("late")
        ops.Const(1, blob_out="late")


BAD: dict[str, tuple[Callable[[], None], str]] = {
    "undefined": (_reads_nothing, "Blob undefined: a"),
    "twice": (_writes_twice, "run at the same time write the same: .*out"),
    "late": (_later_than_read, "Blob undefined: late"),
}


@pytest.mark.parametrize("name", BAD)
def test_analyze_finds(name: str) -> None:
    make, message = BAD[name]
    with TaskGroup() as group:
        make()
    with pytest.raises(AssertionError, match=message):
        net_printer.analyze(group)


def test_analyze_accepts() -> None:
    with TaskGroup() as group:
        builder_cases.loops()
        with Task(num_instances=2):
            ops.Add(["distributed_ctx_init_a", "distributed_ctx_init_b"])
            with ops.task_init():
                one = ops.Const(1)
            ops.Copy(one)
    net_printer.analyze(group)
    with pytest.raises(TypeError, match="Analyzer: unsupported object type"):
        net_printer.analyze("group")
    with pytest.raises(MisuseError, match="analyze a task or a task group"):
        net_printer.analyze(builder_cases.plain_net())
