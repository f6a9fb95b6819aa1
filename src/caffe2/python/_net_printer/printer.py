"""Nets, steps, tasks and groups as text.

Owned here: `Printer`, and what it writes for each type. Who calls it: `net_printer`.
"""

from __future__ import annotations

from typing import Any

from caffe2.proto.caffe2_pb2 import NetDef, OperatorDef
from caffe2.python._net_printer.text import Text, argument_value, call, format_device_option
from caffe2.python._net_printer.visitor import Visitor
from caffe2.python.checkpoint import Job
from caffe2.python.core import ExecutionStep, Net
from caffe2.python.task import Task, TaskGroup, TaskOutput


class Printer(Visitor, Text):
    """Called with objects, it adds lines; `str` gives the text.

    Args:
        factor_prefixes: write ``x_[a, b]`` for ``x_a, x_b``; without ``c2_syntax`` only.
        c2_syntax: write ``net.Relu(['x'], ['y'])`` rather than ``y = Relu(x)``.
    """

    def __init__(self, factor_prefixes: bool = False, c2_syntax: bool = True) -> None:
        super().__init__()
        self.factor_prefixes = factor_prefixes
        self.c2_syntax = c2_syntax
        self.c2_net_name: str | None = None


@Printer.register(OperatorDef)
def print_op(text: Printer, op: Any) -> None:
    """An operator, and the nets among its arguments."""
    named = [(arg.name, argument_value(arg)) for arg in op.arg]
    device = format_device_option(op.device_option)
    if device:
        named.append(("device_option", device))
    if text.c2_net_name:
        text.add(call(f"{text.c2_net_name}.{op.type}", [list(op.input), list(op.output), *named]))
    else:
        text.add(call(op.type, [*op.input, *named], op.output, text.factor_prefixes))
    for arg in op.arg:
        if arg.HasField("n"):
            with text.context(f"arg: {arg.name}"):
                text(arg.n)


@Printer.register(NetDef)
def print_net_def(text: Printer, net_def: Any) -> None:
    """A net given as a message."""
    name = net_def.name
    if text.c2_syntax:
        text.add(call("core.Net", [f"'{name}'"], [name]))
        text.c2_net_name = name
    else:
        text.add(f"# net: {name}")
    for op in net_def.op:
        text(op)
    if text.c2_syntax:
        # as in the original, operators that follow one with a net inside are written without a net's name
        text.c2_net_name = None


@Printer.register(Net)
def print_net(text: Printer, net: Net) -> None:
    """A net."""
    text(net.Proto())


def _step_context(step: ExecutionStep) -> tuple[str | None, bool]:
    """The block that a step is, and whether its substeps are blocks."""
    proto = step.Proto()
    several = len(step.Substeps()) > 1
    if proto.should_stop_blob:
        return call("loop"), False
    if proto.num_iter and proto.num_iter != 1:
        return call("loop", [proto.num_iter]), False
    if proto.num_concurrent_instances > 1:
        return call("parallel", [("num_instances", proto.num_concurrent_instances)]), several
    if proto.concurrent_substeps and several:
        return call("parallel"), True
    return (call("run_once") if proto.report_net else None), False


def _substep_context(substep: Any, named: bool) -> str | None:
    proto = substep.Proto() if isinstance(substep, ExecutionStep) else None
    if proto is not None and proto.run_every_ms:
        return call("reporter", [str(substep), ("interval_ms", proto.run_every_ms)])
    if not named:
        return None
    own = proto is not None and proto.create_workspace
    return call("workspace" if own else "step", [str(substep)])


@Printer.register(ExecutionStep)
def print_step(text: Printer, step: ExecutionStep) -> None:
    """A step with its substeps and nets."""
    proto = step.Proto()
    block, name_substeps = _step_context(step)
    with text.context(block):
        if proto.report_net:
            with text.context(call("report_net", [proto.report_interval])):
                text(step.get_net(proto.report_net))
        for substep in [*step.Substeps(), *map(step.get_net, proto.network)]:
            with text.context(_substep_context(substep, name_substeps)):
                text(substep)
                if proto.should_stop_blob:
                    text.add(call("yield stop_if", [proto.should_stop_blob]))


def _output_text(output: TaskOutput) -> str:
    return f"Output[{', '.join(map(str, output.names))}]"


@Printer.register(Task)
def print_task(text: Printer, task: Task) -> None:
    """A task with its step."""
    outputs = ", ".join(map(_output_text, task.outputs()))
    with text.context(call("Task", [("node", task.node), ("name", task.name), ("outputs", outputs)])):
        text(task.get_step())


@Printer.register(TaskGroup)
def print_task_group(text: Printer, tg: TaskGroup, header: str | None = None) -> None:
    """A group, with one task a node."""
    with text.context(header or call("TaskGroup")):
        for task in tg.tasks_by_node().tasks():
            text(task)


@Printer.register(Job)
def print_job(text: Printer, job: Job) -> None:
    """A job with its groups."""
    text(job.init_group, "Job.current().init_group")
    text(job.epoch_group, "Job.current().epoch_group")
    with text.context("Job.current().stop_conditions"):
        for output in job.stop_conditions:
            text.add(_output_text(output))
    text(job.download_group, "Job.current().download_group")
    text(job.exit_group, "Job.current().exit_group")
