"""GPU mode: nets compute on the device, and what users see of them is what the CPU shows.

Most of this runs on a GPU made of CPU tensors (`far_device`); what needs a real one is at the end, and skipped without.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import caffe
from caffe import _log
from caffe._cli import main
from caffe._net.net import CaffeNet
from conftest import SHARED, needs_shared
from far_device import FAR, Traffic
from freshpot.testing import caffe_layers, caffe_nets

FOLDER = SHARED / "reference" / "caffe" if SHARED else Path()
CPU = torch.device("cpu")

TRAINED = """
name: "small"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 8 dim: 6 } shape { dim: 8 dim: 3 } data_filler { type: "gaussian" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "h" top: "h" }
layer { name: "drop" type: "Dropout" bottom: "h" top: "h" include { phase: TRAIN } }
layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
PLAIN = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {
  num_output: 2 weight_filler { type: "constant" value: 1 } } }
"""
COPY = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "p" type: "Power" bottom: "x" top: "y" }
"""
JOINED = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "scale" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "c" top: "c" }
layer { name: "pool" type: "Pooling" bottom: "c" top: "y" pooling_param { kernel_size: 2 stride: 2 } }
"""


def plain(text: str = PLAIN) -> caffe.Net:
    return caffe.Net._from_text(text, caffe.TEST)


def solver(place: Path, text: str = "", kind: str = "SGD", every: int = 1000) -> Any:
    (place / "net.prototxt").write_text(TRAINED)
    (place / "solver.prototxt").write_text(
        f'net: "net.prototxt" type: "{kind}" base_lr: 0.05 weight_decay: 0.01 lr_policy: "fixed" test_iter: 1 '
        f'test_interval: {every} test_initialization: false snapshot_prefix: "s" random_seed: 7 max_iter: 20\n{text}'
    )
    return caffe.get_solver(str(place / "solver.prototxt"))


def weights(net: caffe.Net) -> list[np.ndarray]:
    return [blob.data.copy() for blobs in net.params.values() for blob in blobs]


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def device_of(net: caffe.Net) -> torch.device:
    """Where all of a net's blobs are."""
    inside: CaffeNet = net._net
    places = {
        blob.peek.device
        for blob in inside.workspace.blobs()
        if not blob.empty and blob.name not in inside.site.on_host
    }
    assert len(places) == 1, places
    return places.pop()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- everything recorded from the original -----------------------------------------------------------
@needs_shared
@pytest.mark.parametrize("name", caffe_layers.layer_types(FOLDER) if SHARED else [])
def test_recorded_layers(name: str, far: Traffic) -> None:
    cases = caffe_layers.load(FOLDER, name)
    wrong = [f"{case.id}: {why}" for case in cases if (why := caffe_layers.run_case(case)) is not None]
    assert not wrong, "\n".join(wrong)
    if any(not case.spec.get("aborts") for case in cases):
        assert traffic_of(far) != (0, 0, 0)


@needs_shared
def test_recorded_nets(far: Traffic) -> None:
    wrong = [f"{case.id}: {why}" for case in caffe_nets.load(FOLDER) if (why := caffe_nets.run_case(case))]
    assert not wrong, "\n".join(wrong)


def traffic_of(far: Traffic) -> tuple[int, int, int]:
    found = (far.uploads, far.downloads, far.reads)
    far.reset()
    return found


# ---- training --------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
@pytest.mark.parametrize("text", ["", "iter_size: 2 clip_gradients: 0.5 regularization_type: 'L1'"])
def test_training_is_the_cpus(place: Path, far: Traffic, kind: str, text: str) -> None:
    found = []
    for mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
        mode()
        made = solver(place, text + ("rms_decay: 0.9" if kind == "RMSProp" else ""), kind)
        made.step(4)
        found.append((device_of(made.net), weights(made.net)))
    (before, cpu), (after, gpu) = found
    assert (before, after) == (CPU, FAR)
    assert same(cpu, gpu)


