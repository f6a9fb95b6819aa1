"""Nets trained for some steps through each of the four doors, as nets of the engine, and what the door predicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import caffe
import freshpot.paddle as paddle
import freshpot.torch as ft
from caffe2.python import brew, model_helper, optimizer, rnn_cell, workspace

STEPS = 5
RNG = np.random.default_rng(7)
T, N, IN, UNITS = 5, 3, 4, 6

#: net -> inputs by name, in the order of the net's; labels
DATA: dict[str, tuple[dict[str, np.ndarray], np.ndarray]] = {
    "LeNet": ({"data": RNG.standard_normal((N, 1, 28, 28)).astype("f4")}, np.array([1, 7, 2])),
    "residual": ({"data": RNG.standard_normal((N, 3, 10, 10)).astype("f4")}, np.array([0, 3, 1])),
    "RNN": ({"data": RNG.standard_normal((T, N, IN)).astype("f4")}, RNG.integers(0, 3, (T, N))),
}


@dataclass
class Trained:
    """A net, inputs by the names that it has for them, and the door's own predictions of these."""

    captured: ft.Captured
    feeds: dict[str, np.ndarray]
    wanted: np.ndarray


# ---- Caffe ---------------------------------------------------------------------------------------------
FILL = 'weight_filler { type: "xavier" }'
CAFFE = {
    "LeNet": """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 4 kernel_size: 5 FILL } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 5 FILL } }
layer { name: "pool2" type: "Pooling" bottom: "conv2" top: "pool2" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool2" top: "ip1" inner_product_param { num_output: 20 FILL } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 FILL } }""",
    "residual": """
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 bias_term: false FILL } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "bn1" }
layer { name: "scale1" type: "Scale" bottom: "bn1" top: "bn1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "bn1" top: "bn1" }
layer { name: "sum" type: "Eltwise" bottom: "bn1" bottom: "data" top: "sum" }
layer { name: "pool" type: "Pooling" bottom: "sum" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip2" inner_product_param { num_output: 5 FILL } }""",
    "RNN": """
layer { name: "lstm" type: "LSTM" bottom: "data" bottom: "cont" top: "lstm"
  recurrent_param { num_output: 6 FILL } }
layer { name: "ip" type: "InnerProduct" bottom: "lstm" top: "ip2" inner_product_param { num_output: 3 axis: 2 FILL } }
""",
}
LOSS = """
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" softmax_param { axis: AXIS } }"""
PROB = 'layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" softmax_param { axis: AXIS } }'


def by_caffe(name: str, folder: Path) -> Trained:
    """Trained by a solver; deployed by a prototxt and the solver's caffemodel."""
    feeds, labels = DATA[name]
    if name == "RNN":
        marks = np.ones((T, N), "f4")
        marks[0] = 0
        feeds = {**feeds, "cont": marks}
    axis = str(labels.ndim)

    def written(file: str, inputs: dict[str, np.ndarray], end: str) -> str:
        text = f'name: "{name}"\n' + "".join(
            f'layer {{ name: "{blob}" type: "Input" top: "{blob}" input_param {{ shape {{ '
            + " ".join(f"dim: {size}" for size in x.shape)
            + " } } }\n"
            for blob, x in inputs.items()
        )
        path = folder / file
        path.write_text(text + (CAFFE[name] + end).replace("FILL", FILL).replace("AXIS", axis))
        return str(path)

    train = written("train.prototxt", {**feeds, "label": labels}, LOSS)
    (folder / "solver.prototxt").write_text(
        f'net: "{train}" base_lr: 0.05 momentum: 0.9 lr_policy: "fixed" random_seed: 4 solver_mode: CPU'
    )
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    for blob, x in {**feeds, "label": labels}.items():
        solver.net.blobs[blob].data[...] = x
    solver.step(STEPS)
    solver.net.save(str(folder / "trained.caffemodel"))
    net = caffe.Net(written("deploy.prototxt", feeds, PROB), str(folder / "trained.caffemodel"), caffe.TEST)
    for blob, x in feeds.items():
        net.blobs[blob].data[...] = x
    captured = ft.capture(net)
    return Trained(captured, feeds, net.forward()["prob"].copy())


