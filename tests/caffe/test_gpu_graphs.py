"""Training steps as graphs: a solver gives the same weights, losses and log lines with and without them.

On the GPU made of CPU tensors and its recordings (`far_graph`); what needs a real one is in test_gpu.py.
"""

from __future__ import annotations

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
from far_device import Traffic
from far_graph import FarRecorder
from freshpot.engine import graph

LENET = """
name: "LeNet"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.00390625 }
  data_param { source: "mnist_200_lmdb" batch_size: 8 backend: LMDB } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 5 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool1" top: "norm" lrn_param { local_size: 3 } }
layer { name: "conv2" type: "Convolution" bottom: "norm" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv2" top: "conv2" }
layer { name: "scale" type: "Scale" bottom: "conv2" top: "conv2" scale_param { bias_term: true } }
layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1"
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

SMALL = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" transform_param { scale: 0.00390625 }
  data_param { source: "mnist_200_lmdb" batch_size: 8 backend: LMDB } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


@pytest.fixture
def graphs(far: Traffic, graphs: FarRecorder) -> FarRecorder:
    """In GPU mode."""
    return graphs


def solver(place: Path, text: str = "", net: str = SMALL) -> Any:
    (place / "net.prototxt").write_text(net)
    known = {
        "type": '"SGD"',
        "base_lr": "0.05",
        "momentum": "0.9",
        "weight_decay": "0.001",
        "lr_policy": '"inv"',
        "gamma": "0.1",
        "power": "0.75",
        "test_iter": "2",
        "test_interval": "7",
        "display": "5",
        "max_iter": "100",
        "random_seed": "7",
        "snapshot_prefix": '"s"',
    }
    words = dict(known)
    for line in text.split(";"):
        name, _, value = line.partition(":")
        if value:
            words[name.strip()] = value.strip()
    lines = "".join(f"{name}: {value}\n" for name, value in words.items() if value != "none")
    (place / "solver.prototxt").write_text(f'net: "net.prototxt"\n{lines}')
    return caffe.get_solver(str(place / "solver.prototxt"))


def all_of(made: Any) -> list[np.ndarray]:
    """Weights, histories, gradients and what the net made."""
    net = made.net
    found = [np.array(blob.data) for blobs in net.params.values() for blob in blobs]
    found += [np.array(blob.diff) for blobs in net.params.values() for blob in blobs]
    found += [np.array(blob.data) for blob in net.blobs.values()]
    found += [np.array(blob.diff) for blob in net.blobs.values()]
    return found + [np.array(h) for h in made._update.history()]


#: what is done to a solver; returns what to compare
Course = Callable[[Any], list[np.ndarray]]


def both(
    place: Path,
    graphs: FarRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    course: Course,
    net: str = SMALL,
) -> None:
    """Run it without graphs and with them, and compare all, the log's lines included."""
    monkeypatch.setattr(_log, "level", _log.INFO)
    found, said = [], []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        capsys.readouterr()
        made = solver(place, text, net)
        held = course(made)
        found.append(held + all_of(made))
        lines = [line.split("] ", 1)[-1] for line in capsys.readouterr().err.splitlines()]
        said.append([line.split(" iter/s")[-1] for line in lines if "iter/s" not in line])
    for plain, played in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, played)
    assert said[0] == said[1]
    assert any("Test net output" in line for line in said[0])


def steps(made: Any) -> list[np.ndarray]:
    made.step(24)
    return []


SOLVERS = [
    "",
    'type: "RMSProp"; momentum: none; rms_decay: 0.9',
    'lr_policy: "poly"; power: 2',
    'lr_policy: "multistep"; stepvalue: 6; gamma: 0.5',
    'iter_size: 2; clip_gradients: 0.5; type: "Adam"; momentum2: 0.99; base_lr: 0.01',
    "average_loss: 4; clip_gradients: 0.7",
    "debug_info: true; display: 11",
]
MORE_SOLVERS = [
    'type: "Nesterov"',
    'type: "AdaGrad"; momentum: none',
    'type: "AdaDelta"; delta: 1e-6',
    'type: "Adam"; momentum2: 0.99; base_lr: 0.01',
    'lr_policy: "step"; stepsize: 4',
    'lr_policy: "exp"; gamma: 0.9',
    'lr_policy: "fixed"',
    'lr_policy: "sigmoid"; stepsize: 9; gamma: 0.3',
    "iter_size: 3",
    'regularization_type: "L1"',
    "display: 1",
    "display: 0",
]


