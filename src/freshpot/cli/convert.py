"""``freshpot convert SRC [WEIGHTS] DST``: a net as ONNX, as Caffe2's predictor pair, as Caffe's files, as a state_dict.

Owned here: the command. Who calls it: `freshpot.cli`. Nets are read by `freshpot.torch`, written by `freshpot.convert`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError, NetError, NotSupportedError

__all__ = ["add_parser", "run"]

#: what SRC may be, by its suffix
SOURCES = {
    ".prototxt": "a Caffe net",
    ".pb": "a Caffe2 net",
    ".pbtxt": "a Caffe2 net as text",
    ".onnx": "an ONNX model",
}
#: what DST may be, by its suffix; a folder has none
TARGETS = {
    ".onnx": "an ONNX model",
    ".pt": "a PyTorch state_dict",
    ".pth": "a PyTorch state_dict",
    ".prototxt": "a Caffe net, with its weights in the .caffemodel beside it",
    "": "a Caffe2 predictor pair",
}
_PICKLED = (".pt2", ".pt", ".pth", ".pkl")


@dataclass
class Reading:
    """What was read: the source, what is known of its inputs (a first size of None is open)."""

    source: Any
    shapes: dict[str, Any]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "convert",
        help="convert a net between Caffe, Caffe2 and ONNX, or to a PyTorch state_dict",
        description="Convert a net for use. SRC is a prototxt (then WEIGHTS is its caffemodel), a predict_net.pb or "
        ".pbtxt (then WEIGHTS is its init_net), or an ONNX model. DST says what to make: FILE.onnx; FILE.prototxt, "
        "with FILE.caffemodel beside it; FILE.pt, a PyTorch state_dict; or a folder, which gets predict_net.pb and "
        "init_net.pb.",
    )
    parser.add_argument("source", type=Path, metavar="SRC", help=".prototxt, predict_net.pb, .pbtxt or .onnx")
    parser.add_argument(
        "weights", type=Path, nargs="?", metavar="WEIGHTS", help=".caffemodel, or init_net.pb"
    )
    parser.add_argument(
        "target", type=Path, metavar="DST", help="FILE.onnx, FILE.prototxt, FILE.pt, or a folder"
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="BLOB=N,C,H,W",
        help="shape of an input, where SRC does not say it; may be given several times",
    )
    parser.add_argument(
        "--fixed-batch",
        action="store_true",
        help="of an ONNX model whose batch is open: fix it at what --shape says",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; 0."""
    from freshpot.net import Net
    from freshpot.torch._modes import in_mode

    if args.target.suffix not in TARGETS:
        raise ArgumentError(f"{args.target}: give FILE.onnx, FILE.prototxt, FILE.pt, or a folder.")
    given = _given_shapes(args.shape)
    reading = _read(args.source, args.weights, given, args.fixed_batch)
    source = reading.source
    ops = [in_mode(op, False) for op in source.ops]
    net = Net(source.name, ops, [*source.inputs, *source.values], list(source.outputs))
    if args.target.suffix in (".pt", ".pth"):
        _write_state(args.target, source)
    elif not args.target.suffix:
        from freshpot.convert.pair import write_pair

        write_pair(args.target, net, source.values)
    else:
        inputs = _closed(reading, given)
        if args.target.suffix == ".onnx":
            _write_onnx(args.target, net, source, inputs)
        else:
            from freshpot.convert.to_caffe import write_caffe

            write_caffe(args.target, net, source.values, inputs, source.outputs)
    print(f"{args.target}: {len(ops)} operators, {len(source.values)} parameters")
    return 0


# ---- reading -----------------------------------------------------------------------------------------
def _read(path: Path, weights: Path | None, given: dict[str, list[int]], fixed_batch: bool) -> Reading:
    kind = path.suffix.lower()
    if kind in _PICKLED:
        raise NotSupportedError(
            f"{path}: archives of PyTorch hold pickles, which are programs; they are not read. Make the module in "
            "Python, then freshpot.torch.capture(module, example), or torch.onnx.export and convert the .onnx."
        )
    if kind not in SOURCES:
        raise ArgumentError(f"{path}: SRC must be {', '.join(SOURCES)}.")
    if not path.is_file():
        raise NetError(f"{path}: there is no such file.")
    if kind == ".onnx":
        return _read_onnx(path, weights, given, fixed_batch)
    return _read_caffe(path, weights) if kind == ".prototxt" else _read_caffe2(path, weights)


