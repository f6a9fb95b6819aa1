"""Nets of a line that tests of the workspace run."""

from __future__ import annotations

from typing import Any

from caffe2.python import core


def net_of(*ops: Any, name: str = "n") -> core.Net:
    net = core.Net(name)
    net.extend_ops(ops)
    return net


def constant(name: str, value: float = 1.0, **args: Any) -> Any:
    return core.CreateOperator("ConstantFill", [], [name], shape=[2], value=value, **args)
