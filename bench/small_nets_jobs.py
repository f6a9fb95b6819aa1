"""What `small_nets.py` times: small calls of `caffe2.python`, whoever provides it. Prints microseconds as JSON.

Runs under Python 3.6 and later, with nothing but `caffe2` and numpy, so that the original can run it too.
"""

import json
import sys
import time

import numpy as np

from caffe2.python import brew, core, model_helper, optimizer, workspace
from caffe2.python.rnn_cell import LSTM

#: a job is called again and again for about this many seconds a round, in this many rounds
SECONDS, ROUNDS = 0.004, 40


def toy_net():
    """The net of the tutorial's first part: random inputs through a fully connected layer."""
    net = core.Net("toy")
    X = net.GaussianFill([], ["X"], mean=0.0, std=1.0, shape=[2, 3], run_once=0)
    W = net.GaussianFill([], ["W"], mean=0.0, std=1.0, shape=[5, 3], run_once=0)
    b = net.ConstantFill([], ["b"], shape=[5], value=1.0, run_once=0)
    X.FC([W, b], ["Y"])
    return net


def net_of(name, add=lambda net: None):
    """A net of few operators."""
    net = core.Net(name)
    add(net)
    return net


def small_jobs():
    """Name -> what is timed: single calls."""
    toy, empty = toy_net(), net_of("empty")
    relu = net_of("relu", lambda net: net.Relu("X", "R"))
    fc = net_of("fc", lambda net: net.FC(["X", "W", "b"], "F"))
    fill = net_of("fill", lambda net: net.GaussianFill([], ["G"], shape=[2, 3], mean=0.0, std=1.0))
    workspace.RunNetOnce(toy)
    for net in (toy, empty, relu, fc, fill):
        workspace.CreateNet(net)
    operator = core.CreateOperator("Relu", ["X"], ["R"])
    array = np.zeros((2, 3), np.float32)
    return {
        "RunNet, no operator": lambda: workspace.RunNet("empty"),
        "RunNet, Relu": lambda: workspace.RunNet("relu"),
        "RunNet, FC": lambda: workspace.RunNet("fc"),
        "RunNet, GaussianFill": lambda: workspace.RunNet("fill"),
        "RunNet, toy net of 4 operators": lambda: workspace.RunNet("toy"),
        "RunNetOnce, toy net": lambda: workspace.RunNetOnce(toy),
        "CreateNet, toy net": lambda: workspace.CreateNet(toy, True),
        "RunOperatorOnce, Relu": lambda: workspace.RunOperatorOnce(operator),
        "FeedBlob, 2 x 3": lambda: workspace.FeedBlob("X", array),
        "FetchBlob, 2 x 3": lambda: workspace.FetchBlob("X"),
        "CreateOperator": lambda: core.CreateOperator("Relu", ["X"], ["R"], a=1, b=[1, 2]),
    }


def fully_connected(name, sizes, batch, add_optimizer):
    """A training step of a net of fully connected layers, with fed data: what runs it."""
    model = model_helper.ModelHelper(name=name)
    blob = name + "/data"
    for i in range(len(sizes) - 1):
        blob = brew.fc(model, blob, f"{name}/fc{i}", dim_in=sizes[i], dim_out=sizes[i + 1])
        if i < len(sizes) - 2:
            blob = brew.relu(model, blob, f"{name}/relu{i}")
    softmax = brew.softmax(model, blob, name + "/softmax")
    xent = model.net.LabelCrossEntropy([softmax, name + "/label"], name + "/xent")
    loss = model.net.AveragedLoss(xent, name + "/loss")
    model.AddGradientOperators([loss])
    add_optimizer(model)
    rng = np.random.RandomState(0)
    workspace.FeedBlob(name + "/data", rng.randn(batch, sizes[0]).astype(np.float32))
    workspace.FeedBlob(name + "/label", rng.randint(sizes[-1], size=batch).astype(np.int32))
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    net = model.net.Name()
    return lambda: workspace.RunNet(net)


