"""The main job through the Caffe door: prototxts written by ``NetSpec``, a solver that reads an LMDB, a caffemodel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from freshpot.cli._mnist import data
from freshpot.cli._mnist.job import TEST_BATCH, Job, OnStep, Settings, TestResult
from freshpot.data.mnist import MnistSplit
from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes
from freshpot.viz.dot import Dot

__all__ = ["CaffeJob"]

SCALE = 0.00390625  # 1 / 256, as in Caffe's example
_FILES = ("lenet_train.prototxt", "lenet_test.prototxt", "lenet_deploy.prototxt", "lenet_solver.prototxt")


class CaffeJob(Job):
    """LeNet with the solver of Caffe's example; everything that it runs on lies in the output folder."""

    dialect = "caffe"
    title = "Caffe"

    def __init__(self, settings: Settings, train: MnistSplit, test: MnistSplit) -> None:
        import caffe

        super().__init__(settings, train, test)
        self.test_size = len(test)
        if settings.gpu is None:
            caffe.set_mode_cpu()
        else:
            caffe.set_device(settings.gpu)
            caffe.set_mode_gpu()
        texts = (
            _net(data.caffe_lmdb(train), settings.batch_size, test=False),
            _net(data.caffe_lmdb(test), TEST_BATCH, test=True),
            _deploy(),
            _solver(settings, -(-len(test) // TEST_BATCH)),
        )
        for name, text in zip(_FILES, texts, strict=True):
            write_bytes(settings.out / name, text.encode())
        self.solver = caffe.get_solver(str(settings.out / _FILES[3]))

    def train(self, steps: int, on_step: OnStep) -> None:
        blobs = self.solver.net.blobs
        while self.history.steps < steps:
            self.solver.step(1)
            loss, accuracy = float(blobs["loss"].data), float(blobs["accuracy"].data)
            self.history.add(loss, accuracy)
            on_step(loss, accuracy)

    def test(self) -> TestResult:
        net = self.solver.test_nets[0]
        net.share_with(self.solver.net)
        softmax, labels = [], []
        for _ in range(-(-self.test_size // TEST_BATCH)):
            net.forward()
            softmax.append(net.blobs["prob"].data.copy())
            labels.append(net.blobs["label"].data.copy())
        return TestResult.of(
            np.concatenate(softmax)[: self.test_size],
            np.concatenate(labels)[: self.test_size].astype(np.int64),
        )

    # ---- keeping -------------------------------------------------------------------------------
    def snapshot(self) -> Path:
        """Caffe's own: ``snapshot_iter_N.caffemodel`` and ``.solverstate``; the ones before go."""
        self.solver.snapshot()
        stem = f"snapshot_iter_{self.history.steps}"
        self._describe(state=f"{stem}.solverstate")
        for old in self.settings.out.glob("snapshot_iter_*.*"):
            if old.suffix in (".caffemodel", ".solverstate") and old.stem != stem:
                old.unlink(missing_ok=True)
        return self.settings.out / f"{stem}.caffemodel"

    def resume(self) -> int:
        state = str(self._described().get("state", ""))
        path = self.settings.out / Path(state).name
        if not state or not path.is_file():
            raise DataError(f"the snapshot in {self.settings.out} is not complete: {path.name} is missing.")
        self.solver.restore(str(path))
        return self.history.steps

    def save(self) -> Path:
        """``lenet.caffemodel``, to be loaded with ``lenet_deploy.prototxt`` beside it."""
        path = self.settings.out / "lenet.caffemodel"
        self.solver.net.save(str(path))
        return path

    def predict(self, path: Path, images: np.ndarray) -> np.ndarray:
        """By a ``caffe.Net`` of the deploy net and the saved weights."""
        import caffe

        net = caffe.Net(str(path.with_name(_FILES[2])), str(path), caffe.TEST)
        net.blobs["data"].reshape(len(images), 1, 28, 28)
        net.blobs["data"].data[...] = self.prepared(images)
        return net.forward()["prob"].copy()

    # ---- to look at ----------------------------------------------------------------------------
    def prepared(self, images: np.ndarray) -> np.ndarray:
        return np.float32(images[:, None]) * np.float32(SCALE)

    def parameters(self) -> int:
        return sum(blob.data.size for blobs in self.solver.net.params.values() for blob in blobs)

    def conv1(self) -> tuple[np.ndarray, np.ndarray] | None:
        weights, biases = self.solver.net.params["conv1"]
        return weights.data.copy(), biases.data.copy()

    def graph(self) -> Dot | None:
        from google.protobuf import text_format

        from caffe import draw
        from caffe.proto import caffe_pb2

        net = caffe_pb2.NetParameter()
        text_format.Merge((self.settings.out / _FILES[0]).read_text(encoding="utf-8"), net)
        return draw.get_pydot_graph(net, "TB")


def _net(source: Path, batch_size: int, *, test: bool) -> str:
    """The prototxt of training or testing."""
    import caffe
    from caffe import layers as L
    from caffe import params as P

    n = caffe.NetSpec()
    n.data, n.label = L.Data(
        batch_size=batch_size,
        backend=P.Data.LMDB,
        source=str(source),
        transform_param={"scale": SCALE},
        ntop=2,
    )
    _body(n, L, P)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    n.accuracy = L.Accuracy(n.ip2, n.label)
    if test:
        n.prob = L.Softmax(n.ip2)
    return f'name: "LeNet"\n{n.to_proto()}'


def _deploy() -> str:
    """The prototxt for those who use the net: pictures in, probabilities out."""
    import caffe
    from caffe import layers as L
    from caffe import params as P

    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [TEST_BATCH, 1, 28, 28]})
    _body(n, L, P)
    n.prob = L.Softmax(n.ip2)
    return f'name: "LeNet"\n{n.to_proto()}'


def _body(n: Any, L: Any, P: Any) -> None:
    """From ``data`` to ``ip2``, as in Caffe's example: biases learn at twice the rate."""
    learning = {
        "param": [{"lr_mult": 1}, {"lr_mult": 2}],
        "weight_filler": {"type": "xavier"},
        "bias_filler": {"type": "constant"},
    }
    pooled = {"kernel_size": 2, "stride": 2, "pool": P.Pooling.MAX}
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, **learning)
    n.pool1 = L.Pooling(n.conv1, **pooled)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, **learning)
    n.pool2 = L.Pooling(n.conv2, **pooled)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, **learning)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10, **learning)


def _solver(settings: Settings, test_batches: int) -> str:
    """The prototxt of the solver of Caffe's example; it trains as long as it is told to."""
    from caffe.proto import caffe_pb2

    solver = caffe_pb2.SolverParameter(
        train_net=str(settings.out / _FILES[0]),
        test_net=[str(settings.out / _FILES[1])],
        test_iter=[test_batches],
        test_interval=2**31 - 1,
        test_initialization=False,
        base_lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        lr_policy="inv",
        gamma=0.0001,
        power=0.75,
        max_iter=2**31 - 1,
        snapshot_prefix=str(settings.out / "snapshot"),
        snapshot_after_train=False,
        random_seed=settings.seed,
        solver_mode=caffe_pb2.SolverParameter.CPU if settings.gpu is None else caffe_pb2.SolverParameter.GPU,
    )
    return str(solver)
