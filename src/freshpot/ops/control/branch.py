"""If and While: nets that run or not, as a blob says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from freshpot.errors import DTypeError
from freshpot.net.net import Net
from freshpot.net.schema import BOOL, Arg, Port
from freshpot.ops._operator import ANY_PAIR, Operator
from freshpot.ops.control._gradient import if_gradient, while_gradient
from freshpot.ops.dtypes import describe

if TYPE_CHECKING:
    from freshpot.engine.plan import Plan
    from freshpot.engine.workspace import Blob, Workspace


class _Conditional(Operator, abstract=True):
    """Shared by operators whose first input is a condition."""

    inputs = (Port("condition", BOOL), Port("blob", many=True, at_least=0))
    outputs = (Port("blob", many=True, at_least=0),)
    inplace = ANY_PAIR

    def setup(self) -> None:
        self._plans: dict[int, Plan] = {}

    def check(self, condition: torch.Tensor, *others: Any) -> None:
        if condition.numel() != 1:
            self.refuse(f"the condition must be a single bool, got shape {tuple(condition.shape)}.")

    def _holds(self, condition: Blob) -> bool:
        value = condition.value
        if not isinstance(value, torch.Tensor) or value.dtype != torch.bool:
            self.refuse(
                f"the condition '{condition.name}' must be bool, but is {describe(value)}.", DTypeError
            )
        return bool(value.item())

    def _plan(self, ws: Workspace, net: Net) -> Plan:
        """The net bound to the workspace; bound once."""
        plan = self._plans.get(id(net))
        if plan is None or plan.workspace is not ws:
            plan = self._plans[id(net)] = ws.plan(net)
        return plan


class If(_Conditional):
    """Run ``then_net`` if the condition holds, else ``else_net`` (nothing, if that is not given).

    Shapes:   condition: one bool; other inputs and outputs: what the nets read and write
    Raises:   ShapeError if the condition is not a single element.
    Source:   caffe2/operators/if_op.h
    """

    args = (
        Arg("then_net", Net, doc="run where the condition is true"),
        Arg("else_net", Net, None, "run where it is false"),
    )
    gradient_rule = staticmethod(if_gradient)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        net = self.then_net if self._holds(inputs[0]) else self.else_net
        if net is not None:
            self._plan(ws, net).step()


class While(_Conditional):
    """Run ``loop_net`` as long as the condition holds; ``cond_net``, if given, runs before each look at it.

    Shapes:   condition: one bool, read anew before each round; others: what the nets read and write
    Raises:   ShapeError if the condition is not a single element.
    Source:   caffe2/operators/while_op.h
    """

    args = (
        Arg("loop_net", Net, doc="run while the condition is true"),
        Arg("cond_net", Net, None, "run before each round; writes the condition"),
    )
    gradient_rule = staticmethod(while_gradient)

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        condition, loop = inputs[0], self._plan(ws, self.loop_net)
        decide = self._plan(ws, self.cond_net) if self.cond_net is not None else None
        while True:
            if decide is not None:
                decide.step()
            if not self._holds(condition):
                return
            loop.step()
