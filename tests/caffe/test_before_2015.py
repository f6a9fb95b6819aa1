"""Programs of 2014: what nets, Classifier and the package had then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffe
from caffe import _before_2015

NET = """name: "old"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_before_2015, "phase", caffe.TEST)
    Path("net.prototxt").write_text(NET)
    caffe.Net("net.prototxt", caffe.TEST).save("net.caffemodel")


def images() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return random.random((4, 4, 3)), random.random((3, 4, 4)) * 255


def test_mean_in_a_file_comes_after_the_scale() -> None:
    image, mean = images()
    np.save("mean.npy", mean)
    expected = 255 * image[:, :, ::-1].transpose(2, 0, 1) - mean
    for scale_first in (True, False):
        net = caffe.Net("net.prototxt", "net.caffemodel")
        if scale_first:
            net.set_input_scale("data", 255)
        net.set_mean("data", "mean.npy")
        if not scale_first:
            net.set_input_scale("data", 255)
        net.set_channel_swap("data", (2, 1, 0))
        made = net.preprocess("data", image)
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(net.deprocess("data", made), image, atol=1e-5)


def test_mean_as_an_array_comes_after_the_raw_scale_only() -> None:
    image, mean = images()
    net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
    net.set_raw_scale("data", 255)
    net.set_input_scale("data", 2)
    net.set_mean("data", mean, mode="channel")
    expected = 2 * (255 * image.transpose(2, 0, 1) - mean.mean((1, 2))[:, None, None])
    np.testing.assert_allclose(net.preprocess("data", image), expected, rtol=1e-4, atol=1e-3)


def test_mean_of_another_size_is_resized() -> None:
    net = caffe.Net("net.prototxt", "net.caffemodel", caffe.TEST)
    net.set_mean("data", np.full((3, 8, 8), 7.0))
    np.testing.assert_allclose(net.preprocess("data", np.zeros((4, 4, 3))), -7, rtol=1e-6)


def test_classifier_with_a_mean_file() -> None:
    image, mean = images()
    np.save("mean.npy", mean)
    old = caffe.Classifier(
        "net.prototxt",
        "net.caffemodel",
        mean_file="mean.npy",
        channel_swap=(2, 1, 0),
        input_scale=255,
        gpu=False,
    )
    old.set_phase_test()
    old.set_mode_cpu()
    new = caffe.Classifier("net.prototxt", "net.caffemodel", mean=mean, channel_swap=(2, 1, 0), raw_scale=255)
    for oversample in (True, False):
        np.testing.assert_allclose(
            old.predict([image], oversample), new.predict([image], oversample), rtol=1e-5
        )


def test_detector_takes_them_too() -> None:
    np.save("mean.npy", images()[1])
    detector = caffe.Detector("net.prototxt", "net.caffemodel", mean_file="mean.npy", gpu=False)
    np.testing.assert_array_equal(detector.transformer.mean["data"], images()[1])


def test_phases() -> None:
    assert caffe.Net("net.prototxt", "net.caffemodel")._net.phase == caffe.TEST
    caffe.set_phase_train()
    net = caffe.Net("net.prototxt", "net.caffemodel")
    net.set_phase_train()
    with pytest.raises(ValueError, match=r"made for the other phase; make it with .*caffe\.TEST"):
        net.set_phase_test()
    caffe.set_phase_test()
    assert caffe.Net("net.prototxt", "net.caffemodel")._net.phase == caffe.TEST


def test_others_are_refused_as_before() -> None:
    net = caffe.Net("net.prototxt", caffe.TEST)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'set_everything'"):
        net.set_everything()
    with pytest.raises(AttributeError, match="module 'caffe' has no attribute 'set_phase'"):
        caffe.set_phase()
    with pytest.raises(TypeError, match="unexpected keyword argument 'mean_files'"):
        caffe.Classifier("net.prototxt", "net.caffemodel", mean_files="x")
    with pytest.raises(Exception, match="Input not in"):
        net.set_mean("label", np.zeros(3))
    with pytest.raises(Exception, match="Mode not in"):
        net.set_mean("data", np.zeros((3, 4, 4)), mode="pixel")


def test_they_do_not_show() -> None:
    assert not {"set_mean", "preprocess", "set_phase_test"} & set(dir(caffe.Net("net.prototxt", caffe.TEST)))
    assert "set_phase_test" not in dir(caffe)


def test_the_compiled_module_has_its_names() -> None:
    from caffe import _caffe

    assert (_caffe.Net, _caffe.SGDSolver, _caffe.Layer) == (caffe.Net, caffe.SGDSolver, caffe.Layer)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = _caffe.nothing
