"""The Paddle tutorial's training of LeNet on MNIST, its own loop or ``Model.fit``, on so many batches of an epoch.

The original's side keeps the pictures as 2.0-beta did, a scaled array each; freshpot's is `vision.datasets.MNIST`.
"""

import contextlib
import gzip
import importlib
import io
import itertools
import os

import numpy as np


def version():
    """Of PaddlePaddle."""
    import paddle

    return f"PaddlePaddle {paddle.__version__}"


def make(threads, way="loop", batches=100, folder=None, own=False):
    """One turn: train on ``batches`` batches of 64. ``own``: freshpot's paddle, on MNIST as freshpot finds it."""
    if own:
        importlib.import_module("torch").set_num_threads(threads)
        importlib.import_module("freshpot.paddle").install(force=True)
    paddle = importlib.import_module("paddle")
    train = paddle.vision.datasets.MNIST(mode="train") if own else _beta_mnist(paddle, folder)
    work = {"loop": _loop, "fit": _fit}[way](paddle, train, batches)

    def turn():
        with contextlib.redirect_stdout(io.StringIO()):
            return work()

    return turn


def _beta_mnist(paddle, folder):
    def read(name, start, shape):
        with gzip.open(os.path.join(folder, name), "rb") as file:
            return np.frombuffer(file.read(), np.uint8, offset=start).reshape(shape)

    pixels = read("train-images-idx3-ubyte.gz", 16, (-1, 784)).astype("float32") / 255.0 * 2.0 - 1.0
    labels = read("train-labels-idx1-ubyte.gz", 8, (-1, 1)).astype("int64")

    class MNIST(paddle.io.Dataset):  # type: ignore[name-defined]
        images, numbers = list(pixels.astype("float32")), list(labels)

        def __getitem__(self, index):
            return np.reshape(self.images[index], [1, 28, 28]), self.numbers[index]

        def __len__(self):
            return len(self.numbers)

    return MNIST()


def _net(paddle):
    F = paddle.nn.functional

    class LeNet(paddle.nn.Layer):  # type: ignore[name-defined]
        def __init__(self):
            super().__init__()
            self.conv1 = paddle.nn.Conv2D(in_channels=1, out_channels=6, kernel_size=5, stride=1, padding=2)
            self.max_pool1 = paddle.nn.MaxPool2D(kernel_size=2, stride=2)
            self.conv2 = paddle.nn.Conv2D(in_channels=6, out_channels=16, kernel_size=5, stride=1)
            self.max_pool2 = paddle.nn.MaxPool2D(kernel_size=2, stride=2)
            self.linear1 = paddle.nn.Linear(in_features=16 * 5 * 5, out_features=120)
            self.linear2 = paddle.nn.Linear(in_features=120, out_features=84)
            self.linear3 = paddle.nn.Linear(in_features=84, out_features=10)

        def forward(self, x):
            x = self.max_pool1(F.relu(self.conv1(x)))
            x = self.max_pool2(self.conv2(F.relu(x)))
            x = paddle.flatten(x, start_axis=1, stop_axis=-1)
            x = F.relu(self.linear1(x))
            x = F.relu(self.linear2(x))
            return F.softmax(self.linear3(x))

    return LeNet()


def _loop(paddle, train, batches):
    loader = paddle.io.DataLoader(train, places=paddle.CPUPlace(), batch_size=64, shuffle=True)
    model = _net(paddle)
    optim = paddle.optimizer.Adam(learning_rate=0.001, parameters=model.parameters())

    def turn():
        model.train()
        for batch_id, data in enumerate(itertools.islice(loader(), batches)):
            predicts = model(data[0])
            loss = paddle.nn.functional.cross_entropy(predicts, data[1])
            acc = paddle.metric.accuracy(predicts, data[1], k=2)
            avg_loss, avg_acc = paddle.mean(loss), paddle.mean(acc)
            avg_loss.backward()
            if batch_id % 100 == 0:
                print(f"batch_id: {batch_id}, loss is: {avg_loss.numpy()}, acc is: {avg_acc.numpy()}")
            optim.step()
            optim.clear_grad()
        return float(avg_loss.numpy().reshape(-1)[0])

    return turn


def _fit(paddle, train, batches):
    spec = paddle.static.InputSpec
    model = paddle.Model(
        _net(paddle), spec([None, 1, 28, 28], "float32", "x"), spec([None, 1], "int64", "label")
    )
    optim = paddle.optimizer.Adam(learning_rate=0.001, parameters=model.parameters())
    model.prepare(optim, paddle.nn.CrossEntropyLoss(), paddle.metric.Accuracy(topk=(1, 2)))

    def turn():
        model.fit(train, epochs=1, batch_size=64, log_freq=200, num_iters=batches)

    return turn
