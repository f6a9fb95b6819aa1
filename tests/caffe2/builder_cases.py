"""Nets, steps and tasks whose printed text was recorded with the original."""

from __future__ import annotations

from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import control, core
from caffe2.python.net_builder import NetBuilder, ops
from caffe2.python.task import Node, SetupNets, Task, TaskGroup, WorkspaceType, final_output


def plain_net() -> core.Net:
    net = core.Net("simple")
    x = net.ConstantFill([], "x_in", shape=[2, 3], value=0.5)
    there = core.DeviceOption(caffe2_pb2.CUDA, 1, node_name="there")
    net.Relu([x], "x_out", broadcast=1, device_option=there)
    net.GivenTensorStringFill([], "s", shape=[2], values=["a", "b" * 80])
    net.Split(["x_out"], ["x_a", "x_b"], axis=1)
    net.Print(["x_a"], [])
    net.FC(["x_a", "w", "b"], "y", engine="CUDNN", text="c" * 64, t2="d" * 63, neg=-3, fl=0.1)
    return net


def steps() -> core.ExecutionStep:
    a, b, report = plain_net(), core.Net("b"), core.Net("rep")
    b.Copy("x", "z")
    stop = b.GE(["x", "z"], "stop")
    report.Copy("x", "q")
    beside = [
        core.execution_step("p1", b, create_workspace=True),
        core.execution_step("p2", [b]),
        core.execution_step("p3", [b], run_every_ms=50),
    ]
    return core.execution_step(
        "top",
        [
            core.execution_step("l", a, num_iter=4),
            core.execution_step("u", [b], should_stop_blob=stop),
            core.execution_step("p", beside, concurrent_substeps=True),
            core.execution_step("inst", [core.execution_step("i1", b)], num_concurrent_instances=3),
            core.execution_step("repd", b, report_net=report, report_interval=2),
        ],
    )


def control_operators() -> core.ExecutionStep:
    with NetBuilder(name="nb") as nb:
        x = ops.Const(0)
        with ops.IfNet(ops.Const(True)):
            ops.Const(3, blob_out=x)
        with ops.Else():
            ops.Const(4, blob_out=x)
        with ops.WhileNet():
            with ops.Condition():
                ops.Add([x, x], [x])
                ops.Not(ops.Const(False))
            ops.Add([x, x], [x])
        ops.Copy(x)
    return core.to_execution_step(nb)


def loops() -> Task:
    with Task() as task:
        large, small, tiny = ops.Const(0), ops.Const(0), ops.Const(0)
        with ops.loop(10) as loop:
            outer = ops.Mul([loop.iter(), ops.Const(10)])
            with ops.loop(loop.iter(), name="inner") as inner:
                value = ops.Add([outer, inner.iter()])
                with ops.If(ops.GE([value, ops.Const(80)])) as chain:
                    ops.Add([large, value], [large])
                with chain.Elif(ops.GE([value, ops.Const(50)])) as chain:
                    ops.Add([small, value], [small])
                with chain.Else():
                    ops.Add([tiny, value], [tiny])
        with ops.stop_guard() as guard:
            ops.stop_if(ops.Const(True))
            ops.LogInfo("never")
        with ops.loop():
            ops.Const(5)
            ops.stop()
        final_output(guard.has_stopped())
        final_output([large, small, tiny])
    return task


def group() -> TaskGroup:
    with TaskGroup(WorkspaceType.GLOBAL) as made:
        with Node("n1"), Task(name="first", num_instances=2):
            with ops.task_init():
                one = ops.Const(1)
            with ops.task_instance_init():
                local = ops.Const(2)
            with ops.local_init():
                ops.Const(9, blob_out="shared")
            ops.Add([one, local], [one])
            with ops.task_reporter(interval_ms=200):
                ops.LogInfo("tick")
            with ops.local_reporter(interval_ms=300):
                ops.LogInfo("tock")
            with ops.task_instance_exit():
                ops.Copy(local, "l2")
            with ops.task_exit():
                final_output(ops.Copy(one))
            with ops.local_exit():
                ops.Const(10)
        with Node("n2"), Task():
            ops.Const(2)
        with Node("n1"), Task():
            ops.Const(3)
        net = core.Net("n3")
        net.Const(4)
        net.add_attribute(Task.TASK_SETUP, SetupNets([core.Net("si")], [core.Net("se")]))
        Task(step=net, node="n2", outputs=["o"])
        made.report_net(core.Net("rn"), node="n2", report_interval=3)
    return made


def while_steps() -> core.ExecutionStep:
    condition, body = core.Net("cond"), core.Net("body")
    condition.AddExternalOutput(condition.LT(["a", "b"]))
    body.Copy("a", "c")
    return control.While("w", condition, body)


#: name of the recorded text -> what to print, and how
CASES: dict[str, tuple[Any, dict[str, bool]]] = {
    "net": (plain_net, {}),
    "net_prefixes": (plain_net, {"c2_syntax": False, "factor_prefixes": True}),
    "operator": (lambda: plain_net().Proto().op[1], {}),
    "steps": (steps, {}),
    "control_operators": (control_operators, {}),
    "loops": (loops, {}),
    "group": (group, {}),
    "while_steps": (while_steps, {}),
}
