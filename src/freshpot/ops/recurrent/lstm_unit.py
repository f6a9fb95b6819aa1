"""One step of a long short-term memory, after its gates' linear part."""

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
    inputs = [*g.op.inputs, g.O(0), g.O(1), g.GO(0), g.GO(1)]
    return [g.new("LSTMUnitGradient", inputs, [g.GI(0), g.GI(1), g.GI(2)])]


class LSTMUnit(Operator):
    """C = f * C_prev + i * g, H = o * tanh(C), with i, f, o = sigmoid and g = tanh of the gates.

    Sequences that ended before step t keep H_prev and C_prev, or get zeros if ``drop_states``.

    Shapes:   H_prev, C_prev: (1, N, D), gates: (1, N, 4 D) in the order i, f, o, g, seq_lengths: (N,)
              (left out if the argument says so), timestep: (1,) -> H, C: (1, N, D)
    Raises:   ShapeError if the sizes differ.
    Source:   caffe2/operators/lstm_unit_op.h; Hochreiter and Schmidhuber, 1997
    """

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("H_prev", FLOAT, "1 N D"),
        Port("C_prev", FLOAT, "1 N D"),
        Port("gates", FLOAT, "1 N G"),
        Port("seq_lengths", INT),
        Port("timestep", INT, optional=True),
    )
    outputs: ClassVar[tuple[Port, ...]] = (Port("H"), Port("C"))
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("forget_bias", float, 0.0, "added to the forget gate before its sigmoid"),
        Arg("sequence_lengths", bool, True, "False: there is no input seq_lengths"),
        Arg("drop_states", bool, False, "True: zeros instead of the last state after a sequence's end"),
    )
    gradient_rule: ClassVar[Any] = staticmethod(_gradient)
    extra = 0

    def setup(self) -> None:
        wanted = 4 + self.sequence_lengths + self.extra
        if self.num_inputs != wanted:
            self.refuse(
                f"with sequence_lengths={int(self.sequence_lengths)} it takes {wanted} inputs,"
                f" got {self.num_inputs}.",
                ArityError,
            )

    def check(self, H_prev: Tensor, C_prev: Tensor, gates: Tensor, *rest: Tensor) -> None:
        if gates.shape[-1] != 4 * H_prev.shape[-1]:
            self.refuse(
                f"gates must be 4 times as wide as the state {H_prev.shape[-1]}, got {gates.shape[-1]}."
            )
        if self.sequence_lengths:
            check_lengths(self, rest[0], H_prev.shape[1])

    def infer(self, H_prev: Tensor, C_prev: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return torch.empty_like(H_prev), torch.empty_like(C_prev)

    def _activate(self, gates: Tensor, D: int) -> tuple[Tensor, Tensor]:
        """sigmoid of i, f, o as one tensor, tanh of g."""
        linear = gates.narrow(-1, 0, 3 * D)
        if self.forget_bias:
            linear = linear.clone()
            linear.narrow(-1, D, D).add_(self.forget_bias)
        return torch.sigmoid(linear), torch.tanh(gates.narrow(-1, 3 * D, D))

    def kernel(self, H_prev: Tensor, C_prev: Tensor, gates: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        D = C_prev.shape[-1]
        sigmoids, g = self._activate(gates, D)
        i, f, o = sigmoids.split(D, -1)
        C = torch.mul(f, C_prev).addcmul_(i, g)
        H = torch.tanh(C) * o  # a tracer's autograd needs the tanh as it was
        mask = running(rest) if self.sequence_lengths else None
        if mask is None:
            return H, C
        if self.drop_states:
            return H.mul_(mask), C.mul_(mask)
        return torch.where(mask, H, H_prev), torch.where(mask, C, C_prev)


class LSTMUnitGradient(LSTMUnit):
    """Gradient of LSTMUnit with respect to the previous state and the gates."""

    inputs = (
        *LSTMUnit.inputs,
        Port("H", FLOAT),
        Port("C", FLOAT),
        Port("dH", FLOAT),
        Port("dC", FLOAT),
    )
    outputs = (Port("dH_prev"), Port("dC_prev"), Port("dgates"))
    gradient_rule = None
    no_gradient = "it is itself a gradient"
    extra = 4

    def check_inputs(self, values: object) -> None:
        """Ports cannot say that an input in the middle may be left out: check the forward's inputs."""
        self.check(*values)

    def infer(self, H_prev: Tensor, C_prev: Tensor, gates: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        return torch.empty_like(H_prev), torch.empty_like(C_prev), torch.empty_like(gates)

    def kernel(
        self, H_prev: Tensor, C_prev: Tensor, gates: Tensor, *rest: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        C, dH, dC = rest[-3:]
        D = C_prev.shape[-1]
        sigmoids, g = self._activate(gates, D)
        i, f, o = sigmoids.split(D, -1)
        squashed = torch.tanh(C)
        dcell = _ATEN.tanh_backward(torch.mul(dH, o), squashed).add_(dC)
        dgates = torch.empty_like(gates)
        di, df, do, dg = dgates.split(D, -1)
        torch.mul(dcell, g, out=di)
        torch.mul(dcell, C_prev, out=df)
        torch.mul(dH, squashed, out=do)
        torch.mul(dcell, i, out=dg)
        linear = dgates.narrow(-1, 0, 3 * D)
        _ATEN.sigmoid_backward.grad_input(linear, sigmoids, grad_input=linear)
        _ATEN.tanh_backward.grad_input(dg, g, grad_input=dg)
        dC_prev = dcell.mul_(f)
        dH_prev = torch.zeros_like(H_prev)
        mask = running(rest) if self.sequence_lengths else None
        if mask is None:
            return dH_prev, dC_prev, dgates
        dgates.mul_(mask)
        if self.drop_states:
            return dH_prev, dC_prev.mul_(mask), dgates
        return torch.where(mask, dH_prev, dH), torch.where(mask, dC_prev, dC), dgates