# ---- Caffe2 --------------------------------------------------------------------------------------------
def _caffe2_lenet(model: Any) -> Any:
    conv1 = brew.conv(model, "data", "conv1", dim_in=1, dim_out=4, kernel=5)
    pool1 = brew.max_pool(model, conv1, "pool1", kernel=2, stride=2)
    conv2 = brew.conv(model, pool1, "conv2", dim_in=4, dim_out=6, kernel=5)
    pool2 = brew.max_pool(model, conv2, "pool2", kernel=2, stride=2)
    fc1 = brew.relu(model, brew.fc(model, pool2, "fc1", dim_in=96, dim_out=20), "fc1")
    return brew.fc(model, fc1, "fc2", dim_in=20, dim_out=10)


def _caffe2_residual(model: Any) -> Any:
    conv1 = brew.conv(model, "data", "conv1", dim_in=3, dim_out=3, kernel=3, pad=1, no_bias=1)
    bn1 = brew.relu(model, brew.spatial_bn(model, conv1, "bn1", 3, is_test=False), "bn1")
    total = brew.sum(model, [bn1, "data"], "sum")
    pool = brew.average_pool(model, total, "pool", global_pooling=True)
    return brew.fc(model, pool, "fc2", dim_in=3, dim_out=5)


def _caffe2_rnn(model: Any) -> Any:
    """An LSTM, its steps written into the net one by one."""
    states = [
        model.net.ConstantFill([], name, shape=[1, N, UNITS], value=0.0) for name in ("hidden0", "cell0")
    ]
    hidden, *_ = rnn_cell.LSTM(
        model, "data", None, states, IN, UNITS, "lstm", forward_only=True, static_rnn_unroll_size=T
    )
    scores = brew.fc(model, hidden, "fc2", dim_in=UNITS, dim_out=3, axis=2)
    return model.net.Reshape(scores, ["rows", "old_shape"], shape=[T * N, 3])[0]


def by_caffe2(name: str, folder: Path) -> Trained:
    """Trained by its operators; predictions by the operators for use."""
    feeds, labels = DATA[name]
    workspace.ResetWorkspace()
    model = model_helper.ModelHelper(name=name, arg_scope={"order": "NCHW"})
    build = {"LeNet": _caffe2_lenet, "residual": _caffe2_residual, "RNN": _caffe2_rnn}[name]
    softmax = brew.softmax(model, build(model), "prob")
    loss = model.AveragedLoss(model.LabelCrossEntropy([softmax, "label"], "xent"), "loss")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.05)
    for blob, x in feeds.items():
        workspace.FeedBlob(blob, x)
    workspace.FeedBlob("label", labels.reshape(-1).astype("i4"))
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    workspace.RunNet(model.net, STEPS)
    captured = ft.capture(ft.module(model, outputs=["prob"]).eval())
    test = model_helper.ModelHelper(name=f"{name}_test", arg_scope={"order": "NCHW"}, init_params=False)
    if name == "residual":
        conv1 = brew.conv(test, "data", "conv1", dim_in=3, dim_out=3, kernel=3, pad=1, no_bias=1)
        bn1 = brew.relu(test, brew.spatial_bn(test, conv1, "bn1", 3, is_test=True), "bn1")
        pool = brew.average_pool(test, brew.sum(test, [bn1, "data"], "sum"), "pool", global_pooling=True)
        brew.softmax(test, brew.fc(test, pool, "fc2", dim_in=3, dim_out=5), "prob")
    else:
        brew.softmax(test, build(test), "prob")
    workspace.RunNetOnce(test.net)
    return Trained(captured, feeds, workspace.FetchBlob("prob"))


