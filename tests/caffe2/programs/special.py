"""Programs about scopes, control flow, input and counters."""

from __future__ import annotations

from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python import brew, cnn, core, model_helper, optimizer
from programs.common import Program


def add_weight_decay() -> Any:
    m = model_helper.ModelHelper(name="wd")
    c = brew.conv(m, "data", "conv1", 1, 4, 3)
    c = brew.relu(m, c, c)
    scores = brew.fc(m, c, "fc", 144, 10)
    _, loss = m.SoftmaxWithLoss([scores, "label"], ["softmax", "loss"])
    m.AddGradientOperators([loss])
    brew.add_weight_decay(m, 0.001)
    optimizer.build_sgd(m, 0.1)
    return m


def cond() -> Any:
    then_model = model_helper.ModelHelper(name="then_test_model")
    then_model.net.Copy("then_value", "output_blob")
    else_model = model_helper.ModelHelper(name="else_test_model")
    else_model.net.Copy("else_value", "output_blob")
    m = model_helper.ModelHelper(name="test_model")
    brew.cond(m, "cond", ["cond", "then_value", "else_value", "output_blob"], then_model, else_model)
    return m


def loop() -> Any:
    body = model_helper.ModelHelper(name="loop_test_model")
    body.net.Add(["output_blob", "TWO"], "output_blob")
    condition = model_helper.ModelHelper(name="cond_test_model")
    condition.net.Add(["counter", "ONE"], "counter")
    below = condition.net.LT(["counter", "TEN"])
    condition.net.Copy(below, "cond")
    m = model_helper.ModelHelper(name="test_model")
    blobs = ["cond", "output_blob", "ONE", "TWO", "TEN", "counter"]
    brew.loop(m, "cond", blobs, body, condition)
    return m


def db_input() -> Any:
    m = model_helper.ModelHelper(name="dbi")
    brew.db_input(m, ["data_uint8", "label"], 16, "mnist-train.minidb", "minidb")
    return m


def device_scope() -> Any:
    m = model_helper.ModelHelper(name="ds")
    with core.DeviceScope(core.DeviceOption(caffe2_pb2.CPU, 0)):
        f = brew.fc(m, "data", "f", 8, 6)
    loss = m.net.AveragedLoss(f, "loss")
    m.AddGradientOperators([loss])
    optimizer.build_adam(m, 0.1)
    return m


def name_scope() -> Any:
    m = model_helper.ModelHelper(name="ns")
    with core.NameScope("a"):
        f = brew.fc(m, core.ScopedBlobReference("data"), "f", 8, 6)
        with core.NameScope("b"):
            f = brew.fc(m, f, "f", 6, 4)
            r = m.net.Relu(f)
    r = m.net.Relu(r)
    distance = m.net.SquaredL2Distance([r, "target"])
    loss = m.net.AveragedLoss(distance)
    m.AddGradientOperators([loss])
    optimizer.build_sgd(m, 0.1, momentum=0.9)
    return m


def iter_accuracy() -> Any:
    m = model_helper.ModelHelper(name="it")
    counter = brew.iter(m, "ITER")
    m.LearningRate(counter, "LR", base_lr=-0.1, policy="step", stepsize=3, gamma=0.5)
    brew.accuracy(m, ["softmax", "label"], "acc")
    brew.accuracy(m, ["softmax", "label"], "acc5", top_k=5)
    brew.softmax(m, "logits")
    brew.softmax(m, "logits", "sm", axis=1)
    return m


def cnn_model_helper() -> Any:
    m = cnn.CNNModelHelper(order="NCHW", name="cnn")
    x = m.Conv("data", "conv1", 3, 8, 3, pad=1)
    x = m.SpatialBN(x, "bn1", 8, is_test=0)
    x = m.Relu(x, x)
    x = m.MaxPool(x, "pool1", kernel=2, stride=2)
    x = m.FC(x, "fc1", 128, 10)
    _, loss = m.SoftmaxWithLoss([x, "label"], ["softmax", "loss"])
    m.AddGradientOperators([loss])
    m.Iter("ITER")
    return m


_MAKERS = (add_weight_decay, cond, loop, db_input, device_scope, name_scope, iter_accuracy)
PROGRAMS: dict[str, Program] = {"brew_" + make.__name__: make for make in _MAKERS}
PROGRAMS["cnn_model_helper"] = cnn_model_helper
