"""Scopes: the stacks of workspaces in which `Do` runs its net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from freshpot.errors import DTypeError
from freshpot.net.schema import Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace


class ScopeStack:
    """Workspaces of the runs of a net, so that its backward pass finds what each run left behind.

    A forward run pushes, a backward run pops; popped workspaces are kept for the next forward runs.
    """

    def __init__(self) -> None:
        self._workspaces: list[Workspace] = []
        self._top = 0

    def __len__(self) -> int:
        return self._top

    def push(self, outer: Workspace, bindings: Mapping[str, Blob]) -> Workspace:
        """The workspace for one more forward run, with ``bindings`` (inner name -> outer blob) in place."""
        if self._top == len(self._workspaces):
            self._workspaces.append(outer.child(sees_parent=False))
        self._top += 1
        return self._bind(outer, bindings)

    def reuse(self, outer: Workspace, bindings: Mapping[str, Blob]) -> Workspace:
        """The workspace of the last forward run once more; a new one if there was none."""
        return self._bind(outer, bindings) if self._top else self.push(outer, bindings)

    def pop(self, outer: Workspace, bindings: Mapping[str, Blob]) -> Workspace:
        """The workspace of the last forward run, for its backward run; blobs it has stay as they are."""
        ws = self._workspaces[self._top - 1]
        self._top -= 1
        ws.follow(outer)
        for name, blob in bindings.items():
            if ws.find(name) is None:
                ws.link(name, blob)
        return ws

    def _bind(self, outer: Workspace, bindings: Mapping[str, Blob]) -> Workspace:
        ws = self._workspaces[self._top - 1]
        ws.follow(outer)
        for name, blob in bindings.items():
            if ws.find(name) is not blob:
                ws.link(name, blob)
        return ws


def scope_of(operator: Operator, blob: Blob) -> ScopeStack:
    """The scope that a blob holds.

    Raises:
        DTypeError: it holds something else.
    """
    if isinstance(blob.value, ScopeStack):
        return blob.value
    operator.refuse(
        f"blob '{blob.name}' must hold a scope made by CreateScope, but is {describe(blob.value)}.",
        DTypeError,
    )


class CreateScope(Operator):
    """Make an empty scope, in which a `Do` operator keeps the workspaces of its runs.

    Shapes:   -> a scope (not a tensor)
    Source:   caffe2/operators/create_scope_op.h
    """

    outputs = (Port("scope"),)
    gradient_stops = True

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        outputs[0].value = ScopeStack()


class HasScope(Operator):
    """True if a scope holds a workspace that no backward run has used yet.

    Shapes:   scope (not a tensor) -> (1,) bool
    Raises:   DTypeError if the input is not a scope.
    Source:   caffe2/operators/create_scope_op.h
    """

    inputs = (Port("scope"),)
    outputs = (Port("has"),)
    gradient_stops = True

    def run(self, ws: Workspace, inputs: Sequence[Blob], outputs: Sequence[Blob]) -> None:
        outputs[0].value = torch.tensor([len(scope_of(self, inputs[0])) > 0])
