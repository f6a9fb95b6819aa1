"""What tests of operators share: an empty workspace, and no statistics."""

from __future__ import annotations

import pytest

from caffe2.python import workspace
from freshpot.ops.io import stats


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty workspace; statistics of the process start at nothing."""
    monkeypatch.setattr(stats.PROCESS, "_sums", {})
    workspace.ResetWorkspace()
