"""``paddle.fluid``: the spellings of 1.6 to 1.8, which 2.0-beta still took, on the door's functions and layers.

What the dynamic mode's and the static mode's tutorials of 2019 and 2020 use. (Source: the documentation of 1.8 and
2.0-beta; no recorded cases: later versions have no fluid.)
"""

from __future__ import annotations

from typing import Any

from freshpot.errors import near_matches
from freshpot.paddle._param_attr import ParamAttr
from freshpot.paddle._state import CPUPlace, CUDAPinnedPlace, CUDAPlace, is_compiled_with_cuda, set_flags
from freshpot.paddle.fluid import dygraph, io, layers, optimizer, regularizer
from freshpot.paddle.fluid.dygraph import load_dygraph, save_dygraph
from freshpot.paddle.nn import clip, initializer
from freshpot.paddle.static import (
    BuildStrategy,
    CompiledProgram,
    ExecutionStrategy,
    Executor,
    Program,
    Scope,
    cpu_places,
    cuda_places,
    data,
    default_main_program,
    default_startup_program,
    global_scope,
    name_scope,
    program_guard,
    scope_guard,
)
from freshpot.paddle.static import load as load
from freshpot.paddle.static import save as save
from freshpot.paddle.static.program import disable as enable_dygraph
from freshpot.paddle.static.program import enable as disable_dygraph
from freshpot.paddle.static.program import is_static
from freshpot.paddle.utils import unique_name

__all__ = [
    "BuildStrategy", "CPUPlace", "CUDAPinnedPlace", "CUDAPlace", "CompiledProgram", "ExecutionStrategy", "Executor",
    "ParamAttr", "Program", "Scope", "clip", "cpu_places", "cuda_places", "data", "default_main_program",
    "default_startup_program", "disable_dygraph", "dygraph", "enable_dygraph", "global_scope", "in_dygraph_mode",
    "initializer", "io", "is_compiled_with_cuda", "layers", "load", "load_dygraph", "name_scope", "optimizer",
    "program_guard", "regularizer", "save", "save_dygraph", "scope_guard", "set_flags", "unique_name",
]  # fmt: skip


def in_dygraph_mode() -> bool:
    """Whether functions run at once."""
    return not is_static()


def __getattr__(name: str) -> Any:
    raise AttributeError(f"paddle.fluid has no '{name}' here.{near_matches(name, __all__)}")
