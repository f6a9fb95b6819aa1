"""Training nets as graphs: Caffe2 programs give the same numbers with and without them.

On the GPU made of CPU tensors and its recordings (`far_graph`), and on a real one where there is one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, model_helper, optimizer, workspace
from far_device import Traffic
from far_graph import FarRecorder

GPU = core.DeviceOption(caffe2_pb2.CUDA, 0)


Build = Callable[[Any], Any]
OPTIMIZERS: dict[str, Build] = {
    "sgd, step": lambda m: optimizer.build_sgd(m, 0.1, policy="step", stepsize=2, gamma=0.8),
    "sgd, inv": lambda m: optimizer.build_sgd(m, 0.1, policy="inv", gamma=0.3, power=0.75),
    "sgd, poly": lambda m: optimizer.build_sgd(m, 0.1, policy="poly", max_iter=100, power=2.0),
    "momentum": lambda m: optimizer.build_sgd(m, 0.05, momentum=0.9, policy="exp", gamma=0.9),
    "nesterov": lambda m: optimizer.build_sgd(m, 0.05, momentum=0.9, nesterov=1, policy="fixed"),
    "adam": lambda m: optimizer.build_adam(m, 0.01, policy="step", stepsize=3, gamma=0.5),
    "adagrad": lambda m: optimizer.build_adagrad(m, 0.05),
    "rmsprop": lambda m: optimizer.build_rms_prop(m, 0.01, momentum=0.9),
}


def build(make: Build, data: tuple[str, str] | None = None) -> Any:
    """A small convolutional net with its gradients, its updates and a measure; made and created."""
    workspace.ResetWorkspace()
    model = model_helper.ModelHelper(name="train", arg_scope={"order": "NCHW"})
    with core.DeviceScope(GPU):
        if data is not None:
            raw, _ = brew.db_input(model, ["raw", "label"], 8, *data)
            image = model.Cast(raw, "cast", to=core.DataType.FLOAT)
            image = model.Scale(image, "data", scale=1.0 / 256)
            model.StopGradient(image, image)
        conv = brew.conv(model, "data", "conv", dim_in=1, dim_out=3, kernel=5, stride=2)
        pool = brew.max_pool(model, conv, "pool", kernel=2, stride=2)
        fc = brew.fc(model, pool, "fc", dim_in=3 * 6 * 6, dim_out=12)
        relu = brew.relu(model, fc, fc)
        drop = brew.dropout(model, relu, "drop", ratio=0.5, is_test=0)
        out = brew.fc(model, drop, "out", dim_in=12, dim_out=10)
        softmax = brew.softmax(model, out, "softmax")
        xent = model.LabelCrossEntropy([softmax, "label"], "xent")
        loss = model.AveragedLoss(xent, "loss")
        brew.accuracy(model, [softmax, "label"], "accuracy")
        model.AddGradientOperators([loss])
        make(model)
        torch.manual_seed(4)
        workspace.RunNetOnce(model.param_init_net)
        if data is None:
            feed(0)
    workspace.CreateNet(model.net, overwrite=True)
    return model


def feed(seed: int, count: int = 8) -> None:
    rng = np.random.default_rng(seed)
    workspace.FeedBlob("data", rng.standard_normal((count, 1, 28, 28)).astype(np.float32), GPU)
    workspace.FeedBlob("label", rng.integers(0, 10, count).astype(np.int32), GPU)


def all_blobs() -> dict[str, Any]:
    found = {}
    for name in workspace.Blobs():
        value = workspace.FetchBlob(name)
        if isinstance(value, np.ndarray) and value.dtype != object:
            found[re.sub(r"_\d+_lr_", "_lr_", name)] = value  # optimizers are numbered in a process
    return found


def runs_of(model: Any, count: int, each: Callable[[int], Any]) -> list[Any]:
    held = []
    for k in range(count):
        each(k)
        workspace.RunNet(model.net)
        held += [workspace.FetchBlob("loss"), workspace.FetchBlob("accuracy")]
    return held


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_with_graphs_is_training(
    name: str, graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New data in each step; the loss is read in each; another shape in the middle."""
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        model = build(OPTIMIZERS[name])
        held = runs_of(model, 18, lambda k: feed(k, 3 if k == 9 else 8))
        workspace.RunNet(model.net, 4)
        found.append((held, all_blobs()))
    (plain, blobs), (played, others) = found
    for one, other in zip(plain, played, strict=True):
        np.testing.assert_array_equal(one, other)
    assert blobs.keys() == others.keys()
    for blob in blobs:
        np.testing.assert_array_equal(blobs[blob], others[blob], err_msg=blob)
    assert graphs.replays >= 12


def test_a_net_that_reads_a_database(
    graphs: FarRecorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = core.C.create_db("minidb", str(tmp_path / "db"), core.C.Mode.new)
    rng = np.random.default_rng(1)
    transaction = database.new_transaction()
    for i in range(40):
        protos = caffe2_pb2.TensorProtos()
        image, label = protos.protos.add(), protos.protos.add()
        image.dims.extend([1, 28, 28])
        image.data_type = caffe2_pb2.TensorProto.BYTE
        image.byte_data = rng.integers(0, 255, 784).astype(np.uint8).tobytes()
        label.data_type = caffe2_pb2.TensorProto.INT32
        label.int32_data.append(i % 10)
        transaction.put(f"{i:04d}", protos.SerializeToString())
    del transaction
    del database
    found = []
    for value in ("0", "1"):
        monkeypatch.setenv("FRESHPOT_GRAPH", value)
        model = build(OPTIMIZERS["momentum"], (str(tmp_path / "db"), "minidb"))
        found.append((runs_of(model, 14, lambda k: None), all_blobs()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    for blob in found[0][1]:
        np.testing.assert_array_equal(found[0][1][blob], found[1][1][blob], err_msg=blob)
    assert graphs.captures == 1


def test_one_launch_a_run_and_nothing_waits(graphs: FarRecorder, traffic: Traffic) -> None:
    model = build(OPTIMIZERS["adam"])
    for k in range(6):
        feed(k)
        workspace.RunNet(model.net)
    captures, replays = graphs.captures, graphs.replays
    traffic.reset()
    for k in range(10):
        feed(k)
        workspace.RunNet(model.net)
    assert (graphs.captures, graphs.replays - replays) == (captures, 10)
    assert (traffic.uploads, traffic.downloads, traffic.reads, traffic.waits) == (20, 0, 0, 0)
    assert captures == 1
