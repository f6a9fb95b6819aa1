"""LeNet's training step through ``caffe2.python``, whoever provides it: RunNet on gradients and plain SGD."""

import numpy as np


def load():
    """Import the package."""
    import caffe2.python.workspace  # noqa: F401


def version():
    """Of what provides Caffe2."""
    import torch

    return f"Caffe2 (PyTorch {torch.__version__})"


def build(model, data, label, sizes=(20, 50, 500)):
    """The tutorial's net with its loss: convolutions of 5 x 5, max pooling, two fully connected layers."""
    from caffe2.python import brew

    first, second, hidden = sizes
    conv1 = brew.conv(model, data, "conv1", dim_in=1, dim_out=first, kernel=5)
    pool1 = brew.max_pool(model, conv1, "pool1", kernel=2, stride=2)
    conv2 = brew.conv(model, pool1, "conv2", dim_in=first, dim_out=second, kernel=5)
    pool2 = brew.max_pool(model, conv2, "pool2", kernel=2, stride=2)
    fc3 = brew.relu(model, brew.fc(model, pool2, "fc3", dim_in=16 * second, dim_out=hidden), "relu3")
    softmax = brew.softmax(model, brew.fc(model, fc3, "pred", hidden, 10), "softmax")
    return model.AveragedLoss(model.LabelCrossEntropy([softmax, label], "xent"), "loss")


def make(threads, batch=64, name="bench_lenet"):
    """The step on a batch in memory; it returns the loss."""
    from caffe2.python import model_helper, optimizer, workspace

    rng = np.random.RandomState(0)
    model = model_helper.ModelHelper(name=name, arg_scope={"order": "NCHW"})
    workspace.SwitchWorkspace(name, True)
    data = model.StopGradient("data", "data")
    loss = build(model, data, "label")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.01, policy="fixed")
    workspace.FeedBlob("data", rng.rand(batch, 1, 28, 28).astype(np.float32))
    workspace.FeedBlob("label", rng.randint(0, 10, batch).astype(np.int32))
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    net = model.net.Proto().name

    def step():
        workspace.SwitchWorkspace(name)
        workspace.RunNet(net)
        return workspace.FetchBlob("loss")

    return step
