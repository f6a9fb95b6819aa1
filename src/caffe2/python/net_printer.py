"""Nets, steps, tasks and groups as text, and a check of what they read.

Source: caffe2/python/net_printer.py. The parts are in `_net_printer`. Differs: `debug_net` works; it never
did in the original.
"""

from __future__ import annotations

from typing import Any

from caffe2.python._errors import require
from caffe2.python._net_printer.analyzer import (
    Analyzer,
    analyze_net,
    analyze_op,
    analyze_step,
    analyze_task,
    analyze_task_group,
)
from caffe2.python._net_printer.printer import (
    Printer,
    print_net,
    print_net_def,
    print_op,
    print_step,
    print_task,
    print_task_group,
)
from caffe2.python._net_printer.text import (
    Text,
    call,
    commonprefix,
    factor_prefix,
    format_device_option,
    format_value,
)
from caffe2.python._net_printer.visitor import Visitor
from caffe2.python.core import Net

__all__ = [
    "Analyzer",
    "Printer",
    "Text",
    "Visitor",
    "analyze",
    "analyze_net",
    "analyze_op",
    "analyze_step",
    "analyze_task",
    "analyze_task_group",
    "call",
    "commonprefix",
    "debug_net",
    "factor_prefix",
    "format_device_option",
    "format_value",
    "print_net",
    "print_net_def",
    "print_op",
    "print_step",
    "print_task",
    "print_task_group",
    "to_string",
]


def analyze(obj: Any) -> None:
    """Check a task group: every blob is written before it is read, and by one of the steps at a time.

    Raises:
        MisuseError: one is not.
        TypeError: not something to run.
    """
    Analyzer()(obj)


def to_string(obj: Any, **kwargs: Any) -> str:
    """A Net, NetDef, OperatorDef, ExecutionStep, Task, TaskGroup or Job as text.

    Args:
        kwargs: those of `Printer`.

    Raises:
        TypeError: something else.
    """
    printer = Printer(**kwargs)
    printer(obj)
    return str(printer)


def debug_net(net: Net) -> Net:
    """A copy of a net that prints each operator before it runs it.

    Raises:
        MisuseError: not a net.
    """
    require(isinstance(net, Net), f"debug_net wants a Net, got {type(net).__name__}.")
    made = Net(str(net))
    proto = made.Proto()
    proto.external_input.extend(net.Proto().external_input)
    proto.external_output.extend(net.Proto().external_output)
    for op in net.Proto().op:
        made.LogInfo(to_string(op))
        proto.op.extend([op])
    return made
