"""``caffe draw_net``: a picture of a net."""

from __future__ import annotations

from typing import Any

from caffe import _files, draw
from caffe._cli.flags import Flag, UsageError
from caffe.proto import caffe_pb2
from freshpot.errors import DataError

FLAGS = (
    Flag("rankdir", "LR", "direction of the graph: LR (left to right), TB, BT or RL"),
    Flag("phase", "ALL", "layers of which phase: TRAIN, TEST or ALL"),
    Flag("display_lrm", False, "show learning rate factors"),
)
USAGE = (
    "usage: caffe draw_net [FLAGS] NET.prototxt PICTURE      (the ending says the format: png, svg, raw …)"
)


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Draw; 0 when done.

    Raises:
        UsageError: words that are too few or too many, or an unknown phase.
        DataError, FormatError: a net that cannot be read.
    """
    if len(words) != 3:
        raise UsageError(USAGE)
    phases = {"TRAIN": caffe_pb2.TRAIN, "TEST": caffe_pb2.TEST, "ALL": None}
    if flags["phase"] not in phases:
        raise UsageError(f"unknown phase '{flags['phase']}': expected {', '.join(phases)}")
    try:
        net = _files.read_net(words[1]).message
    except OSError as error:
        raise DataError(f"{words[1]}: the net cannot be read: {error.strerror or error}") from error
    print(f"Drawing net to {words[2]}")
    draw.draw_net_to_file(net, words[2], flags["rankdir"], phases[flags["phase"]], flags["display_lrm"])
    return 0
