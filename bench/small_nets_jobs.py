"""What `small_nets.py` times: small calls of `caffe2.python`, whoever provides it. Prints microseconds as JSON.

Runs under Python 3.6 and later, with nothing but `caffe2` and numpy, so that the original can run it too.
"""

import json
import sys
import time

import numpy as np

from caffe2.python import core, workspace

CALLS, ROUNDS = 100, 40


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


def jobs():
    """Name -> what is timed."""
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


def fastest(job):
    """Microseconds of one call in the fastest of many rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            job()
        best = min(best, time.perf_counter() - start)
    return 1e6 * best / CALLS


if __name__ == "__main__":
    workspace.GlobalInit(["small_nets", "--caffe2_log_level=3"])
    json.dump({name: fastest(job) for name, job in jobs().items()}, sys.stdout)
