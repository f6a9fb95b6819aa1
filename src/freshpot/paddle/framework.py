"""``paddle.framework``: other names of what :mod:`freshpot.paddle` has."""

from __future__ import annotations

from typing import Any

from freshpot.paddle._files import load, save
from freshpot.paddle._missing import missing
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle._state import (
    CPUPlace,
    CUDAPinnedPlace,
    CUDAPlace,
    get_default_dtype,
    get_flags,
    set_default_dtype,
    set_flags,
)
from freshpot.paddle.autograd import grad, no_grad
from freshpot.paddle.static import Program, Variable
from freshpot.paddle.static.program import is_static
from freshpot.paddle.tensor import seed

__all__ = [
    "CPUPlace", "CUDAPinnedPlace", "CUDAPlace", "ParamAttr", "Program", "Variable", "get_default_dtype", "get_flags",
    "grad", "in_dygraph_mode", "in_dynamic_mode", "load", "no_grad", "save", "seed", "set_default_dtype", "set_flags",
]  # fmt: skip


def in_dynamic_mode() -> bool:
    """Whether functions run at once."""
    return not is_static()


in_dygraph_mode = in_dynamic_mode


def __getattr__(name: str) -> Any:
    raise missing("framework", name, __all__)
