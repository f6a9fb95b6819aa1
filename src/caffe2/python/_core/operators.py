"""Making operators: OperatorDef messages from what a program says.

Owned here: `CreateOperator` and Python operators. Who calls it: `core`, nets.
"""

from __future__ import annotations

import os
import traceback
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import scope, utils
from caffe2.python._core.blobs import rectify
from caffe2.python._workspace import immediate
from caffe2.python._workspace.cpp import Workspace
from freshpot.ops.control.python_op import register_python_function


def CreateOperator(
    operator_type: str,
    inputs: Any,
    outputs: Any,
    name: str = "",
    control_input: Any = None,
    device_option: Any = None,
    arg: Any = None,
    engine: str | None = None,
    debug_info: str | None = None,
    **kwargs: Any,
) -> Any:
    """An OperatorDef.

    Args:
        inputs, outputs, control_input: names (which get the name scope in force), BlobReferences, or
            lists of these.
        device_option: where to run; else the device scope in force, else not said.
        arg: Argument messages to take as they are.
        kwargs: the operator's arguments; None is left out. ``random_seed`` goes to the device option.

    Raises:
        TypeError: inputs or outputs are neither names nor references.
        ValueError: an argument of a kind that arguments do not have.
    """
    operator = caffe2_pb2.OperatorDef(type=operator_type, name=name)
    if os.environ.get("CAFFE2_DEBUG"):
        operator.debug_info = "".join(traceback.format_stack()[:-1])
    operator.input.extend([str(blob) for blob in rectify(inputs)])
    operator.output.extend([str(blob) for blob in rectify(outputs)])
    if control_input:
        operator.control_input.extend([str(blob) for blob in rectify(control_input)])
    device = device_option if device_option is not None else scope.CurrentDeviceScope()
    if device is not None:
        operator.device_option.CopyFrom(device)
    if engine is not None:
        operator.engine = engine
    if debug_info is not None:
        operator.debug_info = debug_info
    if "random_seed" in kwargs:
        operator.device_option.random_seed = kwargs.pop("random_seed")
    operator.arg.extend(arg or ())
    operator.arg.extend(
        [utils.MakeArgument(key, value) for key, value in kwargs.items() if value is not None]
    )
    if immediate.IsImmediate():
        immediate.RunOperatorImmediate(operator)
    return operator


def register_python(
    f: Any, grad_f: Any = None, python_func_type: Any = None, pass_workspace: bool = False
) -> str:
    """Register a Python function, and its gradient, for operators of type Python; returns their token.

    ``f`` and ``grad_f`` are functions, or tuples (factory, args, kwargs) that make one. With
    ``python_func_type``, both are methods of ``python_func_type(f)``.
    """
    if python_func_type:
        made = python_func_type(f)
        f, grad_f = made.forward, made.backward
    else:
        f, grad_f = _built(f), _built(grad_f)
    if pass_workspace:
        f, grad_f = with_workspace(f), with_workspace(grad_f)
    return register_python_function(f, grad_f, pass_workspace)


def with_workspace(f: Any) -> Any:
    """The function with the workspace as the programs know it, rather than the engine's."""
    return f and (lambda inputs, outputs, ws: f(inputs, outputs, Workspace(_of=ws)))


def _built(f: Any) -> Any:
    return f[0](*f[1], **f[2]) if isinstance(f, tuple) else f


def CreatePythonOperator(
    f: Any,
    inputs: Any,
    outputs: Any,
    grad_f: Any = None,
    pass_workspace: bool = False,
    python_func_type: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """An operator that calls ``f(inputs, outputs)``, or ``f(inputs, outputs, workspace)``."""
    kwargs["token"] = register_python(f, grad_f, python_func_type, pass_workspace)
    return CreateOperator("Python", inputs, outputs, *args, **kwargs)