# ---- Paddle --------------------------------------------------------------------------------------------
def _paddle_net(name: str) -> Any:
    p = paddle.nn

    class Residual(p.Layer):  # type: ignore[name-defined,misc]
        """A convolution with BatchNorm, the picture added."""

        def __init__(self) -> None:
            super().__init__()
            self.conv1 = p.Conv2D(3, 3, 3, padding=1, bias_attr=False)
            self.bn1 = p.BatchNorm2D(3)
            self.pool = p.AdaptiveAvgPool2D(1)
            self.fc = p.Linear(3, 5)

        def forward(self, x: Any) -> Any:
            made = p.functional.relu(self.bn1(self.conv1(x))) + x
            return self.fc(paddle.flatten(self.pool(made), 1))

    class Recurrent(p.Layer):  # type: ignore[name-defined,misc]
        """An LSTM over steps in front."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = p.LSTM(IN, UNITS, time_major=True)
            self.fc = p.Linear(UNITS, 3)

        def forward(self, x: Any) -> Any:
            return self.fc(self.lstm(x)[0])

    if name == "LeNet":
        return p.Sequential(
            p.Conv2D(1, 4, 5), p.MaxPool2D(2, 2), p.Conv2D(4, 6, 5), p.MaxPool2D(2, 2), p.Flatten(),
            p.Linear(96, 20), p.ReLU(), p.Linear(20, 10),
        )  # fmt: skip
    return Residual() if name == "residual" else Recurrent()


def by_paddle(name: str, folder: Path) -> Trained:
    """A layer trained by an optimizer; with the softmax behind it in use."""
    feeds, labels = DATA[name]
    paddle.seed(3)
    net = _paddle_net(name)
    sgd = paddle.optimizer.Momentum(0.05, parameters=net.parameters())
    x, y = paddle.to_tensor(feeds["data"]), paddle.to_tensor(labels.reshape(-1, 1).astype("i8"))
    for _ in range(STEPS):
        scores = net(x)
        loss = paddle.nn.functional.cross_entropy(scores.reshape([-1, scores.shape[-1]]), y)
        loss.backward()
        sgd.step()
        sgd.clear_grad()
    net.eval()
    whole = paddle.nn.Sequential(net, paddle.nn.Softmax())
    shape = list(feeds["data"].shape) if name == "RNN" else [None, *feeds["data"].shape[1:]]
    captured = ft.capture(whole, [paddle.static.InputSpec(shape, "float32", "data")])
    return Trained(captured, feeds, whole(x).numpy())


# ---- PyTorch -------------------------------------------------------------------------------------------
class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 5)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        made = torch.relu(self.bn1(self.conv1(data))) + data
        return self.fc(made.mean((2, 3)))


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(IN, UNITS)
        self.fc = nn.Linear(UNITS, 3)

    def forward(self, data: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(data)[0])


def by_torch(name: str, folder: Path) -> Trained:
    """A module trained by an optimizer; with the softmax behind it in use."""
    feeds, labels = DATA[name]
    torch.manual_seed(5)
    net: nn.Module = {
        "LeNet": lambda: nn.Sequential(
            nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.Conv2d(4, 6, 5), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(96, 20), nn.ReLU(), nn.Linear(20, 10),
        ),
        "residual": _Residual,
        "RNN": _Recurrent,
    }[name]()  # fmt: skip
    sgd = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    x, y = torch.from_numpy(feeds["data"]), torch.from_numpy(labels.reshape(-1))
    for _ in range(STEPS):
        sgd.zero_grad()
        scores = net(x)
        nn.functional.cross_entropy(scores.flatten(0, -2), y).backward()
        sgd.step()
    whole = nn.Sequential(net, nn.Softmax(-1)).eval()
    with torch.no_grad():
        wanted = whole(x).numpy()
    captured = ft.capture(whole, x, open_batch=False if name == "RNN" else None)
    captured.rename({captured.inputs[0]: "data"})
    return Trained(captured, feeds, wanted)


DOORS: dict[str, Callable[[str, Path], Trained]] = {
    "Caffe": by_caffe,
    "Caffe2": by_caffe2,
    "Paddle": by_paddle,
    "PyTorch": by_torch,
}
