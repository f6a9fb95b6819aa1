"""Operators as functions of arrays: ``Functional.Relu(x)[0]``.

Source: caffe2/python/functional.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import core
from caffe2.python.onnx.helper import namedtupledict
from caffe2.python.onnx.workspace import Workspace
from freshpot.errors import ArityError
from freshpot.net import registry
from freshpot.net.schema import arity

__all__ = ["Functional", "namedtupledict"]


class _Functional:
    """Every operator is a method."""

    def __getattribute__(self, op_type: str) -> Callable[..., Any]:
        if op_type.startswith("__"):
            return object.__getattribute__(self, op_type)
        return lambda *inputs, **args: _call(op_type, inputs, args)


def _call(op_type: str, inputs: tuple[Any, ...], args: dict[str, Any]) -> Any:
    """The outputs, a named tuple of arrays: as many as ``num_output`` says, all that there are by default.

    Raises:
        UnknownOperatorError: no such operator. ArityError: a number of inputs or outputs that it has not.
    """
    definition = registry.get(op_type)
    least, most = arity(definition.inputs)
    if len(inputs) < least or (most is not None and len(inputs) > most):
        raise ArityError(f"Functional C2: Number of inputs not in range: {least} - {most} or not allowed.")
    least, most = arity(definition.outputs)
    count = args.pop("num_output", most)
    if count is None:
        raise ArityError("For operators with max_output == inf, user should pass num_output explicitly.")
    if count < least or (most is not None and count > most):
        raise ArityError(f"Functional C2: Number of output not in range: {least} - {most} or not allowed")
    read = [f"input_{i}" for i in range(len(inputs))]
    written = [f"output_{i}" for i in range(count)]
    for i, j in definition.must_inplace:
        if i < len(read) and j < count:
            written[j] = read[i]
    op = core.CreateOperator(op_type, read, written, **args)
    ws = Workspace()
    with core.DeviceScope(args.get("device_option", core.DeviceOption(caffe2_pb2.CPU))):
        for name, value in zip(read, inputs, strict=True):
            ws.FeedBlob(name, value)
        ws.RunOperatorOnce(op)
        return namedtupledict("output", written)(*(ws.FetchBlob(name) for name in written))


Functional = _Functional()
