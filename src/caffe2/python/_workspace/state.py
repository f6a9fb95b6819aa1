"""The workspaces of the process, and which of them is the current one.

Owned here: the register of workspaces. Who calls it: every module of this package. As in the original
it is one for all threads.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from caffe2.python._errors import require
from freshpot.engine import Workspace
from freshpot.errors import NetError, near_matches

_lock = threading.RLock()
_named: dict[str, Workspace] = {"default": Workspace(".")}
_current_name = "default"


def current() -> Workspace:
    """The current workspace."""
    return _named[_current_name]


def current_name() -> str:
    """Its name."""
    return _current_name


def names() -> list[str]:
    """Names of all workspaces, sorted."""
    return sorted(_named)


def switch(name: str, create_if_missing: bool = False) -> None:
    """Make a workspace the current one.

    Raises:
        NetError: there is none of that name and ``create_if_missing`` is not set.
    """
    global _current_name
    with _lock:
        if name not in _named:
            if not create_if_missing:
                raise NetError(
                    f"there is no workspace '{name}'.{near_matches(name, _named)}"
                    " Pass True as second argument to make it."
                )
            _named[name] = Workspace(".")
        _current_name = name


def create_child(parent: str, child: str) -> None:
    """Make a workspace that sees the blobs of another.

    Raises:
        NetError: the parent does not exist, or the child does.
    """
    with _lock:
        if parent not in _named or child in _named:
            raise NetError(
                f"cannot make workspace '{child}' under '{parent}': "
                + ("it exists." if child in _named else "there is no such parent.")
            )
        _named[child] = Workspace(parent=_named[parent])


def reset(root_folder: str | os.PathLike[str] | None = None) -> bool:
    """Empty the current workspace: no blobs, no nets. The root folder stays unless one is given."""
    with _lock:
        root = current()._root if root_folder is None else os.fspath(root_folder)
        if root_folder is not None:
            os.makedirs(root_folder, exist_ok=True)
        _named[_current_name] = Workspace(root or ".")
    return True


def root_folder() -> str:
    """The folder where operators of the current workspace write files."""
    return current()._root or "."


def blob_name(name: Any) -> str:
    """A blob's name from a name or a BlobReference.

    Raises:
        MisuseError: something else.
    """
    if isinstance(name, str):
        return name
    if isinstance(name, bytes):
        return name.decode("utf-8")
    kind = type(name).__name__
    hint = (
        " A sparse gradient is two blobs: take its .indices and .values." if kind == "GradientSlice" else ""
    )
    require(kind == "BlobReference", f"a blob is named by text or a BlobReference, got {kind}.{hint}")
    return str(name)
