"""caffe2.python.task and session: what runs when, what is handed back, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import builder_cases
import numpy as np
import pytest

from caffe2.python import core, schema, task, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.net_builder import ops
from caffe2.python.session import CompiledRunnable, LocalSession, Session
from caffe2.python.task import Node, SetupNets, Task, TaskGroup, WorkspaceType, final_output


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def net_of(value: int, blob: str) -> core.Net:
    net = core.Net("net")
    net.Const(value, blob_out=blob)
    return net


def test_descriptions() -> None:
    with task.Cluster() as cluster:
        described = {
            "Cluster(nodes=[], node_kwargs={})": repr(cluster),
            "Node(name=local, kwargs={})": repr(Node()),
            "Cluster(nodes=['local'], node_kwargs={'local': {}})": repr(cluster),
            "TaskGroup(tasks=[], workspace_type=None, remote_nets=[])": repr(TaskGroup()),
            "TaskOutput(names=[], values=None)": repr(task.TaskOutput([])),
            "TaskOutputList(outputs=[])": repr(task.TaskOutputList()),
            "SetupNets(init_nets=None, exit_nets=None)": repr(SetupNets()),
            "Task(name=there/job, node=there, outputs=[])": repr(
                Task(name="job", node="there", group=TaskGroup())
            ),
        }
    for expected, found in described.items():
        assert found == expected


def test_nodes() -> None:
    with task.Cluster() as cluster, TaskGroup() as group:
        with Node("a", size=1):
            Task()
        Task(node="b")
        Node("a", size=2, more=3)
    assert (cluster.nodes(), group.used_nodes()) == (["a", "b"], ["a", "b"])
    assert cluster.node_kwargs() == {"a": {"size": 1, "more": 3}, "b": {}}
    assert group.num_registered_tasks() == 2
    assert [t.name for t in group.tasks()] == ["a/task", "b/task"]


def test_outputs_have_the_form_of_what_they_were_made_from() -> None:
    with Task() as made:
        one, two = ops.Const(1), ops.Const(2)
        scalar = final_output(one)
        both = final_output([one, two])
        record = final_output(schema.Struct(("a", one), ("b", two)))
    with LocalSession() as session:
        session.run(made)
        assert scalar.fetch() == 1
        assert [int(value) for value in both.fetch()] == [1, 2]
        assert record.fetch().b() == 2
        assert str(scalar.get()) == str(one)


def test_before_and_after() -> None:
    with Task() as made:
        with ops.task_init():
            one = ops.Const(1)
        two = ops.Add([one, one])
        with ops.task_init():
            three = ops.Const(3)
        total = ops.Add([two, three])
        with ops.task_exit():
            late = final_output(ops.Add([total, one]))
        early = final_output(ops.Add([total, one]))
        ops.Add([total, one], [total])
    with LocalSession() as session:
        session.run(made)
    assert (early.fetch(), late.fetch()) == (6, 7)


def test_instances_run_together_each_in_its_own_workspace() -> None:
    meeting = threading.Barrier(4, timeout=300)
    with TaskGroup() as group, Task(num_instances=4):
        with ops.task_init():
            counter = ops.CreateCounter([], ["everybody"])
            squares = ops.CreateCounter([], ["squares"])
        with ops.task_instance_init():
            own = ops.CreateCounter([], ["own"])
        ops.Python(lambda inputs, outputs: meeting.wait() and None)([], [])
        with ops.loop(3):
            ops.CountUp(counter)
            ops.CountUp(own)
        with ops.task_instance_exit():
            count = ops.RetrieveCount(own)
            with ops.loop(ops.Mul([count, count])):
                ops.CountUp(squares)
        with ops.task_exit():
            totals = final_output([ops.RetrieveCount(counter), ops.RetrieveCount(squares)])
    with LocalSession() as session:
        session.run(group)
    assert [int(total) for total in totals.fetch()] == [12, 36]


def test_a_whole_group_runs() -> None:
    group = builder_cases.group()
    workspace.FeedBlob("o", np.zeros(1, np.float32))
    with LocalSession() as session:
        session.run(group)
    assert workspace.FetchBlob("shared") == 9


@pytest.mark.parametrize("local", [True, False])
def test_reporters_run_once_more_at_the_end(local: bool) -> None:
    seen: list[str] = []

    def say(word: str) -> Any:
        return lambda inputs, outputs: seen.append(word)

    with TaskGroup() as group, Task():
        with (ops.local_reporter if local else ops.task_reporter)(interval_ms=100_000):
            ops.Python(say("report"))([], [])
        ops.Python(say("work"))([], [])
    with LocalSession() as session:
        session.run(group)
    assert seen == ["work", "report"]


def test_setup_nets_run_once() -> None:
    init, last = net_of(1, "counter"), core.Net("last")
    last.Add(["counter", "counter"], ["counter"])
    setup = SetupNets([init], [last])
    nets = [net_of(2, "a"), net_of(3, "b")]
    for net in nets:
        net.add_attribute(Task.TASK_SETUP, setup)
    with LocalSession() as session:
        session.run(Task(step=nets))
    assert workspace.FetchBlob("counter") == 2


RUNNABLES: dict[str, Callable[[core.Net], Any]] = {
    "net": lambda net: net,
    "step": lambda net: core.execution_step("s", net),
    "task": lambda net: Task(step=net),
}


@pytest.mark.parametrize("kind", RUNNABLES)
def test_a_session_runs(kind: str) -> None:
    runnable = RUNNABLES[kind](net_of(7, "x"))
    with LocalSession() as session:
        session.run(runnable)
    assert workspace.FetchBlob("x") == 7
    assert LocalSession.compile(runnable) is LocalSession.compile(runnable)


@pytest.mark.parametrize("count", [1, 2])
def test_the_steps_of_a_plan_run_in_turn(count: int) -> None:
    plan = core.Plan("p")
    for number in range(count):
        plan.AddStep(core.execution_step(f"s{number}", net_of(number, "x")))
    LocalSession().run(plan)
    assert workspace.FetchBlob("x") == count - 1


@pytest.mark.parametrize(("kind", "stays"), [(WorkspaceType.GLOBAL, True), (WorkspaceType.PRIVATE, False)])
def test_where_blobs_live(kind: str, stays: bool) -> None:
    with TaskGroup(kind) as group, Task():
        kept = final_output(ops.Const(5))
        ops.Const(6, blob_out="other")
    ws = workspace.C.Workspace()
    LocalSession(ws).run(group)
    assert (kept.fetch(), ws.has_blob("other")) == (5, stays)
    assert not workspace.HasBlob("other")


def _used_task() -> None:
    made = Task(step=net_of(1, "x"), group=TaskGroup())
    made._notify_used()
    made.add_output("x")


def _two_steps() -> None:
    with Task(step=net_of(1, "x")):
        pass


def _late_task() -> None:
    group = TaskGroup()
    group.tasks()
    group.add(Task(step=net_of(1, "x")))


def _two_types() -> None:
    group = TaskGroup(WorkspaceType.GLOBAL)
    group.add(Task(workspace_type=WorkspaceType.PRIVATE))


def _two_reports() -> None:
    group = TaskGroup()
    group.report_net(node="n")
    group.report_net(core.Net("r"), node="n")


def _report_nowhere() -> None:
    with TaskGroup() as group:
        Task(step=net_of(1, "x"))
    group.report_step(core.Net("r"), node="nowhere")
    group.tasks_by_node()


def _other_nodes() -> None:
    with TaskGroup() as group:
        Task(step=net_of(1, "x"))
    group.tasks_by_node()
    group.tasks_by_node(lambda node: "elsewhere")


def _closed() -> None:
    session = LocalSession()
    session.close()
    session.run(net_of(1, "x"))


def _enter_closed() -> None:
    session = LocalSession()
    session.close()
    with session:
        pass


REFUSED: dict[Callable[[], Any], str] = {
    _used_task: "was used already",
    _two_steps: "has a step already",
    _late_task: "comes too late",
    _two_types: "wants workspace type 'private', its group has 'global'",
    _two_reports: "node 'n' has a report net already",
    _report_nowhere: "for node 'nowhere', which has no task",
    _other_nodes: "were put on other nodes already",
    _closed: "the session is closed",
    _enter_closed: "the session is closed.",
    lambda: LocalSession().run(None): "there is nothing to run",
    lambda: LocalSession().run(core.Plan("empty")): "plan 'empty' has no steps",
    lambda: LocalSession().run(TaskGroup("global"), "private"): "cannot run as 'private'",
    lambda: LocalSession().run(CompiledRunnable(None, Session)): "compiled for Session",
    lambda: task.TaskOutput("x").get(): "output 'x' has no value yet",
    lambda: task.TaskOutput("x").fetch(): "output 'x' cannot be fetched",
    lambda: task.TaskOutput(["x"]).set([1, 2]): "2 values were given for 1 names",
    lambda: task.TaskOutputList([task.TaskOutput("x")]).set_values([]): "0 values were given for 1 output",
}


@pytest.mark.parametrize("make", REFUSED, ids=REFUSED.values())
def test_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(MisuseError, match=REFUSED[make]):
        make()


def test_setups_return_what_can_be_run() -> None:
    class Odd:
        def setup(self, net: core.Net) -> int:
            return 3

    net = net_of(1, "x")
    net.add_attribute(Task.TASK_SETUP, Odd())
    with pytest.raises(
        TypeError, match=r"Odd.setup must return a net, a step, a list of these or None; got int"
    ):
        LocalSession().run(net)


def test_a_bare_session_runs_nothing() -> None:
    with pytest.raises(NotImplementedError, match="Session does not define _run_compiled"):
        Session().run(net_of(1, "x"))
    with pytest.raises(NotImplementedError, match="fetch_output"):
        Session().fetch_output("x")
