"""The main job through the Caffe2 door: nets of operators that read an LMDB, in a workspace of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.cli._mnist import data
from freshpot.cli._mnist.job import TEST_BATCH, Job, OnStep, Settings, TestResult
from freshpot.data.mnist import MnistSplit
from freshpot.viz.dot import Dot
from freshpot.viz.graph import net_graph

__all__ = ["Caffe2Job"]


class Caffe2Job(Job):
    """LeNet or an MLP, built by ``brew`` as the tutorial builds it."""

    dialect = "caffe2"
    title = "Caffe2"
    models = ("lenet", "mlp")

    def __init__(self, settings: Settings, train: MnistSplit, test: MnistSplit) -> None:
        from caffe2.python import workspace

        super().__init__(settings, train, test)
        train_db, test_db = data.caffe2_lmdb(train), data.caffe2_lmdb(test)
        self.train_size, self.test_size = len(train), len(test)
        workspace.SwitchWorkspace("freshpot mnist", True)
        workspace.ResetWorkspace(str(settings.out))
        with _device_scope(settings):
            self.train_model = _model("mnist_train", settings, settings.batch_size, train_db, train=True)
            self.test_model = _model("mnist_test", settings, TEST_BATCH, test_db, train=False)
            self.deploy_model = _deploy_model(settings)
        self._start(workspace)

    def _start(self, workspace: Any) -> None:
        import torch

        torch.manual_seed(self.settings.seed)
        workspace.RunNetOnce(self.train_model.param_init_net)
        workspace.CreateNet(self.train_model.net, overwrite=True)
        workspace.RunNetOnce(self.test_model.param_init_net)
        workspace.CreateNet(self.test_model.net, overwrite=True)

    # ---- training ------------------------------------------------------------------------------
    def train(self, steps: int, on_step: OnStep) -> None:
        from caffe2.python import workspace

        name = self.train_model.net.Proto().name
        while self.history.steps < steps:
            workspace.RunNet(name)
            loss = float(workspace.FetchBlob("loss"))
            accuracy = float(workspace.FetchBlob("accuracy"))
            self.history.add(loss, accuracy)
            on_step(loss, accuracy)

    def test(self) -> TestResult:
        from caffe2.python import workspace

        name = self.test_model.net.Proto().name
        softmax, labels = [], []
        for _ in range(-(-self.test_size // TEST_BATCH)):
            workspace.RunNet(name)
            softmax.append(workspace.FetchBlob("softmax"))
            labels.append(workspace.FetchBlob("label"))
        return TestResult.of(
            np.concatenate(softmax)[: self.test_size], np.concatenate(labels)[: self.test_size]
        )

    # ---- keeping -------------------------------------------------------------------------------
    def _state_blobs(self) -> list[str]:
        return [
            *map(str, self.train_model.params),
            *map(str, self.train_model.GetAllParams()),
            "optimizer_iteration",
        ]

    def snapshot(self) -> Path:
        from caffe2.python import core, workspace

        path = self.settings.out / "snapshot.minidb"
        blobs = [b for b in dict.fromkeys(self._state_blobs()) if workspace.HasBlob(b)]
        workspace.RunOperatorOnce(
            core.CreateOperator("Save", blobs, [], absolute_path=1, db=str(path), db_type="minidb")
        )
        self._describe(blobs=blobs)
        return path

    def resume(self) -> int:
        from caffe2.python import core, workspace

        path = self.settings.out / "snapshot.minidb"
        blobs = [str(blob) for blob in self._described(path.name).get("blobs", ())]
        workspace.RunOperatorOnce(
            core.CreateOperator("Load", [], blobs, absolute_path=1, db=str(path), db_type="minidb")
        )
        self._skip_batches(self.history.steps)
        return self.history.steps

    def _skip_batches(self, steps: int) -> None:
        """Let the reader stand where it stood after ``steps`` training steps (it has read nothing yet)."""
        from caffe2.python._workspace import state

        reader = state.current().get(self.train_model.net.Proto().op[0].input[0])
        records = steps * self.settings.batch_size % self.train_size
        while records:
            records -= len(reader.read_many(min(records, 10_000)))

    def save(self) -> Path:
        """The deploy net with its parameters as one minidb file."""
        from caffe2.python.predictor import predictor_exporter as pe

        path = self.settings.out / f"mnist_{self.settings.model}.minidb"
        meta = pe.PredictorExportMeta(
            predict_net=self.deploy_model.net.Proto(),
            parameters=[str(b) for b in self.deploy_model.params],
            inputs=["data"],
            outputs=["softmax"],
        )
        pe.save_to_db("minidb", str(path), meta)
        return path

    def predict(self, path: Path, images: np.ndarray) -> np.ndarray:
        """In a fresh workspace."""
        from caffe2.python import workspace
        from caffe2.python.predictor import predictor_exporter as pe

        before = workspace.CurrentWorkspace()
        workspace.SwitchWorkspace("freshpot mnist, reloaded", True)
        try:
            workspace.ResetWorkspace()
            net = pe.prepare_prediction_net(str(path), "minidb")
            workspace.FeedBlob("data", self.prepared(images))
            workspace.RunNetOnce(net)
            return workspace.FetchBlob("softmax")
        finally:
            workspace.ResetWorkspace()
            workspace.SwitchWorkspace(before)

    # ---- to look at ----------------------------------------------------------------------------
    def prepared(self, images: np.ndarray) -> np.ndarray:
        return np.float32(images[:, None]) * np.float32(1 / 256)

    def parameters(self) -> int:
        from caffe2.python import workspace

        return sum(workspace.FetchBlob(str(p)).size for p in self.train_model.params)

    def conv1(self) -> tuple[np.ndarray, np.ndarray] | None:
        from caffe2.python import workspace

        if self.settings.model != "lenet":
            return None
        return workspace.FetchBlob("conv1_w"), workspace.FetchBlob("conv1_b")

    def graph(self) -> Dot | None:
        return net_graph(self.train_model.net.Proto().op, self.settings.model, rankdir="TB")


# ---- the nets, as the Caffe2 tutorial builds them -------------------------------------------------


def _device_scope(settings: Settings) -> Any:
    from caffe2.proto import caffe2_pb2
    from caffe2.python import core

    if settings.gpu is None:
        return core.DeviceScope(core.DeviceOption(caffe2_pb2.CPU))
    return core.DeviceScope(core.DeviceOption(caffe2_pb2.CUDA, settings.gpu))


def _model(name: str, settings: Settings, batch_size: int, db: Path, train: bool) -> Any:
    from caffe2.python import brew, core, model_helper, optimizer

    model = model_helper.ModelHelper(name=name, arg_scope={"order": "NCHW"}, init_params=train)
    image, label = model.TensorProtosDBInput(
        [], ["data_uint8", "label"], batch_size=batch_size, db=str(db), db_type="lmdb"
    )
    data = model.Cast(image, "data", to=core.DataType.FLOAT)
    data = model.Scale(data, data, scale=float(1.0 / 256))
    data = model.StopGradient(data, data)
    softmax = _NETS[settings.model](model, data)
    brew.accuracy(model, [softmax, label], "accuracy")
    if train:
        loss = model.AveragedLoss(model.LabelCrossEntropy([softmax, label], "xent"), "loss")
        model.AddGradientOperators([loss])
        optimizer.build_sgd(model, base_learning_rate=0.1, policy="step", stepsize=1, gamma=0.999)
    return model


def _deploy_model(settings: Settings) -> Any:
    from caffe2.python import model_helper

    model = model_helper.ModelHelper(name="mnist_deploy", arg_scope={"order": "NCHW"}, init_params=False)
    _NETS[settings.model](model, "data")
    return model


def _lenet(model: Any, data: Any) -> Any:
    from caffe2.python import brew

    conv1 = brew.conv(model, data, "conv1", dim_in=1, dim_out=20, kernel=5)
    pool1 = brew.max_pool(model, conv1, "pool1", kernel=2, stride=2)
    conv2 = brew.conv(model, pool1, "conv2", dim_in=20, dim_out=50, kernel=5)
    pool2 = brew.max_pool(model, conv2, "pool2", kernel=2, stride=2)
    fc3 = brew.fc(model, pool2, "fc3", dim_in=50 * 4 * 4, dim_out=500)
    relu3 = brew.relu(model, fc3, "relu3")
    return brew.softmax(model, brew.fc(model, relu3, "pred", dim_in=500, dim_out=10), "softmax")


def _mlp(model: Any, data: Any) -> Any:
    from caffe2.python import brew

    sizes = [784, 1568, 1568]
    layer = data
    for i in range(2):
        layer = brew.fc(model, layer, f"dense_{i}", dim_in=sizes[i], dim_out=sizes[i + 1])
        layer = brew.relu(model, layer, f"relu_{i}")
    return brew.softmax(model, brew.fc(model, layer, "pred", dim_in=sizes[2], dim_out=10), "softmax")


_NETS: dict[str, Callable[[Any, Any], Any]] = {"lenet": _lenet, "mlp": _mlp}
