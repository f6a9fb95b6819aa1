"""Gradients of operators and of whole nets, named as Caffe2 names them.

Owned here: applying gradient rules (`net.grads`) to operators in a net. Who calls it: doors.
"""

from __future__ import annotations

from collections.abc import Sequence

from freshpot.errors import GradientError
from freshpot.net import registry
from freshpot.net.grads import GradientResult, GradName, collect
from freshpot.net.op import Op


def gradient_of(op: Op, output_grads: Sequence[GradName]) -> GradientResult:
    """The gradient operators of one operator, given the names of its outputs' gradients (or None).

    Raises:
        UnknownOperatorError: the operator's type is not known.
        GradientError: the operator has no gradient; the message says why.
    """
    definition = registry.get(op.type)
    if definition.gradient_rule is not None:
        return collect(op, definition.gradient_rule, output_grads)
    if definition.gradient_stops:
        return GradientResult([], [None] * len(op.inputs))
    raise GradientError(f"has no gradient: {definition.no_gradient}.", op=str(op))
