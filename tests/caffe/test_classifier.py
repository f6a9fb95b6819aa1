"""Classifier and Detector beyond the recorded programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import caffe
from freshpot.errors import NotSupportedError, ShapeError

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "mean" type: "Reduction" bottom: "data" top: "mean" reduction_param { operation: MEAN axis: 2 } }
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A net whose output is the mean of each channel of its input, and its (no) weights."""
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    return str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")


def image(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(0).rand(height, width, 3).astype(np.float32)


def test_the_middle_is_classified(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, image_dims=(8, 10), channel_swap=(2, 1, 0), raw_scale=255)
    found = net.predict([image(8, 10)], oversample=False)
    np.testing.assert_allclose(found, [image(8, 10)[1:7, 2:8, ::-1].mean((0, 1)) * 255], rtol=1e-5)


def test_ten_crops_are_averaged(files: tuple[str, str]) -> None:
    net = caffe.Classifier(*files, image_dims=(8, 8))
    full = image(8, 8)
    crops = [full[y : y + 6, x : x + 6].mean((0, 1)) for y, x in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))]
    np.testing.assert_allclose(net.predict([full]), [np.mean(crops, 0)], rtol=1e-5)


def test_image_dims_may_be_an_array(files: tuple[str, str]) -> None:
    assert caffe.Classifier(*files, image_dims=np.array([7, 7])).predict([image(9, 9)]).shape == (1, 3)


def detector(files: tuple[str, str], **options: Any) -> caffe.Detector:
    return caffe.Detector(*files, **options)


def test_windows_of_a_file(files: tuple[str, str], tmp_path: Path) -> None:
    pixels = (image(12, 14) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    found = detector(files).detect_windows([(str(tmp_path / "image.png"), [(2, 3, 8, 9)])])
    assert (found[0]["filename"], found[0]["window"]) == (str(tmp_path / "image.png"), (2, 3, 8, 9))
    np.testing.assert_allclose(found[0]["prediction"], pixels[2:8, 3:9].mean((0, 1)) / 255, rtol=1e-5)


def test_no_windows(files: tuple[str, str]) -> None:
    assert detector(files).detect_windows([]) == []


def test_context_around_a_window(files: tuple[str, str]) -> None:
    net = detector(files, context_pad=1, mean=np.array([0.1, 0.2, 0.3]), raw_scale=2, channel_swap=(2, 1, 0))
    full = image(12, 14)
    # 3 x 3 pixels (ends included) become the inner 4 x 4 of 6 x 6: half a window more on every side
    assert net.crop(full, np.array([4, 4, 6, 6])).shape == (6, 6, 3)
    np.testing.assert_allclose(net.crop_mean, [[[0.15, 0.1, 0.05]]])


def test_context_outside_the_image_is_the_mean(files: tuple[str, str]) -> None:
    net = detector(files, context_pad=1, mean=np.array([0.1, 0.2, 0.3]))
    made = net.crop(np.full((12, 14, 3), 9, np.float32), (0, 0, 3, 3))
    np.testing.assert_allclose(made[0], np.tile(np.float32([0.1, 0.2, 0.3]), (6, 1)))
    assert (made[1:, 1:] == 9).all()


def test_a_window_outside_its_image(files: tuple[str, str]) -> None:
    with pytest.raises(ShapeError, match=r"window \(40, 40, 44, 44\) is outside its image of 12 x 14"):
        detector(files, context_pad=1).crop(image(12, 14), (40, 40, 44, 44))


def test_selective_search(files: tuple[str, str]) -> None:
    with pytest.raises(NotSupportedError, match="give windows to detect_windows instead"):
        detector(files).detect_selective_search(["image.png"])
