"""Powers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, Arg, Port
from freshpot.ops.elementwise._broadcast import Broadcasting


def _constant_rule(g: GradientMaker) -> list[Op]:
    exponent = np.float32(g.op.args["exponent"])  # type: ignore[arg-type]
    less = exponent - np.float32(1)
    if g.I(0) == g.O(0):  # only the result is left: x^(e - 1) = y^((e - 1) / e)
        less = less / exponent
    dX = g.GI(0)
    return [
        g.new("Pow", [g.I(0)], [dX], {"exponent": float(less)}),
        g.new("Mul", [dX, g.GO(0)], [dX]),
        g.new("Scale", [dX], [dX], {"scale": float(exponent)}),
    ]


def _tensor_rule(g: GradientMaker) -> list[Op]:
    given = g.op.args
    axes = {
        "axis": given.get("axis", -1),
        "axis_str": given.get("axis_str", ""),
        "order": given.get("order", "NCHW"),
    }
    lay = {"broadcast": 1, **axes} if given.get("broadcast") else {}
    X, E, Y, dY, dX, dE = g.I(0), g.I(1), g.O(0), g.GO(0), g.GI(0), g.GI(1)
    log = f"{dE}_autogen_pre_red"
    made = [
        g.new("ConstantFill", [E], [dE], {"value": 1.0}),
        g.new("Sub", [E, dE], [dE]),
        g.new("Pow", [X, dE], [dX], lay),
        g.new("Mul", [dX, dY], [dX]),
        g.new("Mul", [dX, E], [dX], lay),
        g.new("Log", [X], [log]),
        g.new("Mul", [log, Y], [log]),
        g.new("Mul", [log, dY], [log if lay else dE]),
    ]
    return [*made, g.new("SumReduceLike", [log, E], [dE], axes)] if lay else made


def _rule(g: GradientMaker) -> list[Op]:
    g.copy_arguments = False
    return _constant_rule(g) if len(g.op.inputs) == 1 else _tensor_rule(g)


class Pow(Broadcasting):
    """Y = X ^ exponent, elementwise; the exponent is an argument or an input.

    Shapes:   X: any; exponent: broadcasts to X -> Y: as X
    Raises:   ArgumentError if there is no exponent, or two; ShapeError if it does not broadcast.
    Source:   caffe2/operators/pow_op.h
    """

    inputs = (Port("X", FLOAT), Port("exponent", FLOAT, optional=True))
    outputs = (Port("Y"),)
    args = (Arg("exponent", float, 0.0, "the exponent, if it is not an input"), *Broadcasting.args)
    inplace = ((0, 0), (1, 0))
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        super().setup()
        if self.has("exponent") == (self.num_inputs == 2):
            self.refuse("the exponent must be given as an argument or as an input, not both.", ArgumentError)

    def check(self, X: Tensor, *exponent: Tensor) -> None:
        if exponent:
            super().check(X, exponent[0])

    def kernel(self, X: Tensor, *exponent: Tensor) -> Tensor:
        return torch.pow(X, self.align(X, exponent[0]) if exponent else self.exponent)