def sgd(model):
    """Plain gradient descent."""
    optimizer.build_sgd(model, base_learning_rate=0.001, policy="step", stepsize=1000, gamma=0.999)


def momentum(model):
    """Gradient descent with momentum."""
    optimizer.build_sgd(model, base_learning_rate=0.001, momentum=0.9)


def adam(model):
    """Adam."""
    optimizer.build_adam(model, base_learning_rate=0.0001)


def adagrad(model):
    """Adagrad."""
    optimizer.build_adagrad(model, base_learning_rate=0.0001)


def rms_prop(model):
    """RMSProp."""
    optimizer.build_rms_prop(model, base_learning_rate=0.0001)


def char_rnn(hidden=50, steps=25, batch=1, letters=60):
    """A training step of the original's example ``char_rnn.py``, with its feeding: what runs it."""
    model = model_helper.ModelHelper(name="char_rnn")
    inputs = model.net.AddExternalInputs("input_blob", "seq_lengths", "hidden_init", "cell_init", "target")
    input_blob, seq_lengths, hidden_init, cell_init, target = inputs
    hidden_all, hidden_output, _, cell_state = LSTM(
        model, input_blob, seq_lengths, (hidden_init, cell_init), letters, hidden, scope="LSTM"
    )
    output = brew.fc(model, hidden_all, None, dim_in=hidden, dim_out=letters, axis=2)
    softmax = model.net.Softmax(output, "softmax", axis=2)
    reshaped, _ = model.net.Reshape(softmax, ["softmax_reshaped", "_"], shape=[-1, letters])
    xent = model.net.LabelCrossEntropy([reshaped, target], "xent")
    loss = model.net.AveragedLoss(xent, "loss")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1, policy="step", stepsize=1, gamma=0.9999)
    prepare = core.Net("prepare_state")
    prepare.Copy(hidden_output, hidden_init)
    prepare.Copy(cell_state, cell_init)
    rng = np.random.RandomState(0)
    text = rng.randint(letters, size=(steps, batch))
    data, answer = np.eye(letters, dtype=np.float32)[text], text.reshape(-1).astype(np.int32)
    workspace.RunNetOnce(model.param_init_net)
    for state in (hidden_output, cell_state):
        workspace.FeedBlob(state, np.zeros([1, batch, hidden], np.float32))
    workspace.CreateNet(prepare)

    def feed():
        workspace.FeedBlob("seq_lengths", np.array([steps] * batch, dtype=np.int32))
        workspace.RunNet(prepare.Name())
        workspace.FeedBlob("input_blob", data)
        workspace.FeedBlob("target", answer)

    def step():
        feed()
        workspace.RunNet(model.net.Name())

    feed()
    workspace.CreateNet(model.net)
    return step


def training_jobs():
    """Name -> what is timed: training steps of small nets."""
    small = ("2 layers 10-20-5, batch 16", [10, 20, 5], 16)
    optimizers = {"SGD": sgd, "momentum": momentum, "Adam": adam, "Adagrad": adagrad, "RMSProp": rms_prop}
    jobs = {
        f"{small[0]}, {name}": fully_connected(name, small[1], small[2], add)
        for name, add in optimizers.items()
    }
    jobs["4 layers 20-20-20-20-5, batch 16, Adam"] = fully_connected("deep", [20, 20, 20, 20, 5], 16, adam)
    jobs["MLP 784-128-10, batch 64, SGD"] = fully_connected("mlp", [784, 128, 10], 64, sgd)
    jobs["char-RNN step, hidden 50, sequence 25, batch 1"] = char_rnn()
    return jobs


def fastest(job):
    """Microseconds of one call in the fastest of many rounds."""
    for _ in range(20):
        job()
    start = time.perf_counter()
    job()
    calls = max(1, min(100, int(SECONDS / (time.perf_counter() - start))))
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            job()
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / calls


if __name__ == "__main__":
    workspace.GlobalInit(["small_nets", "--caffe2_log_level=3"])
    all_jobs = small_jobs()
    all_jobs.update(training_jobs())
    json.dump({name: fastest(job) for name, job in all_jobs.items()}, sys.stdout)
