"""``caffe test``: run a net over batches of its test data and print its outputs' means."""

from __future__ import annotations

from typing import Any

from caffe import _files, _log
from caffe._cli import brew
from caffe._solver import nets, report
from caffe.proto import caffe_pb2
from freshpot.errors import ArgumentError


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Score; 0 when done."""
    model = brew.need(flags, "model", 258, "Need a model definition to score.")
    weights = brew.need(flags, "weights", 259, "Need model weights to score.")
    brew.choose_device(flags["gpu"], 275)
    net = load_net(model, caffe_pb2.TEST, flags)
    nets.copy_weights(net, weights)
    count = flags["iterations"]
    if count < 1:
        raise ArgumentError(f"-iterations must be at least 1, got {count}.")
    _log.info("caffe.cpp:281", f"Running for {count} iterations.")
    scores = report.Scores(net)
    for i in range(count):
        for name, value in scores.add(net.forward_range(0, len(net.layers) - 1)):
            _log.info("caffe.cpp:304", f"Batch {i}, {name} = {value:g}")
    _log.info("caffe.cpp:309", f"Loss: {scores.loss / count:g}")
    scores.say("caffe.cpp:321", "", count)
    return 0


def load_net(path: str, phase: int, flags: dict[str, Any]) -> Any:
    """The net of the flags.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return _files.load_net(path, phase, flags["level"], brew.stages(flags["stage"]))
    except OSError as error:
        raise nets.unreadable(path, "the net", error) from error