def _read_onnx(path: Path, weights: Path | None, given: dict[str, list[int]], fixed_batch: bool) -> Reading:
    from freshpot.convert.from_onnx import read_onnx
    from freshpot.torch._sources import from_imported

    if weights is not None:
        raise ArgumentError(f"{weights}: an ONNX model has its weights with it; leave WEIGHTS out.")
    made = read_onnx(path, given, fixed_batch)
    return Reading(from_imported(made), made.inputs)


def _read_caffe2(path: Path, weights: Path | None) -> Reading:
    from freshpot.torch._sources import read

    init = {} if weights is None else _on_cpu(_net_in(weights))
    return Reading(read(_on_cpu(_net_in(path)), init, None, None), {})


def _net_in(path: Path) -> Any:
    """A NetDef from a binary file, or from a text."""
    from freshpot.convert.netdef import net_from_bytes, net_from_proto
    from freshpot.formats import protobuf
    from freshpot.formats.prototxt import parse_prototxt

    if path.suffix != ".pbtxt":
        return net_from_bytes(path.read_bytes(), path=path)
    made = parse_prototxt(path.read_text(encoding="utf-8"), protobuf.load("caffe2").NetDef(), path)
    return net_from_proto(made.message)


def _read_caffe(path: Path, weights: Path | None) -> Reading:
    import torch

    import caffe
    from freshpot.torch._sources import read

    files = [str(path)] if weights is None else [str(path), str(weights)]
    net = caffe.Net(*files, caffe.TEST)
    source = read(net, None, None, None)
    shapes = {blob: (list(net.blobs[blob].data.shape), torch.float32) for blob in source.inputs}
    return Reading(source, shapes)


def _on_cpu(net: Any) -> Any:
    """The net without its devices: a model that names a GPU is converted all the same."""
    net.device = None
    for op in net.ops:
        op.device = None
    return net


def _given_shapes(texts: list[str]) -> dict[str, list[int]]:
    made = {}
    for text in texts:
        blob, _, sizes = text.rpartition("=")
        numbers = sizes.split(",")
        if not blob or not all(n.strip().isdigit() and int(n) for n in numbers):
            raise ArgumentError(f"--shape must be BLOB=N,C,H,W with sizes greater than 0, got '{text}'.")
        made[blob] = [int(n) for n in numbers]
    return made


def _closed(reading: Reading, given: dict[str, list[int]]) -> dict[str, Any]:
    """Shape and type of every input; an open batch is what --shape says, else 1."""
    import torch

    made = {}
    for blob in reading.source.inputs:
        known, dtype = reading.shapes.get(blob, (None, torch.float32))
        sizes = given.get(blob) or known
        if sizes is None:
            missing = [blob for blob in reading.source.inputs if blob not in {**reading.shapes, **given}]
            raise ArgumentError(
                f"the shape of {', '.join(missing)} is not known: give --shape {missing[0]}=N,C,H,W."
            )
        made[blob] = (tuple(size or 1 for size in sizes), dtype)
    return made


# ---- writing -----------------------------------------------------------------------------------------
def _write_onnx(path: Path, net: Any, source: Any, inputs: dict[str, Any]) -> None:
    from freshpot.convert.onnx import to_onnx
    from freshpot.formats.onnx import write_model

    write_model(path, to_onnx(net, source.values, inputs, source.outputs))


def _write_state(path: Path, source: Any) -> None:
    import io

    import torch

    from freshpot.formats.atomic import write_bytes
    from freshpot.torch import NetModule

    buffer = io.BytesIO()
    torch.save(NetModule(source).state_dict(), buffer)
    write_bytes(path, buffer.getvalue())
