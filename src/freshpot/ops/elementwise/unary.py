"""Functions of one number, elementwise: a table.

Each row gives the operator, its formula, the torch function (which also computes it in place if the
operator may overwrite its input), and how its gradient is computed: a kernel of a gradient operator of its
own, a rule that builds it from other operators, or none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from freshpot.net.grads import GradientMaker, Rule
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, FLOATS, NUMERIC, Port
from freshpot.ops._operator import Operator, as_first, gradient


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    formula: str
    function: Callable[[Tensor], Tensor]
    inplace: Callable[[Tensor], Tensor] | None = None
    dtypes: tuple[str, ...] = FLOAT
    #: signature, kernel and in-place pairs of the gradient operator
    gradient: tuple[str, Callable[..., Tensor], tuple[tuple[int, int], ...]] | None = None
    rule: Rule | None = None
    stops: bool = False


def _negative_rule(g: GradientMaker) -> list[Op]:
    return [g.new("Negative", [g.GO(0)], [g.GI(0)])]


def _exp_rule(g: GradientMaker) -> list[Op]:
    return [g.new("Mul", [g.O(0), g.GO(0)], [g.GI(0)])]


def _log_rule(g: GradientMaker) -> list[Op]:
    return [g.new("Div", [g.GO(0), g.I(0)], [g.GI(0)])]


def _sqr_rule(g: GradientMaker) -> list[Op]:
    return [
        g.new("Scale", [g.GO(0)], [g.GO(0)], {"scale": 2.0}),
        g.new("Mul", [g.GO(0), g.I(0)], [g.GI(0)]),
    ]


def _sqrt_rule(g: GradientMaker) -> list[Op]:
    return [
        g.new("Scale", [g.GO(0)], [g.GI(0)], {"scale": 0.5}),
        g.new("Div", [g.GI(0), g.O(0)], [g.GI(0)]),
    ]


def _cbrt(X: Tensor) -> Tensor:
    return X.abs().pow_(1 / 3).copysign_(X)


_TABLE = (
    _Row("Negative", "-X", torch.neg, Tensor.neg_, NUMERIC, rule=_negative_rule),
    _Row("Abs", "|X|", torch.abs, gradient=("X dY -> dX", lambda X, dY: dY * X.sign(), ())),
    _Row("Sign", "-1, 0 or 1, the sign of X", torch.sign, dtypes=NUMERIC),
    _Row("Ceil", "X rounded up", torch.ceil, Tensor.ceil_),
    _Row("Floor", "X rounded down", torch.floor, Tensor.floor_),
    _Row("Exp", "e^X", torch.exp, Tensor.exp_, rule=_exp_rule),
    _Row("Log", "natural logarithm of X", torch.log, Tensor.log_, rule=_log_rule),
    _Row("Sqr", "X^2", torch.square, Tensor.square_, rule=_sqr_rule),
    _Row("Sqrt", "square root of X", torch.sqrt, Tensor.sqrt_, FLOATS, rule=_sqrt_rule),
    _Row(
        "Rsqrt",
        "1 / square root of X",
        torch.rsqrt,
        Tensor.rsqrt_,
        gradient=("dY Y -> dX", lambda dY, Y: dY * Y * Y * Y * -0.5, ((0, 0),)),
    ),
    _Row(
        "Cube",
        "X^3",
        lambda X: X * X * X,
        dtypes=NUMERIC,
        gradient=("dY X -> dX", lambda dY, X: dY * X * X * 3, ()),
    ),
    _Row(
        "Cbrt",
        "cube root of X",
        _cbrt,
        lambda X: X.copy_(_cbrt(X)),
        gradient=("dY Y -> dX", lambda dY, Y: dY / (Y * Y * 3), ((0, 0),)),
    ),
    _Row(
        "Reciprocal",
        "1 / X",
        torch.reciprocal,
        Tensor.reciprocal_,
        gradient=("Y dY -> dX", lambda Y, dY: -dY * Y * Y, ((1, 0),)),
    ),
    _Row("Sin", "sine of X", torch.sin, gradient=("X dY -> dX", lambda X, dY: dY * X.cos(), ())),
    _Row("Cos", "cosine of X", torch.cos, gradient=("X dY -> dX", lambda X, dY: -dY * X.sin(), ())),
    _Row("Tan", "tangent of X", torch.tan, gradient=("X dY -> dX", lambda X, dY: dY / X.cos().square_(), ())),
    _Row(
        "Asin",
        "arcsine of X",
        torch.asin,
        gradient=("X dY -> dX", lambda X, dY: dY * (1 - X * X).rsqrt_(), ()),
    ),
    _Row(
        "Acos",
        "arccosine of X",
        torch.acos,
        gradient=("X dY -> dX", lambda X, dY: -dY * (1 - X * X).rsqrt_(), ()),
    ),
    _Row("Atan", "arctangent of X", torch.atan, gradient=("X dY -> dX", lambda X, dY: dY / (1 + X * X), ())),
    _Row(
        "Sinh", "hyperbolic sine of X", torch.sinh, gradient=("dY X -> dX", lambda dY, X: dY * X.cosh(), ())
    ),
    _Row(
        "Cosh", "hyperbolic cosine of X", torch.cosh, gradient=("dY X -> dX", lambda dY, X: dY * X.sinh(), ())
    ),
    _Row(
        "Tanh",
        "hyperbolic tangent of X",
        torch.tanh,
        Tensor.tanh_,
        gradient=("Y dY -> dX", lambda Y, dY: torch.ops.aten.tanh_backward(dY, Y), ((1, 0),)),
    ),
    _Row(
        "Sigmoid",
        "1 / (1 + e^-X)",
        torch.sigmoid,
        Tensor.sigmoid_,
        gradient=("Y dY -> dX", lambda Y, dY: torch.ops.aten.sigmoid_backward(dY, Y), ((1, 0),)),
    ),
    _Row(
        "Erf",
        "Gauss error function of X",
        torch.erf,
        gradient=("X dY -> dX", lambda X, dY: dY * (-X * X).exp_() * (2 / math.sqrt(math.pi)), ()),
    ),
    _Row(
        "Softsign",
        "X / (1 + |X|)",
        lambda X: X / (1 + X.abs()),
        lambda X: X.div_(1 + X.abs()),
        gradient=("X dY -> dX", lambda X, dY: dY / (1 + X.abs()).square_(), ((1, 0),)),
    ),
    _Row(
        "Softplus",
        "log(1 + e^X)",
        lambda X: torch.logaddexp(X, torch.zeros_like(X)),
        lambda X: X.copy_(torch.logaddexp(X, torch.zeros_like(X))),
        gradient=("Y dY -> dX", lambda Y, dY: dY * -torch.expm1(-Y), ((1, 0),)),
    ),
    _Row(
        "Swish",
        "X * sigmoid(X)",
        torch.nn.functional.silu,
        gradient=("X Y dY -> dX", lambda X, Y, dY: dY * (Y + X.sigmoid() * (1 - Y)), ((2, 0),)),
    ),
    _Row(
        "Mish",
        "X * tanh(log(1 + e^X))",
        torch.nn.functional.mish,
        dtypes=FLOATS,
        gradient=("X Y dY -> dX", lambda X, Y, dY: torch.ops.aten.mish_backward(dY, X), ()),
    ),
)


def _method(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A kernel from a function that does not need the operator."""

    def kernel(self: Operator, *inputs: Tensor) -> Tensor:
        return function(*inputs)

    return kernel


def _define(row: _Row) -> None:
    members: dict[str, Any] = {
        "__doc__": f"Y = {row.formula}, elementwise.\n\n"
        f"Shapes:   X: any -> Y: as X\nSource:   caffe2/operators/{row.name.lower()}_op.h\n",
        "__module__": __name__,
        "inputs": (Port("X", row.dtypes),),
        "outputs": (Port("Y"),),
        "kernel": _method(row.function),
        "infer": as_first,
        "gradient_stops": row.stops,
    }
    if row.inplace:
        members |= {"inplace": ((0, 0),), "kernel_inplace": _method(row.inplace)}
    if row.rule:
        members["gradient_rule"] = staticmethod(row.rule)
    if row.gradient:
        signature, kernel, pairs = row.gradient
        members["backward"] = gradient(signature, inplace=pairs)(_method(kernel))
    type(row.name, (Operator,), members)


for _row in _TABLE:
    _define(_row)
