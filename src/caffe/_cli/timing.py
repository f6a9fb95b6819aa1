"""``caffe time``: how long each layer takes, forwards and backwards."""

from __future__ import annotations

import time
from typing import Any

from caffe import _log
from caffe._cli import brew
from caffe._cli.score import load_net
from caffe._net.net import CaffeNet
from freshpot.engine import device
from freshpot.errors import ArgumentError, FreshpotError


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Time; 0 when done."""
    model = brew.need(flags, "model", 331, "Need a model definition to time.")
    phase = brew.phase(flags["phase"])
    brew.choose_device(flags["gpu"], 343)
    count = flags["iterations"]
    if count < 1:
        raise ArgumentError(f"-iterations must be at least 1, got {count}.")
    net = load_net(model, phase, flags)
    last = len(net.layers) - 1
    _log.info("caffe.cpp:351", "Performing Forward")
    _log.info("caffe.cpp:356", f"Initial loss: {net.forward_range(0, last):g}")
    _log.info("caffe.cpp:357", "Performing Backward")
    net.backward_range(last, 0)
    _log.info("caffe.cpp:365", "*** Benchmark begins ***")
    _log.info("caffe.cpp:366", f"Testing for {count} iterations.")
    started = _now(net)
    forward, backward = [0.0] * len(net.layers), [0.0] * len(net.layers)
    for j in range(count):
        spent = _pass(net, forward, backward)
        _log.info("caffe.cpp:394", f"Iteration: {j + 1} forward-backward time: {spent:g} ms.")
    _report(net, forward, backward, count, 1e3 * (_now(net) - started))
    return 0


def _now(net: CaffeNet) -> float:
    """The time in seconds at which the net's device has done what it was given."""
    device.synchronize(net.site.device)
    return time.perf_counter()


def _pass(net: CaffeNet, forward: list[float], backward: list[float]) -> float:
    """One pass in each direction; adds the milliseconds of each layer, returns those of all."""
    begun = mark = _now(net)
    for i in range(len(net.layers)):
        net.forward_range(i, i)
        now = _now(net)
        forward[i] += 1e3 * (now - mark)
        mark = now
    for i in reversed(range(len(net.layers))):
        _backward(net, i)
        now = _now(net)
        backward[i] += 1e3 * (now - mark)
        mark = now
    return 1e3 * (mark - begun)


def _backward(net: CaffeNet, i: int) -> None:
    """Run a layer backwards, also one that no loss needs, so that deployed nets are measured too."""
    try:
        net.layers[i].backward(net.bottom_needs_backward[i])
    except (FreshpotError, OSError) as error:
        net.at_layer(error, i)
        raise


def _report(net: CaffeNet, forward: list[float], backward: list[float], count: int, total: float) -> None:
    _log.info("caffe.cpp:397", "Average time per layer: ")
    for i, name in enumerate(net.layer_names):
        _log.info("caffe.cpp:400", f"{name:>10}\tforward: {forward[i] / count:g} ms.")
        _log.info("caffe.cpp:403", f"{name:>10}\tbackward: {backward[i] / count:g} ms.")
    _log.info("caffe.cpp:408", f"Average Forward pass: {sum(forward) / count:g} ms.")
    _log.info("caffe.cpp:410", f"Average Backward pass: {sum(backward) / count:g} ms.")
    _log.info("caffe.cpp:412", f"Average Forward-Backward: {total / count:g} ms.")
    _log.info("caffe.cpp:414", f"Total Time: {total:g} ms.")
    _log.info("caffe.cpp:415", "*** Benchmark ends ***")
