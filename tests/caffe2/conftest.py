"""What tests of the Caffe2 door share: an empty workspace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from caffe2.python import core, workspace


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty default workspace, before and after; names of nets are free."""
    monkeypatch.setattr(core.Net, "_net_names_used", set())
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    yield
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
