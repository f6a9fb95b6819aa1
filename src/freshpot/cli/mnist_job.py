"""The main job: LeNet (or an MLP) on MNIST through the Caffe2 door.

Owned here: building, training, testing, saving and reloading one model. Who calls it: `cli.mnist`.
What the job shows of itself is in `cli.mnist_report`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from freshpot.errors import DataError, FormatError
from freshpot.formats.atomic import write_bytes

TEST_BATCH = 100


@dataclass(slots=True)
class Settings:
    """What the user chose. ``device``: "cpu" or "cuda:N"."""

    model: str
    batch_size: int
    seed: int
    device: str
    out: Path


@dataclass(slots=True)
class History:
    """Loss and accuracy of every training step so far (of the step's own batch)."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return len(self.loss)


@dataclass(slots=True)
class TestResult:
    """``softmax``: (N, 10) probabilities for the N test images, in file order."""

    accuracy: float
    softmax: np.ndarray
    labels: np.ndarray


class MnistJob:
    """One model in a workspace of its own, from empty parameters to a saved predictor."""

    def __init__(self, settings: Settings, train: tuple[Path, int], test: tuple[Path, int]) -> None:
        """``train`` and ``test``: an LMDB of TensorProtos and the number of its records."""
        from caffe2.python import workspace

        self.settings = settings
        (train_db, self.train_size), (test_db, self.test_size) = train, test
        workspace.SwitchWorkspace("freshpot mnist", True)
        workspace.ResetWorkspace(str(settings.out))
        with _device_scope(settings.device):
            self.train_model = _model("mnist_train", settings, settings.batch_size, train_db, train=True)
            self.test_model = _model("mnist_test", settings, TEST_BATCH, test_db, train=False)
            self.deploy_model = _deploy_model(settings)
        self._start(workspace)
        self.history = History()

    def _start(self, workspace: Any) -> None:
        import torch

        torch.manual_seed(self.settings.seed)
        workspace.RunNetOnce(self.train_model.param_init_net)
        workspace.CreateNet(self.train_model.net, overwrite=True)
        workspace.RunNetOnce(self.test_model.param_init_net)
        workspace.CreateNet(self.test_model.net, overwrite=True)

    # ---- training ------------------------------------------------------------------------------
    def train(self, steps: int) -> Iterator[tuple[float, float]]:
        """Run training steps up to a total of ``steps``, yielding loss and accuracy of each."""
        from caffe2.python import workspace

        name = self.train_model.net.Proto().name
        while self.history.steps < steps:
            workspace.RunNet(name)
            loss = float(workspace.FetchBlob("loss"))
            accuracy = float(workspace.FetchBlob("accuracy"))
            self.history.loss.append(loss)
            self.history.accuracy.append(accuracy)
            yield loss, accuracy

    def test(self, on_batch: Callable[[int], None] = lambda _: None) -> TestResult:
        """Run the test images through the net; accuracy is over all of them."""
        from caffe2.python import workspace

        name = self.test_model.net.Proto().name
        softmax, labels = [], []
        for i in range(-(-self.test_size // TEST_BATCH)):
            workspace.RunNet(name)
            softmax.append(workspace.FetchBlob("softmax"))
            labels.append(workspace.FetchBlob("label"))
            on_batch(i)
        p, y = np.concatenate(softmax)[: self.test_size], np.concatenate(labels)[: self.test_size]
        return TestResult(float((p.argmax(1) == y).mean()), p, y)

    # ---- keeping -------------------------------------------------------------------------------
    def _state_blobs(self) -> list[str]:
        return [
            *map(str, self.train_model.params),
            *map(str, self.train_model.GetAllParams()),
            "optimizer_iteration",
        ]

    def snapshot(self) -> Path:
        """Write parameters, iteration and history so that `resume` goes on from here."""
        from caffe2.python import core, workspace

        path = self.settings.out / "snapshot.minidb"
        blobs = [b for b in dict.fromkeys(self._state_blobs()) if workspace.HasBlob(b)]
        workspace.RunOperatorOnce(
            core.CreateOperator("Save", blobs, [], absolute_path=1, db=str(path), db_type="minidb")
        )
        about = {
            "model": self.settings.model,
            "blobs": blobs,
            "loss": self.history.loss,
            "accuracy": self.history.accuracy,
        }
        write_bytes(path.with_suffix(".json"), json.dumps(about).encode())
        return path

    def resume(self) -> int:
        """Go on from the snapshot in the output folder; returns the steps done so far.

        Raises:
            DataError: there is no snapshot, or it is of another model.
        """
        from caffe2.python import core, workspace

        path = self.settings.out / "snapshot.minidb"
        about_path = path.with_suffix(".json")
        if not path.exists() or not about_path.exists():
            raise DataError(f"no snapshot to resume from in {self.settings.out} (snapshot.minidb and .json).")
        try:
            about = json.loads(about_path.read_text(encoding="utf-8"))
            model, blobs = about["model"], [str(b) for b in about["blobs"]]
            self.history = History([float(x) for x in about["loss"]], [float(x) for x in about["accuracy"]])
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"not a snapshot description: {error}", path=about_path) from error
        if model != self.settings.model:
            raise DataError(
                f"the snapshot in {self.settings.out} is of model '{model}', not '{self.settings.model}'."
            )
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

    def save_predictor(self) -> Path:
        """Export the deploy net with its parameters as one minidb file."""
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


def predict(path: Path, images: np.ndarray) -> np.ndarray:
    """Load a saved predictor into a fresh workspace; probabilities (N, 10) for images (N, 1, 28, 28)."""
    from caffe2.python import workspace
    from caffe2.python.predictor import predictor_exporter as pe

    before = workspace.CurrentWorkspace()
    workspace.SwitchWorkspace("freshpot mnist, reloaded", True)
    try:
        workspace.ResetWorkspace()
        net = pe.prepare_prediction_net(str(path), "minidb")
        workspace.FeedBlob("data", images)
        workspace.RunNetOnce(net)
        return workspace.FetchBlob("softmax")
    finally:
        workspace.ResetWorkspace()
        workspace.SwitchWorkspace(before)


# ---- the nets, as the Caffe2 tutorial builds them -------------------------------------------------


def _device_scope(device: str) -> Any:
    from caffe2.proto import caffe2_pb2
    from caffe2.python import core

    if device == "cpu":
        return core.DeviceScope(core.DeviceOption(caffe2_pb2.CPU))
    return core.DeviceScope(core.DeviceOption(caffe2_pb2.CUDA, int(device.partition(":")[2] or 0)))


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
