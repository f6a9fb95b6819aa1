"""One step of a gated recurrent unit, after its gates' linear part."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.recurrent._step import check_lengths, running

_ATEN = torch.ops.aten


def _gradient(g: GradientMaker) -> list[Op]:
    return [g.new("GRUUnitGradient", [*g.op.inputs, g.O(0), g.GO(0)], [g.GI(0), g.GI(1)])]


class GRUUnit(Operator):
    """H = u * H_prev + (1 - u) * tanh(o), with u = sigmoid of the update gate.

    The reset gate is only passed by: it was used in making o. Sequences that ended before step t keep
    H_prev, or get zeros if ``drop_states``.

    Shapes:   H_prev: (1, N, D), gates: (1, N, 3 D) in the order reset, update, output,
              seq_lengths: (N,) (left out if the argument says so), timestep: (1,) -> H: (1, N, D)
    Raises:   ShapeError if the sizes differ.
    Source:   caffe2/operators/gru_unit_op.h; Cho et al., 2014
    """

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("H_prev", FLOAT, "1 N D"),
        Port("gates", FLOAT, "1 N G"),
        Port("seq_lengths", INT),
        Port("timestep", INT, optional=True),
    )
    outputs: ClassVar[tuple[Port, ...]] = (Port("H"),)
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("sequence_lengths", bool, True, "False: there is no input seq_lengths"),
        Arg("drop_states", bool, False, "True: zeros instead of the last state after a sequence's end"),
    )
    gradient_rule: ClassVar[Any] = staticmethod(_gradient)
    extra = 0

    def setup(self) -> None:
        wanted = 3 + self.sequence_lengths + self.extra
        if self.num_inputs != wanted:
            self.refuse(
                f"with sequence_lengths={int(self.sequence_lengths)} it takes {wanted} inputs,"
                f" got {self.num_inputs}.",
                ArityError,
            )

    def check(self, H_prev: Tensor, gates: Tensor, *rest: Tensor) -> None:
        if gates.shape[-1] != 3 * H_prev.shape[-1]:
            self.refuse(
                f"gates must be 3 times as wide as the state {H_prev.shape[-1]}, got {gates.shape[-1]}."
            )
        if self.sequence_lengths:
            check_lengths(self, rest[0], H_prev.shape[1])

    def infer(self, H_prev: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(H_prev),)

    def kernel(self, H_prev: Tensor, gates: Tensor, *rest: Tensor) -> Tensor:
        D = H_prev.shape[-1]
        update = torch.sigmoid(gates.narrow(-1, D, D))
        H = torch.lerp(torch.tanh(gates.narrow(-1, 2 * D, D)), H_prev, update)
        mask = running(rest) if self.sequence_lengths else None
        if mask is None:
            return H
        return H.mul_(mask) if self.drop_states else torch.where(mask, H, H_prev)


class GRUUnitGradient(GRUUnit):
    """Gradient of GRUUnit with respect to the previous state and the gates."""

    inputs = (*GRUUnit.inputs, Port("H", FLOAT), Port("dH", FLOAT))
    outputs = (Port("dH_prev"), Port("dgates"))
    gradient_rule = None
    no_gradient = "it is itself a gradient"
    extra = 2

    def check_inputs(self, values: object) -> None:
        """Ports cannot say that an input in the middle may be left out: check the forward's inputs."""
        self.check(*values)

    def infer(self, H_prev: Tensor, gates: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return torch.empty_like(H_prev), torch.empty_like(gates)

    def kernel(self, H_prev: Tensor, gates: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        dH = rest[-1]
        D = H_prev.shape[-1]
        update = torch.sigmoid(gates.narrow(-1, D, D))
        output = torch.tanh(gates.narrow(-1, 2 * D, D))
        dgates = torch.empty_like(gates)
        dreset, dupdate, doutput = dgates.split(D, -1)
        dreset.zero_()
        torch.sub(H_prev, output, out=dupdate)
        _ATEN.sigmoid_backward.grad_input(dupdate.mul_(dH), update, grad_input=dupdate)
        dH_prev = torch.mul(dH, update)
        torch.sub(dH, dH_prev, out=doutput)
        _ATEN.tanh_backward.grad_input(doutput, output, grad_input=doutput)
        mask = running(rest) if self.sequence_lengths else None
        if mask is None:
            return dH_prev, dgates
        dgates.mul_(mask)
        return (dH_prev.mul_(mask) if self.drop_states else torch.where(mask, dH_prev, dH)), dgates
