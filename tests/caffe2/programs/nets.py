"""Programs that use nets alone."""

from __future__ import annotations

from typing import Any

from caffe2.python import core
from programs.common import Program


def core_net_autonames() -> Any:
    init, net = core.Net("auto_init"), core.Net("auto")
    w = init.ConstantFill([], shape=[4, 4], value=1.0)
    (b,) = [init.ConstantFill([], 1, shape=[4], value=1.0)]
    y = net.FC(["x", w, b])
    r = net.Relu(y)
    first, _ = net.Split(r, 2, axis=1)
    net.TopK(r, 2, k=1)
    joined, _ = net.Concat([first, first], 2, axis=1)
    net.Relu(r)
    net.Relu(r, "named")
    net.Relu(r, 1)
    loss = net.AveragedLoss(joined)
    net.AddGradientOperators([loss])
    return init, net


def toy_regression() -> Any:
    init, net = core.Net("init"), core.Net("train")
    w_gt = init.GivenTensorFill([], "W_gt", shape=[1, 2], values=[2.0, 1.5])
    b_gt = init.GivenTensorFill([], "B_gt", shape=[1], values=[0.5])
    one = init.ConstantFill([], "ONE", shape=[1], value=1.0)
    counter = init.ConstantFill([], "ITER", shape=[1], value=0, dtype=core.DataType.INT32)
    w = init.UniformFill([], "W", shape=[1, 2], min=-1.0, max=1.0)
    b = init.ConstantFill([], "B", shape=[1], value=0.0)
    x = net.GaussianFill([], "X", shape=[64, 2], mean=0.0, std=1.0, run_once=0)
    y_gt = x.FC([w_gt, b_gt], "Y_gt")
    noise = net.GaussianFill([], "noise", shape=[64, 1], mean=0.0, std=1.0, run_once=0)
    y_noise = y_gt.Add(noise, "Y_noise")
    y_noise = y_noise.StopGradient([], "Y_noise")
    y_pred = x.FC([w, b], "Y_pred")
    loss = net.SquaredL2Distance([y_noise, y_pred], "dist").AveragedLoss([], ["loss"])
    gradients = net.AddGradientOperators([loss])
    net.Iter(counter, counter)
    rate = net.LearningRate(counter, "LR", base_lr=-0.1, policy="step", stepsize=20, gamma=0.9)
    net.WeightedSum([w, one, gradients[w], rate], w)
    net.WeightedSum([b, one, gradients[b], rate], b)
    return init, net


PROGRAMS: dict[str, Program] = {make.__name__: make for make in (core_net_autonames, toy_regression)}
