"""Gradients over protobuf messages: the registry that programs know.

Owned here: `GradientRegistry`, `IR`. Who calls it: `core`, `Net.AddGradientOperators`, programs that
register gradients of their own. The work is done by `freshpot.net.gradient`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from caffe2.python import scope
from caffe2.python._core.blobs import BlobReference, GradientSlice
from caffe2.python._core.operators import CreateOperator
from freshpot.convert import netdef
from freshpot.errors import NetError
from freshpot.net import Op
from freshpot.net.gradient import AUTOGRAD_SUFFIX, backward, gradient_of
from freshpot.net.grads import GradientResult, GradName, Sparse

#: makes gradient operators: (OperatorDef, output gradients) -> (OperatorDefs, input gradients)
GradientFunction = Callable[[Any, list[Any]], tuple[Any, list[Any]]]


class GradientRegistry:
    """Gradients of operators, those that programs register included."""

    gradient_registry_: dict[str, GradientFunction] = {}

    @classmethod
    def RegisterGradient(cls, op_type: str) -> Callable[[GradientFunction], GradientFunction]:
        """Decorator: register a gradient for a type of operator that has none of its own."""

        def register(func: GradientFunction) -> GradientFunction:
            cls.gradient_registry_[op_type] = func
            return func

        return register

    @classmethod
    def GetGradientForOp(cls, op: Any, g_output: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """The gradient operators of one operator, and its inputs' gradients.

        Args:
            op: OperatorDef.
            g_output: for each output a name, a GradientSlice or None.

        Raises:
            GradientError: it has none; the message says why.
        """
        result = _gradient_for(netdef.op_from_proto(op), [_to_ir(g) for g in g_output])
        return [netdef.op_to_proto(o) for o in result.ops], [_from_ir(g) for g in result.input_grads]

    @classmethod
    def GetBackwardPass(
        cls, operators: Sequence[Any], ys: Any, ys_generate_gradient: bool = False
    ) -> tuple[list[Any], dict[BlobReference, Any]]:
        """Gradient operators of a list of operators, and blob -> gradient.

        Args:
            operators: OperatorDefs of the forward pass, in order.
            ys: a list of blobs to derive, or a dict blob -> its gradient (None: ones).

        Raises:
            TypeError: ``ys`` is neither list nor dict.
            GradientError: as `freshpot.net.gradient.backward`.
        """
        return IR(operators).GetBackwardPass(ys)


class IR:
    """A list of operators of which gradients can be asked."""

    IS_AUTO_GEN_SUM_OPS_TAG = "is_auto_gen_sum_ops"
    ONLY_KEEP_IS_AUTO_GEN_SUM_OPS_TAG = "only_keep_is_auto_gen_sum_ops_tag"
    AUTOGEN_GRAD_SUFFIX = AUTOGRAD_SUFFIX

    def __init__(self, operators: Sequence[Any]) -> None:
        self.ops = [netdef.op_from_proto(op) for op in operators]

    def GetBackwardPass(self, ys: Any) -> tuple[list[Any], dict[BlobReference, Any]]:
        """As `GradientRegistry.GetBackwardPass`."""
        if isinstance(ys, list):
            ys = dict.fromkeys(ys)
        elif not isinstance(ys, dict):
            raise TypeError(f"ys must be a list or a dict of blobs, got {type(ys).__name__}.")
        given = {str(y): y for y in ys}

        def ones(name: str) -> Op:
            made = CreateOperator("ConstantFill", [given[name]], [name + AUTOGRAD_SUFFIX], value=1.0)
            return netdef.op_from_proto(made)

        device = scope.CurrentDeviceScope()
        ops, grads = backward(
            self.ops,
            {str(y): _to_ir(grad) for y, grad in ys.items()},
            gradient_for=_gradient_for,
            ones=ones,
            device=netdef.device_from_proto(device) if device is not None else None,
        )
        found = {BlobReference(name): _reference(grad) for name, grad in grads.items() if grad is not None}
        return [netdef.op_to_proto(op) for op in ops], found


def _gradient_for(op: Op, output_grads: Sequence[GradName]) -> GradientResult:
    """The operator's own gradient, else the one a program registered."""
    try:
        return gradient_of(op, output_grads)
    except NetError:
        registered = GradientRegistry.gradient_registry_.get(op.type)
        if registered is None:
            raise
    made, grads = registered(netdef.op_to_proto(op), [_from_ir(g) for g in output_grads])
    if made is None:
        made = []
    elif not isinstance(made, (list, tuple)):
        made = [made]
    return GradientResult([netdef.op_from_proto(o) for o in made], [_to_ir(g) for g in grads])


def _to_ir(grad: Any) -> GradName:
    if grad is None:
        return None
    if isinstance(grad, tuple):
        return Sparse(str(grad[0]), str(grad[1]))
    return str(grad)


def _from_ir(grad: GradName) -> Any:
    return GradientSlice(grad.indices, grad.values) if isinstance(grad, Sparse) else grad


def _reference(grad: GradName) -> Any:
    if isinstance(grad, Sparse):
        return GradientSlice(BlobReference(grad.indices), BlobReference(grad.values))
    return BlobReference(grad)


def GetIndexFromGradientList(g_list: Sequence[Any], name: str) -> int | None:
    """Position of the gradient that ``name`` is, or is a half of; None if there is none."""
    for i, grad in enumerate(g_list):
        if grad == name or (isinstance(grad, GradientSlice) and name in (grad.indices, grad.values)):
            return i
    return None
