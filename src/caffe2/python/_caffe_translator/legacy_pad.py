"""Sizes of a translated net's blobs, and windows that pad for Caffe's sizes.

Owned here: running a net operator by operator. Who calls it: `registry`, `layers`.

Source: caffe2/python/caffe_translator.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from caffe2.proto import caffe2_pb2
from caffe2.python import utils, workspace
from freshpot.errors import ArgumentError, ShapeError

_WINDOWS = re.compile(r"(Conv|ConvTranspose|MaxPool|AveragePool)(\dD)?")
_SIDES = ("pad_l", "pad_t", "pad_r", "pad_b")


def _run(net: Any, net_params: Any, input_dims: Sequence[int], each: Callable[[Any, Any], None]) -> None:
    """Call ``each`` with a workspace and every operator, in order; it has to run it."""
    if len(input_dims) != 4:
        raise ArgumentError(f"input_dims must be N, C, H, W, got {list(input_dims)}.")
    ws = workspace.C.Workspace()
    for param in net_params.protos:
        ws.create_blob(param.name).feed(utils.Caffe2TensorToNumpyArray(param))
    data = np.random.randn(*input_dims).astype(np.float32)
    if net.op:
        ws.create_blob(net.op[0].input[0]).feed(data)
    for op in net.op:
        each(ws, op)


def blob_dims(net: Any, net_params: Any, input_dims: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Sizes of what each operator writes.

    Raises:
        ArgumentError: the input's sizes are not N, C, H, W.
    """
    found: dict[str, tuple[int, ...]] = {}

    def each(ws: Any, op: Any) -> None:
        ws.run(op)
        for name in op.output:
            found[name] = ws.fetch_blob(name).shape

    _run(net, net_params, input_dims, each)
    return found


def remove_legacy_pad(net: Any, net_params: Any, input_dims: Sequence[int]) -> Any:
    """The net, its windows without ``legacy_pad``: where Caffe rounds up they pad one more at the end.

    Raises:
        ShapeError: sizes differ by more than one. ArgumentError: the input's sizes are not N, C, H, W.
    """

    def is_legacy(op: Any) -> bool:
        return bool(_WINDOWS.fullmatch(op.type)) and any(arg.name == "legacy_pad" for arg in op.arg)

    wanted: dict[int, tuple[int, ...]] = {}
    place = iter(range(len(net.op)))

    def measure(ws: Any, op: Any) -> None:
        i = next(place)
        ws.run(op)
        if is_legacy(op):
            wanted[i] = ws.fetch_blob(op.output[0]).shape

    def adjust(ws: Any, op: Any) -> None:
        i = next(place)
        if i in wanted:
            op.arg.remove(next(arg for arg in op.arg if arg.name == "legacy_pad"))
            trial = caffe2_pb2.OperatorDef()
            trial.CopyFrom(op)
            trial.output[0] += "_nonlegacy"
            ws.run(trial)
            _pad(op, wanted[i], ws.fetch_blob(trial.output[0]).shape)
        ws.run(op)

    if any(is_legacy(op) for op in net.op):
        _run(net, net_params, input_dims, measure)
        place = iter(range(len(net.op)))
        _run(net, net_params, input_dims, adjust)
    return net


def _pad(op: Any, wanted: tuple[int, ...], found: tuple[int, ...]) -> None:
    if wanted == found:
        return
    more = [a - b for a, b in zip(wanted, found, strict=True)]
    if more[:2] != [0, 0] or not {*more[2:]} <= {0, 1}:
        raise ShapeError(f"operator {op.type} -> '{op.output[0]}' makes {found}, Caffe's is {wanted}.")
    args = {arg.name: arg for arg in op.arg}
    pads = {side: args["pad"].i if "pad" in args else args[side].i for side in _SIDES}
    pads["pad_b"] += more[2]
    pads["pad_r"] += more[3]
    if "pad" in args:
        op.arg.remove(args["pad"])
        for side, value in pads.items():
            op.arg.add(name=side, i=value)
    else:
        for side, value in pads.items():
            args[side].i = value
