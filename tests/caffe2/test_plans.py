"""caffe2.python.workspace: plans and their steps."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from workspace_nets import constant, net_of

from caffe2.python import core, workspace

pytestmark = pytest.mark.usefixtures("fresh")


def count_to(blob: str = "i") -> core.Net:
    """A net that adds one to a counter."""
    net = core.Net("count")
    net.Sum([blob, "one"], blob)
    return net


@pytest.fixture
def counter() -> core.Net:
    workspace.FeedBlob("i", np.zeros(1, np.float32))
    workspace.FeedBlob("one", np.ones(1, np.float32))
    return count_to()


def total() -> float:
    return workspace.FetchBlob("i").item()


def test_steps_repeat(counter: core.Net) -> None:
    inner = core.execution_step("inner", [counter, counter], num_iter=3)
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("outer", [inner, counter], num_iter=2))
    assert workspace.RunPlan(plan) is True
    assert total() == 2 * (3 * 2 + 1)
    again = core.Plan.create_from_proto(plan.Proto())
    assert [step.Name() for step in again.Steps()] == ["outer"]
    assert workspace.RunPlan(plan.Proto().SerializeToString())


def test_steps_stop(counter: core.Net) -> None:
    counter.GE(["i", "limit"], "stop")
    workspace.FeedBlob("limit", np.full(1, 4, np.float32))
    stop = core.BlobReference("stop")
    workspace.RunPlan(core.execution_step("loop", counter, should_stop_blob=stop))
    assert total() == 4
    workspace.FeedBlob("i", np.zeros(1, np.float32))
    workspace.RunPlan(core.execution_step("loop", counter, should_stop_blob=stop, only_once=True))
    assert total() == 1


def test_steps_run_together() -> None:
    meeting = threading.Barrier(3, timeout=300)
    seen: list[str] = []

    def come(inputs: Any, outputs: Any) -> None:
        meeting.wait()
        seen.append(threading.current_thread().name)

    net = core.Net("meet")
    net.Python(come)([], [])
    one = core.execution_step("one", net)
    two = core.execution_step("two", [core.execution_step("inner", net)], num_concurrent_instances=2)
    workspace.RunPlan(core.execution_step("all", [one, two], concurrent_substeps=True))
    assert len(set(seen)) == 3


@pytest.mark.parametrize("together", [True, False])
def test_a_periodic_step_runs_at_least_once_after_the_others(counter: core.Net, together: bool) -> None:
    seen: list[float] = []
    other = core.Net("other")
    other.Python(lambda inputs, outputs: seen.append(total()))([], [])
    report = core.execution_step("report", counter, run_every_ms=100_000)
    workspace.RunPlan(core.execution_step("all", [report, other], concurrent_substeps=together))
    assert (seen, total()) == ([0], 1)


def test_report_nets(counter: core.Net) -> None:
    other = net_of(constant("x"), name="other")
    workspace.RunPlan(core.execution_step("s", other, report_net=counter, report_interval=1000))
    assert total() == 1


def test_a_step_in_a_workspace_of_its_own() -> None:
    workspace.RunPlan(core.execution_step("s", net_of(constant("x")), create_workspace=True))
    assert workspace.Blobs() == workspace.C.nets() == []


def test_a_plan_in_the_background(counter: core.Net) -> None:
    running = workspace.RunPlanInBackground(core.execution_step("s", counter))
    running._thread.join(300)
    assert running.is_done()
    assert running.is_succeeded()
    assert total() == 1


ENDING = """
import atexit, sys, threading, time

threads = []
atexit.register(lambda: print([thread for thread in threads if thread.is_alive()]))  # runs last
import numpy as np
from caffe2.python import core, workspace

busy, over = threading.Event(), threading.Event()
atexit.register(over.set)  # runs first

def work(inputs, outputs):
    threads.append(threading.current_thread())
    if len(threads) == 2:
        busy.set()
    over.wait()
    time.sleep(0.3)  # as PyTorch's code would take its time

workspace.FeedBlob("never", np.zeros(1, bool))

def endless(name, function):
    net = core.Net(name)
    net.Python(function)([], [])
    return core.execution_step("s" + name, net, should_stop_blob=core.BlobReference("never"))

steps = [endless("a", work), endless("b", work)]
running = workspace.RunPlanInBackground(core.execution_step("both", steps, concurrent_substeps=True))
busy.wait()
threads.append(running._thread)
sys.exit(3)
"""


def test_a_plan_in_the_background_ends_before_python_does() -> None:
    """A thread that is in PyTorch's code when Python goes would abort the process."""
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (3, "[]\n", "")


def test_an_interrupt_ends_the_steps_that_run_together() -> None:
    """Ctrl-C comes to the main thread, which waits for them."""

    def interrupt(inputs: Any, outputs: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    net = core.Net("interrupt")
    net.Python(interrupt)([], [])
    workspace.FeedBlob("never", np.zeros(1, bool))
    steps = [core.execution_step("once", net)]
    for name in ("a", "b"):
        other = net_of(constant(name), name=name)
        steps.append(core.execution_step(name, other, should_stop_blob=core.BlobReference("never")))
    with pytest.raises(KeyboardInterrupt):
        workspace.RunPlan(core.execution_step("all", steps, concurrent_substeps=True))


def test_a_failing_substep_ends_the_others_and_is_raised() -> None:
    def fail(inputs: Any, outputs: Any) -> None:
        raise OSError("no disk")

    bad = core.Net("bad")
    bad.Python(fail)([], [])
    workspace.FeedBlob("never", np.zeros(1, bool))
    endless = core.execution_step(
        "endless", net_of(constant("x"), name="other"), should_stop_blob=core.BlobReference("never")
    )
    with pytest.raises(OSError, match="no disk"):
        workspace.RunPlan(
            core.execution_step("all", [core.execution_step("b", bad), endless], concurrent_substeps=True)
        )