@pytest.mark.parametrize(("display", "reads"), [(0, 0), (1, 3 * 2), (2, 2 * 2)])
def test_a_step_uploads_the_batch_and_reads_losses_that_are_displayed(
    place: Path, far: Traffic, display: int, reads: int
) -> None:
    made = solver(place, f"display: {display}")
    made.step(2)
    far.reset()
    made.step(3)
    assert traffic_of(far) == (2 * 3, reads, 0)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_resuming_is_exact(place: Path, far: Traffic, kind: str) -> None:
    whole = solver(place, kind=kind)
    whole.step(6)
    first = solver(place, kind=kind)
    first.step(3)
    first.snapshot()
    second = solver(place, kind=kind)
    second.restore("s_iter_3.solverstate")
    second.step(3)
    assert same(weights(second.net), weights(whole.net))
    assert device_of(second.net) == FAR


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_snapshot_of_the_gpu_goes_on_on_the_cpu(place: Path, far: Traffic, form: str) -> None:
    text = f"snapshot_format: {form} snapshot_diff: true"
    whole = solver(place, text)
    whole.step(5)
    made = solver(place, text)
    made.step(3)
    made.snapshot()
    caffe.set_mode_cpu()
    other = solver(place, text)
    other.restore("s_iter_3.solverstate" + (".h5" if form == "HDF5" else ""))
    assert same(weights(other.net), weights(made.net))
    other.step(2)
    assert same(weights(other.net), weights(whole.net))
    assert device_of(other.net) == CPU


def test_test_nets_share_the_weights_of_the_device(place: Path, far: Traffic) -> None:
    made = solver(place, every=2)
    made.step(3)
    test = made.test_nets[0]
    assert same(weights(test), weights(made.net))
    made.net.params["ip1"][0].data[...] = 3
    test.forward()
    assert (test.params["ip1"][0].data == 3).all()
    assert device_of(test) == FAR


