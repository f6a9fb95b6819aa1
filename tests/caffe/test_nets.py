"""Whole recorded nets: names, losses, every blob and diff, parameters after the passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import SHARED, needs_shared
from freshpot.testing import caffe_nets

FOLDER = SHARED / "reference" / "caffe" if SHARED else Path()
CASES = caffe_nets.load(FOLDER) if SHARED else []


@needs_shared
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recorded_nets(case: caffe_nets.NetCase) -> None:
    assert caffe_nets.run_case(case) is None


@needs_shared
@pytest.mark.parametrize(
    ("kind", "why"),
    [("blob", "blob/"), ("diff", "diff/"), ("param_diff", "param_diff/"), ("param", "losses")],
)
def test_a_wrong_value_is_noticed(kind: str, why: str) -> None:
    case = next(c for c in caffe_nets.load(FOLDER) if c.id == "loss_weight_in_the_middle")
    key = next(k for k in case.arrays if k.startswith(kind + "/"))
    case.arrays[key] = case.arrays[key] + np.float32(1)
    found = caffe_nets.run_case(case)
    assert found is not None
    assert found.startswith(why)
