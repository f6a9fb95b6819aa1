"""Solvers of SSD's branch with ``eval_type: "detection"``: mean average precision of their test nets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import _log
from caffe._solver.detection import average_precision
from freshpot.errors import ArgumentError, ShapeError

SCORES = np.array([0.9, 0.8, 0.7, 0.7, 0.6], np.float32)
RIGHT = np.array([True, False, True, True, False])


@pytest.mark.parametrize(
    ("version", "want"),
    [  # 4 true boxes: precisions 1, 1/2, 2/3, 3/4, 3/5 at recalls 1/4, 1/4, 1/2, 3/4, 3/4
        ("Integral", (1 + 2 / 3 + 3 / 4) / 4),
        ("MaxIntegral", 3 / 4 / 4 + 3 / 4 / 4 + 1 / 4),
        ("11point", (3 * 1 + 5 * 3 / 4) / 11),
    ],
)
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 2, 1, 3, 0]])
def test_average_precision(version: str, want: float, order: list[int]) -> None:
    assert average_precision(SCORES[order], RIGHT[order], 4, version) == pytest.approx(want, abs=1e-6)
    assert average_precision(SCORES[order], RIGHT[order], 0, version) == 0


NET = """
layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: [2, 3] } } }
layer { name: "t" type: "DummyData" top: "t" dummy_data_param { shape { dim: [2, 1] } } }
layer { name: "f" type: "InnerProduct" bottom: "x" top: "f" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "f" bottom: "t" top: "loss" include { phase: TRAIN } }
layer { name: "found" type: "Input" top: "found" input_param { shape { dim: [1, 1, 3, 7] } } include { phase: TEST } }
layer { name: "true" type: "Input" top: "true" input_param { shape { dim: [1, 1, 3, 8] } } include { phase: TEST } }
layer { name: "quiet" type: "Silence" bottom: "f" bottom: "t" include { phase: TEST } }
layer { name: "e" type: "DetectionEvaluate" bottom: "found" bottom: "true" top: "detection_eval"
  detection_evaluate_param { num_classes: 4 } include { phase: TEST } }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_iter: 2 test_interval: 1
test_initialization: false snapshot_after_train: false display: 0 """


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    return tmp_path


def solver_of(folder: Path, text: str) -> caffe.SGDSolver:
    (folder / "solver.prototxt").write_text(SOLVER + text)
    return caffe.get_solver(str(folder / "solver.prototxt"))


def test_a_solver_prints_the_mean_over_classes(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 1 is found once and wrongly once in each of 2 batches, class 2 never, class 3 is not there."""
    solver = solver_of(folder, 'eval_type: "detection" ap_version: "MaxIntegral" show_per_class_result: true')
    net, (a, b) = solver.test_nets[0], ([0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9])
    net.blobs["found"].data[0, 0] = [[0, 1, 0.9, *a], [0, 1, 0.5, *b], [-1] * 7]
    net.blobs["true"].data[0, 0] = [[0, 1, 0, *a, 0], [0, 2, 0, *b, 0], [-1] * 8]
    monkeypatch.setattr(_log, "level", _log.INFO)
    seen: list[dict[str, float]] = []
    solver._test_watchers.append(lambda iteration, number, means: seen.append(means))
    solver.solve()
    log = capfd.readouterr().err
    assert "class1: 1\n" in log
    assert "Missing true_pos for label: 2" in log
    assert "Missing true_pos for label: 3" in log
    assert f"Test net output #0: detection_eval = {1 / 3:g}\n" in log
    assert seen == [{"detection_eval": pytest.approx(1 / 3)}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('eval_type: "detections"', "there is no eval_type 'detections'.*Did you mean detection"),
        (
            'ap_version: "11 point"',
            "there is no ap_version '11 point'. Known: Integral, MaxIntegral, 11point",
        ),
    ],
)
def test_words_that_name_nothing(folder: Path, text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        solver_of(folder, text)


def test_outputs_that_are_no_evaluation(folder: Path) -> None:
    (folder / "net.prototxt").write_text(NET.split('layer { name: "e"')[0])
    solver = solver_of(folder, 'eval_type: "detection"')
    with pytest.raises(ShapeError, match=r"needs outputs of DetectionEvaluate.*'found' is"):
        solver.solve()
