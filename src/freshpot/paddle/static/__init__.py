"""``paddle.static``: programs that are written down first and run by an Executor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from freshpot.errors import NotSupportedError
from freshpot.paddle import _state
from freshpot.paddle import tensor as _ops
from freshpot.paddle._missing import missing
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle._tensor import Parameter, recorded
from freshpot.paddle.nn.initializer import Constant
from freshpot.paddle.nn.layer import create_parameter, make_parameter
from freshpot.paddle.static import nn
from freshpot.paddle.static.averaging import ExponentialMovingAverage
from freshpot.paddle.static.executor import (
    BuildStrategy,
    CompiledProgram,
    ExecutionStrategy,
    Executor,
    Scope,
    append_backward,
    global_scope,
    gradients,
    scope_guard,
)
from freshpot.paddle.static.files import (
    load,
    load_from_file,
    load_inference_model,
    load_program_state,
    save,
    save_inference_model,
    save_to_file,
    set_program_state,
)
from freshpot.paddle.static.own import py_func
from freshpot.paddle.static.program import (
    Program,
    Variable,
    data,
    default_main_program,
    default_startup_program,
    program_guard,
)
from freshpot.paddle.static.spec import InputSpec

__all__ = [
    "BuildStrategy", "CompiledProgram", "ExecutionStrategy", "Executor", "ExponentialMovingAverage", "InputSpec",
    "Print", "Program", "Scope", "Variable", "accuracy", "append_backward", "cpu_places", "create_global_var",
    "create_parameter", "cuda_places", "data", "default_main_program", "default_startup_program", "device_guard",
    "global_scope", "gradients", "load", "load_from_file", "load_inference_model", "load_program_state", "name_scope",
    "nn", "program_guard", "py_func", "save", "save_inference_model", "save_to_file", "scope_guard",
    "set_program_state",
]  # fmt: skip


@recorded
def accuracy(input: Any, label: Any, k: int = 1, correct: Any = None, total: Any = None) -> Any:
    """The share of samples whose label is among the ``k`` best scores.

    Raises:
        NotSupportedError: counts of one's own.
    """
    if correct is not None or total is not None:
        raise NotSupportedError("static.accuracy: correct and total are not done here")
    ops: Any = _ops
    _, places = ops.topk(input, k)
    hits = ops.any(ops.equal(places, ops.reshape(label, [-1, 1])), axis=1)
    return ops.mean(hits.astype("float32"))


def create_global_var(
    shape: Any,
    value: Any,
    dtype: Any,
    persistable: bool = False,
    force_cpu: bool = False,
    name: str | None = None,
) -> Parameter | None:
    """A tensor of one value that belongs to the program and does not learn."""
    attr = ParamAttr(name, Constant(value), trainable=False)
    return make_parameter("global_var", shape, attr, dtype, False)


@recorded
def Print(
    input: Any, first_n: int = -1, message: str | None = None, summarize: int = 20, **keywords: Any
) -> Any:
    """The input; its values are printed at every run."""
    print(f"{message or ''}  {input}")
    return input


def cpu_places(device_count: int | None = None) -> list[Any]:
    """The processor, as often as asked for (once by default)."""
    return [_state.CPUPlace() for _ in range(device_count or 1)]


def cuda_places(device_ids: Any = None) -> list[Any]:
    """The GPUs of these numbers; by default the first."""
    return [_state.CUDAPlace(number) for number in device_ids or [0]]


@contextlib.contextmanager
def device_guard(device: str | None = None) -> Iterator[None]:
    """Nothing: a program's steps run where their inputs lie."""
    yield


@contextlib.contextmanager
def name_scope(prefix: str | None = None) -> Iterator[None]:
    """Nothing: names of steps are for pictures of programs."""
    yield


def __getattr__(name: str) -> Any:
    raise missing("static", name, __all__)
