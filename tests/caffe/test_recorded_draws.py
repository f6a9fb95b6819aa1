"""What the original drew at random is among what our layers can draw: pixel by pixel, with its label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from feeding import net

import caffe
from caffe import _random
from freshpot.testing import caffe_layers


@pytest.mark.parametrize(
    ("kind", "case_id", "passes"),
    [
        ("WindowData", "typical", 20),
        ("ImageData", "crop_train", 150),
        ("ImageData", "mirror", 30),
        ("ImageData", "mirror_test", 30),
        ("Data", "crop_train", 150),
        ("Data", "mirror_train", 30),
        ("Data", "rand_skip", 3),
        ("HDF5Data", "shuffle", 40),
    ],
)
def test_recorded_draws_are_possible(
    shared: Path, monkeypatch: pytest.MonkeyPatch, kind: str, case_id: str, passes: int
) -> None:
    folder = shared / "reference" / "caffe"
    case = next(c for c in caffe_layers.load(folder, kind) if c.id == case_id)
    monkeypatch.chdir(case.folder)
    _random.seed(1)
    made = net(case.spec["prototxt"], getattr(caffe, case.spec["phase"]))
    seen: set[tuple[float, bytes]] = set()
    for _ in range(passes):
        made.forward()
        seen |= pairs(made.blobs["data"].data, made.blobs["label"].data)
    assert pairs(case.arrays["top/data"], case.arrays["top/label"]) <= seen


def pairs(data: np.ndarray, labels: np.ndarray) -> set[tuple[float, bytes]]:
    """Each image with its label."""
    return {(float(label), image.tobytes()) for image, label in zip(data, labels, strict=True)}
