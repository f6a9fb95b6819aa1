"""GPU mode: nets follow it from pass to pass, and so does the command."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_nets import (
    CPU,
    device_of,
    near,
    plain,
    solver,
    traffic_of,
    weights,
)

import caffe
from caffe import _log
from caffe._cli import main
from far_device import FAR, Traffic


# ---- the mode --------------------------------------------------------------------------------------
def test_a_net_follows_the_mode_of_each_pass(folder: Path, far: Traffic) -> None:
    caffe.set_mode_cpu()
    steady, made = solver(folder), None
    steady.step(6)
    made = solver(folder)
    kept = made.net.params["ip1"][0].data
    for mode, device in ((caffe.set_mode_gpu, FAR), (caffe.set_mode_cpu, CPU), (caffe.set_mode_gpu, FAR)):
        mode()
        made.step(2)
        assert device_of(made.net) == device
        assert np.array_equal(kept, made.net.params["ip1"][0].data)
    assert near(weights(made.net), weights(steady.net))


def test_an_update_of_its_own_follows_the_mode(folder: Path, far: Traffic) -> None:
    made = solver(folder)
    made.net.params["ip1"][1].diff[...] = 1
    before = made.net.params["ip1"][1].data.copy()
    made.apply_update()
    assert device_of(made.net) == FAR
    np.testing.assert_allclose(made.net.params["ip1"][1].data, before - 0.05, rtol=1e-6)


def test_a_state_that_a_layer_keeps_moves_along(far: Traffic) -> None:
    text = """
layer { name: "i" type: "Input" top: "x" top: "c" input_param {
  shape { dim: 2 dim: 1 dim: 3 } shape { dim: 2 dim: 1 } } }
layer { name: "l" type: "LSTM" bottom: "x" bottom: "c" top: "y" recurrent_param {
  num_output: 2 weight_filler { type: "constant" value: 0.1 } } }
"""
    found = []
    for modes in ((caffe.set_mode_cpu,) * 3, (caffe.set_mode_gpu, caffe.set_mode_cpu, caffe.set_mode_gpu)):
        net = plain(text)
        for mode in modes:
            mode()
            net.blobs["x"].data[...] = 1
            net.blobs["c"].data[...] = 1
            net.forward()
        net.blobs["x"].reshape(2, 4, 3)
        net.blobs["c"].reshape(2, 4)
        net.reshape()
        assert device_of(net) == net._net.site.device
        net.blobs["x"].data[...] = 1
        found.append(net.forward()["y"].copy())
    assert np.array_equal(*found)


# ---- the command -----------------------------------------------------------------------------------
def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().err


def test_the_command_trains_tests_and_times_on_the_gpu(
    folder: Path, far: Traffic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_log, "level", _log.INFO)
    caffe.set_mode_cpu()
    solver(folder)
    lines = said(capsys, "train", "-solver", "solver.prototxt", "-gpu", "0")
    assert "Using GPUs 0" in lines
    assert traffic_of(far)[0] > 20
    lines = said(capsys, "test", "-model", "net.prototxt", "-weights", "s_iter_20.caffemodel", "-gpu", "0")
    assert "Use GPU with device ID 0" in lines
    assert traffic_of(far)[0] > 20
    lines = said(capsys, "time", "-model", "net.prototxt", "-gpu", "0", "-iterations", "2")
    assert "Average Forward pass" in lines
    assert traffic_of(far)[0] > 2


@pytest.mark.skipif(os.environ.get("FRESHPOT_TEST_DEVICE") == "far", reason="the test device has a GPU")
@pytest.mark.filterwarnings("ignore:GPU 0 was asked for")
@pytest.mark.parametrize("gpu", ["0", "all"])
@pytest.mark.parametrize(
    "action", ["train -solver solver.prototxt", "time -model net.prototxt -iterations 1"]
)
def test_the_command_without_a_gpu(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    action: str,
    gpu: str,
) -> None:
    """Runs on the CPU, or refuses in strict mode."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv("FRESHPOT_STRICT_DEVICE", raising=False)
    caffe.set_mode_cpu()
    solver(folder)
    words = [*action.split(), "-gpu", gpu]
    assert main(words) == 0
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    capsys.readouterr()
    assert main(words) == 134
    assert (
        "GPU 0 was asked for, and this machine has none (FRESHPOT_STRICT_DEVICE=1" in capsys.readouterr().err
    )


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this machine has fewer than two GPUs")
def test_a_net_moves_from_gpu_to_gpu(cuda: None) -> None:
    net = plain()
    x = net.blobs["x"].data
    for number in (0, 1, 0):
        caffe.set_device(number)
        x[...] = number + 1
        assert (net.forward()["y"] == 3 * (number + 1)).all()
        assert device_of(net) == torch.device("cuda", number)
