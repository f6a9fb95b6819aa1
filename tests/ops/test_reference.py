"""Every operator against the cases recorded from the original: outputs, gradients, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import SHARED, needs_shared
from freshpot.net import registry
from freshpot.testing import reference

FOLDER = SHARED / "reference" / "caffe2" if SHARED else Path()
RECORDED = reference.operators(FOLDER) if SHARED else []
OURS = [name for name in RECORDED if registry.find(name)]


@needs_shared
@pytest.mark.parametrize("operator", OURS)
def test_recorded_cases(operator: str) -> None:
    wrong = []
    for case in reference.load(FOLDER, operator):
        # an operator that is not there yet fails in its own right, not in every case that uses it
        if all(registry.find(used) for used in case.types()):
            why = reference.run_case(case)
            if why is not None:
                wrong.append(f"{case.id}: {why}")
    assert not wrong, "\n".join(wrong)