def test_debug_info_says_the_same(place: Path, far: Traffic, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
        mode()
        made = solver(place, "debug_info: true display: 1")
        capsys.readouterr()
        made.step(2)
        said.append([line.split("] ", 1)[1] for line in capsys.readouterr().err.splitlines()])
    assert said[0] == said[1]
    assert any("[Backward]" in line for line in said[0])


# ---- what the user sees ----------------------------------------------------------------------------
def test_views_as_programs_use_them(far: Traffic) -> None:
    net = plain()
    for k in range(3):
        net.blobs["x"].data[...] = k
        assert (net.forward()["y"] == 3 * k).all()
        net.blobs["x"].data[0] = 1
        assert net.blobs["x"].data.tolist() == [[1] * 3, [k] * 3]
        net.forward(start="ip")
        assert net.blobs["y"].data.tolist() == [[3] * 2, [3 * k] * 2]
        net.blobs["y"].diff[...] = 1
        net.backward()
        assert (net.blobs["x"].diff == 2).all()
        assert (net.params["ip"][1].diff == 2 * (k + 1)).all()
    net.params["ip"][0].data[1:] = 0
    assert net.forward(x=np.ones((2, 3)))["y"].tolist() == [[3, 0]] * 2
    net.clear_param_diffs()
    assert not net.params["ip"][1].diff.any()


def test_views_that_are_kept(far: Traffic) -> None:
    """They are written to and show later values, pass after pass, as on the CPU."""
    net = plain()
    x, y, w = net.blobs["x"].data, net.blobs["y"].data, net.params["ip"][0].data
    row, dx, db = w[1], net.blobs["x"].diff, net.params["ip"][1].diff
    for k in range(3):
        x[...] = k
        row[...] = 2
        net.forward()
        assert y.tolist() == [[3 * k, 6 * k]] * 2
        net.blobs["y"].diff[...] = 1
        net.backward()
        assert (dx == 3).all()
        assert db.tolist() == [2, 2]
        db[...] = 0
    assert w.tolist() == [[1] * 3, [2] * 3]


def test_kept_views_of_weights_follow_the_solver(place: Path, far: Traffic) -> None:
    made = solver(place)
    kept = made.net.params["ip1"][0].data
    for _ in range(2):
        made.step(2)
        assert np.array_equal(kept, made.net._net.layers[1].blobs[0].data_array())
        kept[0] = 3
    made.step(1)
    assert not np.array_equal(kept[0], np.full(6, 3, np.float32))
    assert np.abs(kept[0] - 3).max() < 1  # it went on from what was written


def test_a_kept_view_costs_one_copy_a_call(place: Path, far: Traffic) -> None:
    made = solver(place)
    made.step(1)
    kept = made.net.blobs["y"].data
    far.reset()
    made.step(3)
    assert traffic_of(far) == (2 * 3, 1, 0)
    assert np.array_equal(kept, made.net.blobs["y"].data)


def test_solver_callbacks_see_and_write_kept_views(place: Path, far: Traffic) -> None:
    made = solver(place)
    losses = made.net.blobs["loss"].data
    bias, diff = made.net.params["ip2"][1].data, made.net.params["ip2"][1].diff
    seen: list[float] = []

    def stop_the_bias() -> None:
        seen.append(float(losses))
        diff[...] = 0

    made.add_callback(lambda: bias.fill(len(seen)), stop_the_bias)
    made.step(3)
    assert len(set(seen)) == 3
    np.testing.assert_allclose(bias, 2 * (1 - 0.05 * 0.01), rtol=1e-6)  # only the decay moves it


@pytest.mark.parametrize("dims", [(3, 2), (5, 3)])
def test_reshapes(far: Traffic, dims: tuple[int, int]) -> None:
    net = plain(COPY)
    net.blobs["x"].data[...] = 4
    net.forward()
    net.blobs["x"].reshape(*dims)
    net.reshape()
    net.blobs["x"].data[...] = np.arange(np.prod(dims)).reshape(dims)
    assert np.array_equal(net.forward()["y"], net.blobs["x"].data)
    assert net.blobs["y"].data.shape == dims
    assert device_of(net) == FAR


def test_a_loss_of_many_numbers_is_weighted_on_the_device_after_a_reshape(far: Traffic) -> None:
    net = plain("force_backward: true" + COPY.replace('top: "y"', 'top: "y" loss_weight: 3'))
    net.forward()
    net.blobs["x"].reshape(4, 5)
    net.reshape()
    assert device_of(net) == FAR
    net.forward()
    net.backward()
    assert (net.blobs["x"].diff == np.full((4, 5), 3)).all()


def test_an_input_without_a_shape(far: Traffic) -> None:
    net = plain(COPY.replace("input_param { shape { dim: 2 dim: 3 } }", ""))
    other = plain()
    other.forward()
    net.blobs["x"].reshape(2, 2)
    net.blobs["x"].data[...] = 2
    assert (net.forward()["y"] == 2).all()
    assert device_of(net) == FAR


def test_files_take_what_was_written_and_views_show_what_was_read(place: Path, far: Traffic) -> None:
    net = plain()
    net.forward()
    kept = net.params["ip"][0].data
    kept[...] = 5
    for path in ("w.caffemodel", "w.caffemodel.h5"):
        (net.save if path.endswith("l") else net.save_hdf5)(path)
        kept[...] = 6
        net.copy_from(path)
        assert (kept == 5).all()
        kept[...] = 5
        assert (net.forward(x=np.ones((2, 3)))["y"] == 15).all()


@pytest.mark.parametrize("kept", [False, True])
def test_a_net_for_inference_takes_new_weights(far: Traffic, kept: bool) -> None:
    """Its convolution is joined with what follows, from weights that the user changes by and by."""
    found = []
    for mode in (caffe.set_mode_cpu, caffe.set_mode_gpu):
        mode()
        net = plain(JOINED)
        assert not any(net._net.layer_needs_backward)
        random = np.random.default_rng(3)
        views = [b.data for blobs in net.params.values() for b in blobs] if kept else []
        made = []
        for _ in range(3):
            for i, blob in enumerate(b for blobs in net.params.values() for b in blobs):
                view = views[i] if kept else blob.data
                view[...] = random.random(view.shape) + 0.5
            net.blobs["x"].data[...] = random.random((2, 3, 6, 6))
            made.append(net.forward()["y"].copy())
        found.append(made)
    for cpu, gpu in zip(*found, strict=True):
        np.testing.assert_allclose(gpu, cpu, rtol=1e-4, atol=1e-5)


def test_shared_weights(far: Traffic) -> None:
    one, two = plain(), plain()
    one.forward()
    two.share_with(one)
    one.params["ip"][0].data[...] = 2
    assert (two.forward(x=np.ones((2, 3)))["y"] == 6).all()
    two.params["ip"][0].data[...] = 3
    assert (one.forward(x=np.ones((2, 3)))["y"] == 9).all()


@pytest.mark.parametrize("run_on_the_gpu", [(0, 1), (1, 0), (0,), (1,)])
def test_weights_shared_before_the_first_pass(far: Traffic, run_on_the_gpu: tuple[int, ...]) -> None:
    """Also a net that stayed on the CPU finds the weights that another took away."""
    nets = plain(), plain()
    nets[1].share_with(nets[0])
    for i in run_on_the_gpu:
        assert (nets[i].forward(x=np.ones((2, 3)))["y"] == 3).all()
    caffe.set_mode_cpu()
    for net in nets:
        assert (net.forward(x=np.ones((2, 3)))["y"] == 3).all()
        assert device_of(net) == CPU


def test_parameters_of_one_memory_and_two_shapes(far: Traffic) -> None:
    part = 'layer { name: "%s" type: "Parameter" top: "%s" param { name: "w" share_mode: PERMISSIVE } '
    text = (part % ("a", "a")) + "parameter_param { shape { dim: 2 dim: 3 } } }\n"
    text += (part % ("b", "b")) + "parameter_param { shape { dim: 6 } } }\n"
    net = plain(text)
    net.params["a"][0].data[...] = np.arange(6).reshape(2, 3)
    net.forward()
    assert net.blobs["b"].data.tolist() == [0, 1, 2, 3, 4, 5]
    net.params["b"][0].data[0] = 9
    net.forward()
    assert net.blobs["a"].data[0, 0] == 9


# ---- the user's code within a pass -----------------------------------------------------------------
@pytest.fixture
def python_net(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], caffe.Net]:
    def made(cls: type) -> caffe.Net:
        module = types.ModuleType("layers_of_the_test")
        module.Mine = cls  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        after = """
layer { name: "m" type: "Python" bottom: "y" top: "z" python_param { module: "layers_of_the_test" layer: "Mine" } }
layer { name: "p" type: "Power" bottom: "z" top: "out" power_param { scale: 10 } }
"""
        return plain(PLAIN + after)

    return made


