"""Fixtures shared by every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def find_shared() -> Path | None:
    """The folder with reference data: ``FRESHPOT_SHARED``, else ``shared`` beside the repository."""
    named = os.environ.get("FRESHPOT_SHARED")
    beside = Path(named) if named else Path(__file__).resolve().parents[2] / "shared"
    return beside if (beside / "reference").is_dir() else None


SHARED = find_shared()
WHY_SKIPPED = "reference data not found: put it in ../shared or name its folder in FRESHPOT_SHARED"
needs_shared = pytest.mark.skipif(SHARED is None, reason=WHY_SKIPPED)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with reference data, or skip the test."""
    if SHARED is None:
        pytest.skip(WHY_SKIPPED)
    return SHARED
