"""Everything that was recorded of the real Paddle (3.3.1), replayed by freshpot's.

The record holds results, gradients, printed text and trajectories; see scripts/record_paddle.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paddle_replay as replay
import pytest

import freshpot.paddle as paddle

RECORDED = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "recorded").glob("*.json"))
}
CASES = [(table, text) for table, entries in RECORDED.items() for text in entries]
#: relative and absolute, of float32 values, where it is not 2e-5
TOLERANCE = {"chance": 0.03, "networks": 1e-4}


#: networks so large that making them takes seconds
SLOW = re.compile(r"network\('(wide|resnext1|resnext50_64|vgg1|alexnet|resnet1[05]|densenet[12]6|inception)")


@pytest.fixture(autouse=True)
def _like_3x() -> Iterator[None]:
    """Single numbers have shape [], as in the version that was recorded."""
    paddle.set_flags({"FLAGS_set_to_1d": False})
    yield
    paddle.set_flags({"FLAGS_set_to_1d": True})


def _case(table: str, text: str) -> Any:
    marks = [pytest.mark.slow] if SLOW.match(text) else []
    return pytest.param(table, text, id=f"{table}: {text[:70]!r}", marks=marks)


@pytest.mark.parametrize(("table", "text"), [_case(*case) for case in CASES])
def test_as_recorded(table: str, text: str) -> None:
    found = json.loads(json.dumps(replay.evaluate(paddle, text)))
    wrong = replay.differences(found, RECORDED[table][text], TOLERANCE.get(table, 2e-5))
    assert not wrong, "\n".join(wrong[:8])


def test_every_case_is_recorded() -> None:
    missing = [e for table, texts in replay.tables().items() for e in texts if e not in RECORDED[table]]
    assert not missing, f"run scripts/record_paddle.py: {missing[:3]}"
    assert len(CASES) > 1000