def test_python_layers(python_net: Callable[[type], caffe.Net], far: Traffic) -> None:
    class Doubles(caffe.Layer):
        def setup(self, bottom: Any, top: Any) -> None:
            self.blobs.add_blob(1)
            self.blobs[0].data[...] = 2

        def reshape(self, bottom: Any, top: Any) -> None:
            top[0].reshape(*bottom[0].shape)

        def forward(self, bottom: Any, top: Any) -> None:
            top[0].data[...] = self.blobs[0].data * bottom[0].data

        def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
            bottom[0].diff[...] = self.blobs[0].data * top[0].diff
            self.blobs[0].diff[...] += (top[0].diff * bottom[0].data).sum()

    net = python_net(Doubles)
    assert (net.forward(x=np.ones((2, 3)))["out"] == 60).all()
    net.params["m"][0].data[...] = 3
    assert (net.forward()["out"] == 90).all()
    net.blobs["out"].diff[...] = 1
    net.backward()
    assert (net.blobs["x"].diff == 60).all()
    assert net.params["m"][0].diff[0] == 10 * 3 * 4
    assert device_of(net) == FAR


def test_kept_views_in_python_layers_and_callbacks(
    python_net: Callable[[type], caffe.Net], far: Traffic
) -> None:
    seen: list[float] = []

    class Looks(caffe.Layer):
        def setup(self, bottom: Any, top: Any) -> None:
            top[0].reshape(*bottom[0].shape)
            self.y, self.z = bottom[0].data, top[0].data

        def reshape(self, bottom: Any, top: Any) -> None:
            pass

        def forward(self, bottom: Any, top: Any) -> None:
            self.z[...] = self.y + 1

        def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
            pass

    net = python_net(Looks)
    out, x = net.blobs["out"].data, net.blobs["x"].data
    for k in range(3):
        x[...] = k
        net.forward()
        assert (out == 10 * (3 * k + 1)).all()
    z = net.blobs["z"].data
    net.after_forward(lambda i: seen.append(float(z[0, 0])))
    net.before_forward(lambda i: x.fill(5) if i == 0 else None)
    net.forward()
    assert seen[-2:] == [16, 16]
    assert (out == 160).all()


