"""Immediate mode: operators run as soon as they are made, in a workspace of their own.

Owned here: the mode. Who calls it: `core.CreateOperator`, `workspace`.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from caffe2.python._workspace import state, values
from freshpot.convert.netdef import op_from_proto

_WORKSPACE = "_CAFFE2_IMMEDIATE"
_folder: str | None = None


def IsImmediate() -> bool:
    """True between `StartImmediate` and `StopImmediate`."""
    return _folder is not None


@contextlib.contextmanager
def WorkspaceGuard(workspace_name: str) -> Iterator[None]:
    """Another workspace, made if needed, is the current one inside."""
    before = state.current_name()
    state.switch(workspace_name, True)
    try:
        yield
    finally:
        state.switch(before)


def StartImmediate(i_know: bool = False) -> None:
    """Run every operator as soon as it is made, in an empty workspace. A warning is printed unless ``i_know``."""
    global _folder
    StopImmediate()
    _folder = tempfile.mkdtemp(prefix="freshpot-immediate-")
    with WorkspaceGuard(_WORKSPACE):
        state.reset(_folder)
    if not i_know:
        print(
            "Immediate mode is for debugging: every operator runs once, when it is made, in one workspace "
            "of its own. Feed what it reads with FeedImmediate, and end with StopImmediate."
        )


@atexit.register
def StopImmediate() -> None:
    """Leave immediate mode and empty its workspace."""
    global _folder
    if _folder is None:
        return
    with WorkspaceGuard(_WORKSPACE):
        state.reset()
    shutil.rmtree(_folder, ignore_errors=True)
    _folder = None


def ImmediateBlobs() -> list[str]:
    """Names of the blobs in the immediate workspace."""
    with WorkspaceGuard(_WORKSPACE):
        return state.current().names()


def RunOperatorImmediate(op: Any) -> None:
    """Run an OperatorDef in the immediate workspace."""
    with WorkspaceGuard(_WORKSPACE):
        state.current().run_op(op_from_proto(op))


def FetchImmediate(name: Any) -> Any:
    """A copy of what a blob of the immediate workspace holds."""
    with WorkspaceGuard(_WORKSPACE):
        return values.fetch(values.find(state.current(), state.blob_name(name)))


def FeedImmediate(name: Any, arr: Any, device_option: Any = None) -> bool:
    """Put a value into a blob of the immediate workspace."""
    with WorkspaceGuard(_WORKSPACE):
        return values.feed(state.current(), state.blob_name(name), arr, device_option)
