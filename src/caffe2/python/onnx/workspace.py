"""A workspace as an object: every function of `caffe2.python.workspace`, run in it.

Source: caffe2/python/onnx/workspace.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from caffe2.python import workspace

__all__ = ["Workspace"]


class _Visit:
    """The workspace is the current one inside ``with``, however deep."""

    def __init__(self, workspace_id: str) -> None:
        self.workspace_id = workspace_id
        self.workspace_stack: list[str] = []

    def __enter__(self) -> None:
        self.workspace_stack.append(workspace.CurrentWorkspace())
        workspace.SwitchWorkspace(self.workspace_id, True)

    def __exit__(self, *_: object) -> None:
        workspace.SwitchWorkspace(self.workspace_stack.pop(), True)


class Workspace:
    """A fresh workspace. ``ws.FeedBlob(…)``, ``ws.RunNetOnce(…)`` and so on work in it; it is emptied when it goes."""

    def __init__(self) -> None:
        self._ctx = _Visit(str(uuid.uuid4()))

    def __getattr__(self, attr: str) -> Callable[..., Any]:
        function = getattr(workspace, attr)

        def inside(*args: Any, **kwargs: Any) -> Any:
            with self._ctx:
                return function(*args, **kwargs)

        return inside

    def __del__(self) -> None:
        if "_ctx" in self.__dict__:
            with self._ctx:
                workspace.ResetWorkspace()
