"""LeNet's training step in PaddlePaddle 2: forward, cross-entropy, backward, SGD; the loss is read."""

import importlib

import numpy as np


def version():
    """Of PaddlePaddle."""
    import paddle

    return f"PaddlePaddle {paddle.__version__}"


def make(threads, batch=64, package=None):
    """The step on a batch in memory; ``package``: what to take for paddle, if not the module of that name."""
    paddle = package
    if paddle is None:
        paddle = importlib.import_module("paddle")
        paddle.set_device("cpu")
    net = paddle.nn.Sequential(
        paddle.nn.Conv2D(1, 20, 5),
        paddle.nn.MaxPool2D(2, 2),
        paddle.nn.Conv2D(20, 50, 5),
        paddle.nn.MaxPool2D(2, 2),
        paddle.nn.Flatten(),
        paddle.nn.Linear(800, 500),
        paddle.nn.ReLU(),
        paddle.nn.Linear(500, 10),
    )
    update = paddle.optimizer.SGD(learning_rate=0.01, parameters=net.parameters())
    rng = np.random.RandomState(0)
    x = paddle.to_tensor(rng.rand(batch, 1, 28, 28).astype("float32"))
    y = paddle.to_tensor(rng.randint(0, 10, (batch, 1)).astype("int64"))
    loss_of = paddle.nn.CrossEntropyLoss()

    def step():
        loss = loss_of(net(x), y)
        loss.backward()
        update.step()
        update.clear_grad()
        return float(loss.numpy().reshape(-1)[0])

    return step
