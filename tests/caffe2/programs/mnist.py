"""The MNIST tutorial: LeNet and a perceptron, for training, testing, deployment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from caffe2.python import brew, core, model_helper, optimizer
from programs.common import Program

ORDER = {"order": "NCHW"}


def add_input(model: Any, batch_size: int, db: str) -> Any:
    data, label = model.TensorProtosDBInput(
        [], ["data_uint8", "label"], batch_size=batch_size, db=db, db_type="minidb"
    )
    data = model.Cast(data, "data", to=core.DataType.FLOAT)
    data = model.Scale(data, data, scale=float(1.0 / 256))
    return model.StopGradient(data, data), label


def lenet(model: Any, data: Any, relu_in_place: bool = False) -> Any:
    x = brew.conv(model, data, "conv1", dim_in=1, dim_out=20, kernel=5)
    x = brew.max_pool(model, x, "pool1", kernel=2, stride=2)
    x = brew.conv(model, x, "conv2", dim_in=20, dim_out=50, kernel=5)
    x = brew.max_pool(model, x, "pool2", kernel=2, stride=2)
    x = brew.fc(model, x, "fc3", dim_in=50 * 4 * 4, dim_out=500)
    x = brew.relu(model, x, x if relu_in_place else "relu3")
    x = brew.fc(model, x, "pred", dim_in=500, dim_out=10)
    return brew.softmax(model, x, "softmax")


def perceptron(model: Any, x: Any, sizes: Any = (784, 1568, 1568, 10)) -> Any:
    for i in range(len(sizes) - 1):
        x = brew.fc(model, x, f"dense_{i}", dim_in=sizes[i], dim_out=sizes[i + 1])
        x = brew.relu(model, x, f"relu_{i}")
    return brew.softmax(model, x, "softmax")


def add_bookkeeping(model: Any) -> None:
    model.Print("accuracy", [], to_file=1)
    model.Print("loss", [], to_file=1)
    for param in model.params:
        model.Summarize(param, [], to_file=1)
        model.Summarize(model.param_to_grad[param], [], to_file=1)


def sgd(model: Any) -> None:
    optimizer.build_sgd(model, base_learning_rate=0.1, policy="step", stepsize=1, gamma=0.999)


def sgd_by_hand(model: Any) -> None:
    counter = brew.iter(model, "iter")
    rate = model.LearningRate(counter, "LR", base_lr=-0.1, policy="step", stepsize=1, gamma=0.999)
    one = model.param_init_net.ConstantFill([], "ONE", shape=[1], value=1.0)
    for param in model.params:
        model.WeightedSum([param, one, model.param_to_grad[param], rate], param)


def training(body: Callable[..., Any], update: Callable[[Any], None] = sgd) -> Any:
    model = model_helper.ModelHelper(name="mnist_train", arg_scope=ORDER)
    data, label = add_input(model, 64, "mnist-train.minidb")
    softmax = body(model, data)
    loss = model.AveragedLoss(model.LabelCrossEntropy([softmax, label], "xent"), "loss")
    brew.accuracy(model, [softmax, label], "accuracy")
    model.AddGradientOperators([loss])
    update(model)
    add_bookkeeping(model)
    return model


def training_by_hand() -> Any:
    model = training(partial(lenet, relu_in_place=True), sgd_by_hand)
    blobs = ["iter", *model.params]
    name = "mnist_lenet_checkpoint_%05d.minidb"
    model.Checkpoint(blobs, [], db=name, db_type="minidb", every=20)
    return model


def testing(body: Callable[..., Any]) -> Any:
    model = model_helper.ModelHelper(name="mnist_test", arg_scope=ORDER, init_params=False)
    data, label = add_input(model, 100, "mnist-test.minidb")
    brew.accuracy(model, [body(model, data), label], "accuracy")
    return model


def deployment(body: Callable[..., Any]) -> Any:
    model = model_helper.ModelHelper(name="mnist_deploy", arg_scope=ORDER, init_params=False)
    body(model, "data")
    return model


_in_place = partial(lenet, relu_in_place=True)
PROGRAMS: dict[str, Program] = {
    "lenet_train": partial(training, lenet),
    "lenet_test": partial(testing, lenet),
    "lenet_deploy": partial(deployment, lenet),
    "mlp_train": partial(training, perceptron),
    "mlp_test": partial(testing, perceptron),
    "mlp_deploy": partial(deployment, perceptron),
    "lenet_handwritten_sgd_train": training_by_hand,
    "lenet_handwritten_sgd_test": partial(testing, _in_place),
    "lenet_handwritten_sgd_deploy": partial(deployment, _in_place),
}
