"""Nets that modules build equal the original's, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import net_cases
import pytest

RECORDED = json.loads(Path(__file__).with_name("nets_of_the_original.json").read_text())


@pytest.mark.parametrize("name", net_cases.CASES)
def test_the_original_made_the_same(name: str) -> None:
    assert net_cases.digests(name) == RECORDED[name]
