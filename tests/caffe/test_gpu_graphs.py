"""Training steps as graphs: a solver gives the same weights, losses and log lines with and without them.

On the GPU made of CPU tensors and its recordings (`far_graph`); what needs a real one is in test_gpu.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffe
from caffe import _log
from far_device import Traffic
from far_graph import FarRecorder, far_graphs

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
def graphs(far: Traffic, monkeypatch: pytest.MonkeyPatch) -> Iterator[FarRecorder]:
    with far_graphs(monkeypatch, far) as recorder:
        yield recorder
        assert recorder.lost == 0


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
    made.step(30)
    return []


SOLVERS = [
    "",
    'type: "Nesterov"',
    'type: "AdaGrad"; momentum: none',
    'type: "RMSProp"; momentum: none; rms_decay: 0.9',
    'type: "AdaDelta"; delta: 1e-6',
    'type: "Adam"; momentum2: 0.99; base_lr: 0.01',
    'lr_policy: "step"; stepsize: 4',
    'lr_policy: "poly"; power: 2',
    'lr_policy: "exp"; gamma: 0.9',
    'lr_policy: "fixed"',
    'lr_policy: "sigmoid"; stepsize: 9; gamma: 0.3',
    'lr_policy: "multistep"; stepvalue: 6; gamma: 0.5',
    "iter_size: 3",
    "clip_gradients: 0.7",
    'iter_size: 2; clip_gradients: 0.5; type: "Adam"',
    'regularization_type: "L1"',
    "average_loss: 4",
    "display: 1",
    "display: 0",
    "debug_info: true; display: 11",
]


@pytest.mark.parametrize("text", SOLVERS)
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
