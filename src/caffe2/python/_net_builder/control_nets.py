"""Builders of `If` and `While` operators.

Owned here: the builders that `ops.IfNet`, `ops.WhileNet` and so on return. Who calls it: `net_builder`.
"""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python._net_builder.builder import NetBuilder
from caffe2.python.control_ops_util import add_if_op, add_while_op


class _ControlNet(NetBuilder):
    """A builder whose parts are merged into one net."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name, _use_control_ops=True)

    def _merge(self) -> core.Net | None:
        """Its parts as one net."""
        children = self._take_children()
        return NetBuilder.merge_nets(children, self._lexical_scope)

    def _become(self, net: core.Net) -> None:
        """Have one part: ``net``."""
        self._current_net = net
        self._children = [net]


class RunIfNet(_ControlNet):
    """The branch of an `If` that runs if a scalar bool blob is true."""

    def __init__(self, cond_blob: Any, name: str | None = None) -> None:
        super().__init__(name)
        require(cond_blob, "ops.IfNet wants a bool blob as condition.")
        self._cond_blob = cond_blob
        self._then_net: core.Net | None = None

    def _finish(self) -> None:
        self._then_net = self._merge() or core.Net("empty_then_net")
        self._build(f"{self.name}/if_net", self._lexical_scope, None)

    def _build(self, name: str, lexical_scope: set[str], else_net: core.Net | None) -> None:
        net = core.Net(name)
        add_if_op(net, self._cond_blob, lexical_scope, self._then_net, else_net)
        self._become(net)


class RunElseNet(_ControlNet):
    """The other branch of the `If` just before it."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        parent = NetBuilder.current(required=False)
        before = parent._children[-1] if parent and parent._children else None
        if not isinstance(before, RunIfNet):
            require(False, "ops.Else must come right after the block of an ops.IfNet.")
            return
        self._if_builder = before

    def _finish(self) -> None:
        else_net = self._merge()
        if else_net:
            self._if_builder._build(f"{self.name}/if_else_net", self._lexical_scope, else_net)


class RunWhileNet(_ControlNet):
    """The body of a `While`; its condition is built first, inside."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        self._cond_builder: RunWhileCondition | None = None

    def _finish(self) -> None:
        condition = self._cond_builder
        if condition is None:
            require(False, f"while loop '{self}' has no condition: begin it with ops.Condition().")
            return
        body = self._merge() or core.Net("empty_loop_body_net")
        net = core.Net(f"{self.name}/while_net")
        add_while_op(net, condition._cond_blob, self._lexical_scope, body, condition._cond_net)
        self._become(net)


class RunWhileCondition(_ControlNet):
    """The condition of a `While`: the single output of its last operator, a scalar bool."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)
        parent = NetBuilder.current(required=False)
        if not isinstance(parent, RunWhileNet):
            require(False, "ops.Condition is for the inside of an ops.WhileNet.")
            return
        require(parent._cond_builder is None, f"while loop '{parent}' has a condition already.")
        require(not parent._children, f"the condition of while loop '{parent}' must come before its body.")
        parent._cond_builder = self
        self._cond_blob: Any = None
        self._cond_net: core.Net | None = None

    def _finish(self) -> None:
        net = self._merge()
        if net is None or not net.Proto().op or len(net.Proto().op[-1].output) != 1:
            require(False, f"condition '{self}' must end with an operator that has one output, a bool.")
            return
        self._cond_net = net
        self._cond_blob = core.BlobReference(net.Proto().op[-1].output[0])
        self._become(net)
