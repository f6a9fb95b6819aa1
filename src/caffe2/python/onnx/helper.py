"""Run operators and nets in workspaces of their own; read, write and time nets.

Source: caffe2/python/onnx/helper.py.
"""

from __future__ import annotations

import logging
import time
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python.onnx.workspace import Workspace
from freshpot.errors import ArityError
from freshpot.formats import protobuf
from freshpot.formats.atomic import write_bytes

__all__ = [
    "benchmark_caffe2_model",
    "benchmark_pytorch_model",
    "c2_native_run_net",
    "c2_native_run_op",
    "load_caffe2_net",
    "namedtupledict",
    "save_caffe2_net",
]

log = logging.getLogger(__name__)


def namedtupledict(typename: str, field_names: Sequence[str]) -> Any:
    """A named tuple type whose values are also found by name: ``outputs["y"]``; names may be any text."""
    places = {name: i for i, name in enumerate(field_names)}
    made = namedtuple(typename, list(field_names), rename=True)  # type: ignore[misc]

    class Named(made):
        __slots__ = ()

        def __getitem__(self, key: Any) -> Any:
            return super().__getitem__(places[key] if isinstance(key, str) else key)

    Named.__name__ = typename
    return Named


def c2_native_run_op(op_def: Any, inputs: Mapping[str, Any] | Sequence[Any]) -> tuple[Workspace, Any]:
    """Run one operator; the workspace, and its outputs as a named tuple.

    Raises:
        ArityError: another number of inputs than the operator has.
    """
    ws = Workspace()
    if not isinstance(inputs, Mapping):
        if len(op_def.input) != len(inputs):
            raise ArityError(
                f"operator {op_def.type} has {len(op_def.input)} inputs, {len(inputs)} were given."
            )
        inputs = dict(zip(op_def.input, inputs, strict=True))
    for name, value in inputs.items():
        ws.FeedBlob(name, value, op_def.device_option)
    ws.RunOperatorOnce(op_def)
    return ws, _outputs(ws, op_def.output)


def c2_native_run_net(
    init_net: Any, predict_net: Any, inputs: Mapping[str, Any] | Sequence[Any], debug_arg: Any = None
) -> tuple[Workspace, Any]:
    """Run an init net, feed the inputs, run a net; the workspace, and its external outputs as a named tuple.

    Args:
        init_net: a NetDef, or None.
        predict_net: the NetDef.
        inputs: by name, or in order: of the external inputs that the init net leaves out if their number fits,
            of all of them otherwise.
        debug_arg: taken for programs' sake.

    Raises:
        ArityError: more inputs than the net has.
    """
    ws = Workspace()
    if init_net:
        ws.RunNetOnce(init_net)
    if not isinstance(inputs, Mapping):
        names = [name for name in predict_net.external_input if not ws.HasBlob(name)]
        if len(names) != len(inputs):
            names = list(predict_net.external_input)[: len(inputs)]
        if len(names) < len(inputs):
            raise ArityError(
                f"net '{predict_net.name}' has {len(names)} external inputs, {len(inputs)} were given."
            )
        inputs = dict(zip(names, inputs, strict=True))
    for name, value in inputs.items():
        ws.FeedBlob(name, value, predict_net.device_option)
    ws.RunNetOnce(predict_net)
    return ws, _outputs(ws, predict_net.external_output)


def _outputs(ws: Workspace, names: Sequence[str]) -> Any:
    return namedtupledict("Outputs", names)(*(ws.FetchBlob(name) for name in names))


def load_caffe2_net(file: str) -> Any:
    """The NetDef in a file.

    Raises:
        FormatError: it holds no NetDef. OSError: it is not readable.
    """
    with open(file, "rb") as opened:
        return protobuf.parse_message(caffe2_pb2.NetDef, opened.read(), path=file)


def save_caffe2_net(net: Any, file: str, output_txt: bool = False) -> None:
    """Write a NetDef; with ``output_txt`` also its text, in the file of that name and "txt"."""
    write_bytes(file, net.SerializeToString())
    if output_txt:
        write_bytes(file + "txt", str(net).encode("utf-8"))


def benchmark_caffe2_model(
    init_net: Any, predict_net: Any, warmup_iters: int = 3, main_iters: int = 10, layer_details: bool = True
) -> float:
    """Milliseconds an iteration of a net."""
    ws = Workspace()
    if init_net:
        ws.RunNetOnce(init_net)
    ws.CreateNet(predict_net)
    return ws.BenchmarkNet(predict_net.name, warmup_iters, main_iters, layer_details)[0]


def benchmark_pytorch_model(
    model: Any,
    inputs: Sequence[Any],
    training: bool = False,
    warmup_iters: int = 3,
    main_iters: int = 10,
    verbose: bool = False,
) -> float:
    """Milliseconds an iteration of a PyTorch module."""
    for _ in range(warmup_iters):
        model(*inputs)
    total = 0.0
    for _ in range(main_iters):
        start = time.perf_counter()
        model(*inputs)
        total += time.perf_counter() - start
    log.info("The PyTorch model execution time per iter is %s milliseconds.", total / main_iters * 1000)
    return total * 1000 / main_iters
