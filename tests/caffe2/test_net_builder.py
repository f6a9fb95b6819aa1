"""caffe2.python.net_builder: what loops, conditions and guards compute, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from caffe2.python import core, workspace
from caffe2.python._errors import MisuseError
from caffe2.python.net_builder import NetBuilder, ops
from caffe2.python.task import Task, TaskGroup


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    workspace.ResetWorkspace()
    yield
    workspace.ResetWorkspace()


def run(make: Callable[[], list[Any]]) -> list[Any]:
    """Build, run, and fetch the blobs that ``make`` returned."""
    with NetBuilder() as nb:
        blobs = make()
    workspace.RunPlan(core.to_execution_step(nb))
    return [workspace.FetchBlob(blob).item() for blob in blobs]


def stopped_loop() -> list[Any]:
    x, y = ops.Const(5), ops.Const(0)
    with ops.loop():
        ops.stop_if(ops.EQ([x, ops.Const(0)]))
        ops.Add([x, ops.Const(-1)], [x])
        ops.Add([y, ops.Const(2)], [y])
    return [x, y]


def counted_loops() -> list[Any]:
    total = ops.Const(0)
    with ops.loop(4) as outer, ops.loop(outer.iter()) as inner:
        ops.Add([total, inner.iter()], [total])
    return [total]


def chains() -> list[Any]:
    results = []
    for number in (75, 50, 25):
        x, y = ops.Const(number), ops.Const(0)
        with ops.If(ops.GT([x, ops.Const(60)])) as chain:
            ops.Const(1, blob_out=y)
        with chain.Elif(ops.GT([x, ops.Const(40)])) as chain:
            ops.Const(2, blob_out=y)
        with chain.Else():
            ops.Const(3, blob_out=y)
            ops.stop()
            ops.Const(4, blob_out=y)
        results.append(y)
    return results


def guards() -> list[Any]:
    stopped = []
    for number in (10, 3):
        x = ops.Const(number)
        with ops.stop_guard() as guard:
            ops.stop_if(ops.LT([x, ops.Const(5)]))
        stopped.append(guard.has_stopped())
    with ops.stop_guard() as empty:
        pass
    return [*stopped, empty.has_stopped()]


def if_nets() -> list[Any]:
    x, y, first, second = ops.Const(0), ops.Const(1), ops.Const(0), ops.Const(0)
    for yes, result in ((True, first), (False, second)):
        with ops.IfNet(ops.Const(yes)):
            ops.Const(1, blob_out=result)
        with ops.Else():
            ops.Const(2, blob_out=result)
    with ops.IfNet(ops.LT([x, y])):
        local = ops.Const(900)
        with ops.IfNet(ops.GT([x, y])):
            pass
        with ops.Else():
            ops.Add([y, local], [local])
        ops.Add([x, local], [x])
    with ops.Else():
        pass
    return [first, second, x]


def while_net() -> list[Any]:
    x, y = ops.Const(0), ops.Const(0)
    with ops.WhileNet():
        with ops.Condition():
            ops.Add([x, ops.Const(1)], [x])
            ops.LT([x, ops.Const(7)])
        ops.Add([x, y], [y])
    return [x, y]


def one_net_twice() -> list[Any]:
    total = ops.Const(0)
    net = core.Net("again")
    net.Add([total, net.Const(1)], [total])
    ops.net(net)
    ops.net(net)
    return [total]


# numbers the original computes (see its net_builder_test, and arithmetic)
PROGRAMS: dict[Callable[[], list[Any]], list[Any]] = {
    stopped_loop: [0, 10],
    counted_loops: [4],
    chains: [1, 2, 3],
    guards: [False, True, False],
    if_nets: [1, 2, 901],
    while_net: [7, 21],
    one_net_twice: [2],
}


@pytest.mark.parametrize("make", PROGRAMS, ids=lambda make: make.__name__)
def test_results(make: Callable[[], list[Any]]) -> None:
    assert run(make) == PROGRAMS[make]


def test_a_loop_over_a_blob_that_is_there() -> None:
    workspace.FeedBlob("rounds", np.array(3, np.int64))
    with NetBuilder(initial_scope=["rounds"]) as nb:
        total = ops.Const(0)
        with ops.loop(core.BlobReference("rounds")):
            ops.Add([total, ops.Const(1)], [total])
    workspace.RunPlan(core.to_execution_step(nb))
    assert workspace.FetchBlob(total) == 3


def test_local_blobs_of_branches_are_gone() -> None:
    run(if_nets)
    assert not [name for name in workspace.Blobs() if "_4" in name and "IfNet" in name]
    assert not workspace.HasBlob("local")


def test_names_follow_the_builders() -> None:
    with NetBuilder(name="outer") as nb:
        assert ops.net().Name().startswith("outer")
        with ops.loop(1, name="inner") as loop:
            assert loop.name == "outer/inner"
        assert ops.net(name="named").Name().startswith("outer/named")
    assert (str(nb), str(NetBuilder())) == ("outer", "Un-named NetBuilder")


def test_operators_outside_of_builders() -> None:
    assert not hasattr(ops, "Relu")
    with pytest.raises(AttributeError, match="no NetBuilder is active"):
        ops.Relu("x")
    with NetBuilder(), pytest.raises(AttributeError, match="not a registered operator"):
        ops.Rellu("x")


def _stop_in_control() -> None:
    with ops.IfNet(ops.Const(True)):
        ops.stop()


def _loop_in_control() -> None:
    with ops.IfNet(ops.Const(True)), ops.loop(3):
        pass


def _endless() -> None:
    with ops.loop():
        ops.Const(1)


def _uncounted() -> None:
    with ops.loop() as loop:
        ops.stop()
        loop.iter()


def _two_elses() -> None:
    with ops.If(ops.Const(True)) as chain:
        pass
    with chain.Else() as last:
        pass
    last.Else()


def _early_question() -> None:
    with ops.stop_guard() as guard:
        guard.has_stopped()


def _no_condition() -> None:
    with ops.WhileNet():
        ops.Const(1)


def _empty_condition() -> None:
    with ops.WhileNet(), ops.Condition():
        pass


def _late_condition() -> None:
    with ops.WhileNet():
        ops.Const(1)
        ops.Condition()


def _two_conditions() -> None:
    with ops.WhileNet():
        for _ in range(2):
            with ops.Condition():
                ops.Const(True)


def _both_net_and_name() -> None:
    ops.net(core.Net("x"), name="y")


REFUSED: dict[Callable[[], Any], str] = {
    _stop_in_control: "cannot be stopped",
    _loop_in_control: "takes nets, IfNet and WhileNet; got Loop",
    _endless: "loop without end",
    _uncounted: "does not count its rounds",
    _two_elses: "nothing can follow an Else",
    _early_question: "can be asked after the block",
    _no_condition: "has no condition",
    _empty_condition: "must end with an operator that has one output",
    _late_condition: "must come before its body",
    _two_conditions: "has a condition already",
    _both_net_and_name: "a net or a name, not both",
    lambda: ops.Else(): "right after the block of an ops.IfNet",
    lambda: ops.Condition(): "for the inside of an ops.WhileNet",
    lambda: ops.If(None): "wants a bool blob as condition",
    lambda: ops.IfNet(None): "wants a bool blob as condition",
    lambda: NetBuilder(name="a", _fullname="b"): "exclude each other",
    lambda: NetBuilder(_use_control_ops=True, _stop_blob_required=True): "have no stop blob",
}


@pytest.mark.parametrize("make", REFUSED, ids=REFUSED.values())
def test_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(MisuseError, match=REFUSED[make]), NetBuilder():
        make()


def test_built_is_built() -> None:
    with NetBuilder(name="done") as nb:
        ops.Const(1)
    with pytest.raises(MisuseError, match="'done' was built already"):
        nb.add(core.Net("late"))


def test_a_failing_block_leaves_no_builder() -> None:
    with pytest.raises(ZeroDivisionError), NetBuilder(), ops.loop():
        raise ZeroDivisionError
    assert NetBuilder.current(required=False) is None


def test_a_step_cannot_hold_a_task_group() -> None:
    with NetBuilder() as nb:
        group = ops.task_group()
        with group, Task():
            ops.Const(1)
    assert isinstance(group, TaskGroup)
    with pytest.raises(ValueError, match="TaskGroup"):
        core.to_execution_step(nb)