def test_solver_callbacks_change_gradients(place: Path, far: Traffic) -> None:
    made = solver(place)
    before = weights(made.net)

    def stop_learning() -> None:
        for blobs in made.net.params.values():
            for blob in blobs:
                blob.diff[...] = 0

    made.add_callback(lambda: None, stop_learning)
    made.step(1)
    for old, new in zip(before, weights(made.net), strict=True):
        np.testing.assert_allclose(new, old * (1 - 0.05 * 0.01), rtol=1e-5)  # only the decay is left


# ---- the mode --------------------------------------------------------------------------------------
def test_a_net_follows_the_mode_of_each_pass(place: Path, far: Traffic) -> None:
    caffe.set_mode_cpu()
    steady, made = solver(place), None
    steady.step(6)
    made = solver(place)
    kept = made.net.params["ip1"][0].data
    for mode, device in ((caffe.set_mode_gpu, FAR), (caffe.set_mode_cpu, CPU), (caffe.set_mode_gpu, FAR)):
        mode()
        made.step(2)
        assert device_of(made.net) == device
        assert np.array_equal(kept, made.net.params["ip1"][0].data)
    assert same(weights(made.net), weights(steady.net))


def test_an_update_of_its_own_follows_the_mode(place: Path, far: Traffic) -> None:
    made = solver(place)
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
    place: Path, far: Traffic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_log, "level", _log.INFO)
    caffe.set_mode_cpu()
    solver(place)
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
    place: Path,
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
    solver(place)
    words = [*action.split(), "-gpu", gpu]
    assert main(words) == 0
    monkeypatch.setenv("FRESHPOT_STRICT_DEVICE", "1")
    capsys.readouterr()
    assert main(words) == 134
    assert (
        "GPU 0 was asked for, and this machine has none (FRESHPOT_STRICT_DEVICE=1" in capsys.readouterr().err
    )


# ---- a real GPU ------------------------------------------------------------------------------------


@needs_shared
@pytest.mark.parametrize("name", caffe_layers.layer_types(FOLDER) if SHARED else [])
def test_recorded_layers_on_cuda(name: str, cuda: None) -> None:
    cases = caffe_layers.load(FOLDER, name)
    wrong = [f"{case.id}: {why}" for case in cases if (why := caffe_layers.run_case(case)) is not None]
    assert not wrong, "\n".join(wrong)


@needs_shared
def test_recorded_nets_on_cuda(cuda: None) -> None:
    wrong = [f"{case.id}: {why}" for case in caffe_nets.load(FOLDER) if (why := caffe_nets.run_case(case))]
    assert not wrong, "\n".join(wrong)


def test_views_on_cuda(cuda: None) -> None:
    net = plain()
    x, y = net.blobs["x"].data, net.blobs["y"].data
    for k in range(3):
        x[...] = k
        net.forward()
        assert y.tolist() == [[3 * k] * 2] * 2
    assert device_of(net).type == "cuda"


def test_resuming_is_exact_on_cuda(place: Path, cuda: None) -> None:
    """The dropout's draws, which are the GPU's, go on where they were."""
    whole = solver(place)
    whole.step(6)
    first = solver(place)
    first.step(3)
    first.snapshot()
    second = solver(place)
    second.restore("s_iter_3.solverstate")
    second.step(3)
    assert same(weights(second.net), weights(whole.net))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="this machine has fewer than two GPUs")
def test_a_net_moves_from_gpu_to_gpu(cuda: None) -> None:
    net = plain()
    x = net.blobs["x"].data
    for number in (0, 1, 0):
        caffe.set_device(number)
        x[...] = number + 1
        assert (net.forward()["y"] == 3 * (number + 1)).all()
        assert device_of(net) == torch.device("cuda", number)