@pytest.mark.parametrize(
    "text", [*SOLVERS, *(pytest.param(text, marks=pytest.mark.slow) for text in MORE_SOLVERS)]
)
def test_training_with_graphs_is_training(
    text: str,
    place: Path,
    graphs: FarRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both(place, graphs, monkeypatch, capsys, text, steps)
    assert graphs.replays >= 20


@pytest.mark.parametrize("text", ["", 'type: "Adam"; base_lr: 0.01; lr_policy: "fixed"', "iter_size: 2"])
def test_a_convolutional_net(
    text: str,
    place: Path,
    graphs: FarRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both(place, graphs, monkeypatch, capsys, text, lambda made: made.step(16) or [], LENET)
    assert graphs.replays >= 12


# ---- what programs do between steps ----------------------------------------------------------------
COURSES: dict[str, Course] = {}


def course(function: Course) -> Course:
    COURSES[function.__name__] = function
    return function


@course
def one_step_at_a_time_reading_all(made: Any) -> list[np.ndarray]:
    held = []
    for _ in range(12):
        made.step(1)
        held += [np.array(blob.data) for blob in made.net.blobs.values()]
        held.append(np.array(made.net.params["ip1"][0].diff))
    return held


@course
def views_that_are_kept(made: Any) -> list[np.ndarray]:
    held = []
    loss, weights = made.net.blobs["loss"].data, made.net.params["ip2"][0].data
    for k in range(10):
        made.step(1)
        held += [loss.copy(), weights.copy()]
        weights[k % 10] = k / 100
    made.step(5)
    return held


@course
def weights_and_gradients_are_written(made: Any) -> list[np.ndarray]:
    for k in range(10):
        made.step(1)
        made.net.params["ip1"][0].data[...] *= 0.9
        made.net.params["ip1"][1].diff[...] = k
        made.net.blobs["ip2"].data[...] = 3
    return []


@course
def snapshots_and_restoring(made: Any) -> list[np.ndarray]:
    made.step(9)
    made.snapshot()
    made.step(5)
    made.restore("s_iter_9.solverstate")
    made.step(6)
    other = caffe.get_solver("solver.prototxt")
    other.step(3)
    other.restore("s_iter_9.solverstate")
    other.step(6)
    return all_of(other)


@course
def from_device_to_device(made: Any) -> list[np.ndarray]:
    made.step(6)
    caffe.set_mode_cpu()
    made.step(2)
    caffe.set_mode_gpu()
    made.step(7)
    caffe.set_device(0)
    made.step(2)
    return []


@course
def callbacks_come_later(made: Any) -> list[np.ndarray]:
    made.step(7)
    seen = []
    made.add_callback(lambda: None, lambda: seen.append(np.array(made.net.params["ip1"][0].diff)))
    made.step(8)
    return seen


@course
def a_loop_of_the_programs(made: Any) -> list[np.ndarray]:
    held = []
    for k in range(10):
        made.net.clear_param_diffs()
        held.append(np.array(made.net.forward()["loss"]))
        made.net.backward()
        made.apply_update()
        if k == 6:
            made.step(3)
    return held


@course
def the_base_rate_changes(made: Any) -> list[np.ndarray]:
    for k in range(8):
        made.param.base_lr = 0.1 / (k + 1)
        made.step(2)
    return []


@course
def weights_come_from_a_file(made: Any) -> list[np.ndarray]:
    made.net.save("w.caffemodel")
    made.step(7)
    made.net.copy_from("w.caffemodel")
    made.step(4)
    made.test_nets[0].forward()
    return [np.array(made.test_nets[0].blobs["loss"].data)]


@course
def passes_of_parts(made: Any) -> list[np.ndarray]:
    held = []
    made.step(6)
    for _ in range(5):
        made.net.forward(start="ip1", end="ip2")
        made.net.backward(start="loss", end="ip2")
        held.append(np.array(made.net.params["ip2"][0].diff))
        made.step(1)
    return held


@pytest.mark.parametrize("name", COURSES)
def test_what_programs_do_between_steps(
    name: str,
    place: Path,
    graphs: FarRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both(place, graphs, monkeypatch, capsys, "", COURSES[name])
    assert graphs.replays > 3


FED = """
name: "fed"
layer { name: "in" type: "Input" top: "data" top: "label" input_param {
  shape { dim: 8 dim: 6 } shape { dim: 8 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip1" top: "ip1" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip1" bottom: "label" top: "loss" }
"""


def feed_each_step(made: Any) -> list[np.ndarray]:
    rng, held = np.random.default_rng(2), []
    rows = [8] * 8 + [3] + [8] * 4 + [5] * 9
    for count in rows:
        blob = made.net.blobs["data"]
        if blob.shape[0] != count:
            blob.reshape(count, 6)
            made.net.blobs["label"].reshape(count)
            made.net.reshape()
        blob.data[...] = rng.standard_normal((count, 6))
        made.net.blobs["label"].data[...] = rng.integers(0, 5, count)
        made.step(1)
        held.append(np.array(made.net.blobs["loss"].data))
    return held


def test_new_data_in_each_step_and_other_shapes(
    place: Path,
    graphs: FarRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both(place, graphs, monkeypatch, capsys, "test_interval: 100", feed_each_step, FED)
    assert graphs.replays >= 6


def test_the_whole_iteration_is_one_launch(place: Path, graphs: FarRecorder, far: Traffic) -> None:
    """Two uploads, a launch; nothing is read, and nothing waits."""
    made = solver(place, "display: 0; test_interval: none; test_iter: none", LENET)
    made.step(5)
    before = graphs.replays
    far.reset()
    made.step(10)
    assert graphs.replays - before == 10
    assert graphs.captures == 1
    assert (far.uploads, far.downloads, far.reads, far.waits) == (2 * 10, 0, 0, 0)


def test_rates_that_a_recording_used(place: Path, graphs: FarRecorder) -> None:
    """The steps that weights really took follow the policy, iteration by iteration."""
    text = 'lr_policy: "exp"; gamma: 0.5; base_lr: 1; momentum: 0; weight_decay: 0; display: 0'
    net = """
layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 1 dim: 1 }
  data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 1 bias_term: false } }
layer { name: "loss" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
"""
    made = solver(place, text + "; test_interval: none; test_iter: none", net)
    for k in range(12):
        before = float(made.net.params["ip"][0].data[0, 0])
        made.step(1)
        assert before - float(made.net.params["ip"][0].data[0, 0]) == 0.5**k
    assert graphs.replays >= 8


class Sees(caffe.Layer):
    """A Python layer between others."""

    def setup(self, bottom: Any, top: Any) -> None:
        pass

    def reshape(self, bottom: Any, top: Any) -> None:
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom: Any, top: Any) -> None:
        top[0].data[...] = 2 * bottom[0].data

    def backward(self, top: Any, propagate_down: Any, bottom: Any) -> None:
        bottom[0].diff[...] = 2 * top[0].diff


def test_python_layers_stand_between_graphs(
    place: Path,
    graphs: FarRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = types.ModuleType("layers_of_this_test")
    module.Sees = Sees  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    layer = """
layer { name: "sees" type: "Python" bottom: "ip1" top: "seen"
  python_param { module: "layers_of_this_test" layer: "Sees" } }
layer { name: "ip2" type: "InnerProduct" bottom: "seen" top"""
    net = SMALL.replace('\nlayer { name: "ip2" type: "InnerProduct" bottom: "ip1" top', layer)
    both(place, graphs, monkeypatch, capsys, "", lambda made: made.step(12) or [], net)
    assert graphs.replays >= 3 * 7


# ---- a real GPU ------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", 'type: "Adam"; base_lr: 0.01', "iter_size: 2", "clip_gradients: 0.7"])
@pytest.mark.parametrize("net", ["SMALL", "LENET"])
def test_training_on_cuda(
    text: str, net: str, place: Path, cuda: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With graphs and without; dropout draws the same."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        torch.cuda.manual_seed(3)
        made = solver(place, text, {"SMALL": SMALL, "LENET": LENET}[net])
        made.step(12)
        found.append(all_of(made))
    assert graph._given_up is None
    for plain, played in zip(*found, strict=True):
        np.testing.assert_allclose(plain, played, rtol=1e-3, atol=1e-4)
