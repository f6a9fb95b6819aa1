"""GPU mode: what users see and write within and between passes."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gpu_nets import (
    COPY,
    CPU,
    JOINED,
    PLAIN,
    device_of,
    plain,
    solver,
    traffic_of,
    weights,
)

import caffe
from far_device import FAR, Traffic


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


def test_kept_views_of_weights_follow_the_solver(folder: Path, far: Traffic) -> None:
    made = solver(folder)
    kept = made.net.params["ip1"][0].data
    for _ in range(2):
        made.step(2)
        assert np.array_equal(kept, made.net._net.layers[1].blobs[0].data_array())
        kept[0] = 3
    made.step(1)
    assert not np.array_equal(kept[0], np.full(6, 3, np.float32))
    assert np.abs(kept[0] - 3).max() < 1  # it went on from what was written


def test_a_kept_view_costs_one_copy_a_call(folder: Path, far: Traffic) -> None:
    made = solver(folder)
    made.step(1)
    kept = made.net.blobs["y"].data
    far.reset()
    made.step(3)
    assert traffic_of(far) == (2 * 3, 1, 0)
    assert np.array_equal(kept, made.net.blobs["y"].data)


def test_solver_callbacks_see_and_write_kept_views(folder: Path, far: Traffic) -> None:
    made = solver(folder)
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


def test_files_take_what_was_written_and_views_show_what_was_read(folder: Path, far: Traffic) -> None:
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


def test_solver_callbacks_change_gradients(folder: Path, far: Traffic) -> None:
    made = solver(folder)
    before = weights(made.net)

    def stop_learning() -> None:
        for blobs in made.net.params.values():
            for blob in blobs:
                blob.diff[...] = 0

    made.add_callback(lambda: None, stop_learning)
    made.step(1)
    for old, new in zip(before, weights(made.net), strict=True):
        np.testing.assert_allclose(new, old * (1 - 0.05 * 0.01), rtol=1e-5)  # only the decay is left


def test_views_on_cuda(cuda: None) -> None:
    net = plain()
    x, y = net.blobs["x"].data, net.blobs["y"].data
    for k in range(3):
        x[...] = k
        net.forward()
        assert y.tolist() == [[3 * k] * 2] * 2
    assert device_of(net).type == "cuda"
