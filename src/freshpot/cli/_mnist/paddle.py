"""The main job through the Paddle door: a ``paddle.Model`` that is fitted, saved as ``.pdparams`` and ``.pdopt``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from freshpot.cli._mnist import data
from freshpot.cli._mnist.job import TEST_BATCH, Job, OnStep, Settings, TestResult
from freshpot.data.mnist import MnistSplit

__all__ = ["PaddleJob"]


class PaddleJob(Job):
    """LeNet as layers, ``Model.fit`` with Momentum, an epoch a call."""

    dialect = "paddle"
    title = "Paddle"
    model: Any
    metric: Any
    _train: Any
    _test: Any
    _labels: np.ndarray

    def __init__(self, settings: Settings, train: MnistSplit, test: MnistSplit) -> None:
        from freshpot import paddle

        super().__init__(settings, train, test)
        paddle.disable_static()
        paddle.set_device("cpu" if settings.gpu is None else f"gpu:{settings.gpu}")
        paddle.seed(settings.seed)
        self._train, self._test = (_pictures(split) for split in (train, test))
        self._labels = test.labels.astype(np.int64)
        self.model = _model()
        self.metric = paddle.metric.Accuracy()
        self.model.prepare(
            paddle.optimizer.Momentum(
                learning_rate=0.01,
                momentum=0.9,
                parameters=self.model.parameters(),
                weight_decay=paddle.regularizer.L2Decay(0.0005),
            ),
            paddle.nn.CrossEntropyLoss(),
            self.metric,
        )

    def train(self, steps: int, on_step: OnStep) -> None:
        from freshpot import paddle

        batch = self.settings.batch_size
        while self.history.steps < steps:
            length = -(-len(self._train) // batch)
            epoch, done = divmod(self.history.steps, length)
            order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self._train))
            batches = paddle.io.BatchSampler(sampler=order[done * batch :].tolist(), batch_size=batch)
            self.model.fit(
                # in an order that a resumed run finds again
                paddle.io.DataLoader(self._train, batch_sampler=batches),
                epochs=1,
                verbose=0,
                num_iters=min(length - done, steps - self.history.steps),
                callbacks=[_watch(self, on_step)],
            )

    def test(self) -> TestResult:
        return TestResult.of(_predicted(self.model, self._test), self._labels)

    # ---- keeping -------------------------------------------------------------------------------
    def snapshot(self) -> Path:
        path = self.settings.out / "snapshot"
        self.model.save(str(path))
        self._describe()
        return path.with_suffix(".pdparams")

    def resume(self) -> int:
        self._described("snapshot.pdparams", "snapshot.pdopt")
        self.model.load(str(self.settings.out / "snapshot"))
        return self.history.steps

    def save(self) -> Path:
        path = self.settings.out / "lenet"
        self.model.save(str(path))
        return path.with_suffix(".pdparams")

    def predict(self, path: Path, images: np.ndarray) -> np.ndarray:
        """By a model of its own that loads the file."""
        from freshpot import paddle

        model = _model()
        model.load(str(path), reset_optimizer=True)
        model.network.eval()
        return _softmax(model.predict_batch([paddle.to_tensor(self.prepared(images))])[0])

    # ---- to look at ----------------------------------------------------------------------------
    def prepared(self, images: np.ndarray) -> np.ndarray:
        return np.float32(images[:, None]) / np.float32(127.5) - np.float32(1)

    def parameters(self) -> int:
        return sum(p.numpy().size for p in self.model.parameters())

    def conv1(self) -> tuple[np.ndarray, np.ndarray] | None:
        conv = self.model.network[0]
        return conv.weight.numpy(), conv.bias.numpy()


def _watch(job: PaddleJob, on_step: OnStep) -> Any:
    """The callback that keeps the history."""
    from freshpot import paddle

    class Watch(paddle.callbacks.Callback):
        def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
            job.metric.reset()  # so that it speaks of one batch

        def on_train_batch_end(self, step: int, logs: Any = None) -> None:
            loss, accuracy = float(logs["loss"][0]), float(logs["acc"])
            job.history.add(loss, accuracy)
            on_step(loss, accuracy)

    return Watch()


def _pictures(split: MnistSplit) -> Any:
    """The split by ``paddle.vision.datasets.MNIST``: float32 (1, 28, 28) from -1 to 1, and int64 (1,)."""
    from freshpot import paddle

    folder = data.idx_folder(split)
    images, labels = (str(folder / name) for name in data.IDX_NAMES[split.split])
    return paddle.vision.datasets.MNIST(images, labels, mode=split.split)


def _model() -> Any:
    """LeNet's layers, with scores at the end."""
    from freshpot import paddle

    nn: Any = paddle.nn
    with paddle.utils.unique_name.guard():  # the optimizer's file speaks of parameters by these names
        return paddle.Model(
            nn.Sequential(
                nn.Conv2D(1, 20, 5),
                nn.MaxPool2D(2, 2),
                nn.Conv2D(20, 50, 5),
                nn.MaxPool2D(2, 2),
                nn.Flatten(),
                nn.Linear(800, 500),
                nn.ReLU(),
                nn.Linear(500, 10),
            )
        )


def _predicted(model: Any, pictures: Any) -> np.ndarray:
    scores = model.predict(pictures, batch_size=TEST_BATCH, stack_outputs=True, verbose=0)
    return _softmax(scores[0])


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)
