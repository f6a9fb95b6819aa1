"""``freshpot convert SRC [WEIGHTS] DST``: a net as ONNX, as a Caffe2 predictor pair, or as a state_dict.

Owned here: the command. Who calls it: `freshpot.cli`. The net is read by `freshpot.torch`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError, NetError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "convert",
        help="convert a net: Caffe or Caffe2 to ONNX, to a Caffe2 predictor pair, to a PyTorch state_dict",
        description="Convert a net for use. SRC is a prototxt (then WEIGHTS is its caffemodel) or a predict_net.pb "
        "(then WEIGHTS is its init_net.pb). DST says what to make: FILE.onnx; FILE.pt, a PyTorch state_dict; or a "
        "folder, which gets predict_net.pb and init_net.pb.",
    )
    parser.add_argument("source", type=Path, metavar="SRC", help=".prototxt, or predict_net.pb")
    parser.add_argument(
        "weights", type=Path, nargs="?", metavar="WEIGHTS", help=".caffemodel, or init_net.pb"
    )
    parser.add_argument("target", type=Path, metavar="DST", help="FILE.onnx, FILE.pt, or a folder")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="BLOB=N,C,H,W",
        help="shape of an input, which a Caffe2 net does not say; may be given several times",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; 0."""
    from freshpot.net import Net
    from freshpot.torch._modes import in_mode

    source, shapes = _read(args.source, args.weights)
    shapes.update(_given_shapes(args.shape))
    ops = [in_mode(op, False) for op in source.ops]
    net = Net(source.name, ops, [*source.inputs, *source.values], list(source.outputs))
    if args.target.suffix == ".onnx":
        _write_onnx(args.target, net, source, shapes)
    elif args.target.suffix in (".pt", ".pth"):
        _write_state(args.target, source)
    elif args.target.suffix:
        raise ArgumentError(f"{args.target}: give FILE.onnx, FILE.pt, or a folder.")
    else:
        _write_pair(args.target, net, source)
    print(f"{args.target}: {len(ops)} operators, {len(source.values)} parameters")
    return 0


def _read(path: Path, weights: Path | None) -> tuple[Any, dict[str, Any]]:
    """The net, and the shapes of its inputs where they are known."""
    import torch

    from freshpot.convert.netdef import net_from_bytes
    from freshpot.torch._sources import read

    if path.suffix == ".pb":
        init = None if weights is None else net_from_bytes(weights.read_bytes(), path=weights)
        predict = net_from_bytes(path.read_bytes(), path=path)
        return read(_on_cpu(predict), {} if init is None else _on_cpu(init), None, None), {}
    if path.suffix != ".prototxt":
        raise ArgumentError(f"{path}: SRC must be a .prototxt or a predict_net.pb.")
    import caffe

    if not path.is_file():
        raise NetError(f"{path}: there is no such file.")
    files = [str(path)] if weights is None else [str(path), str(weights)]
    net = caffe.Net(*files, caffe.TEST)
    source = read(net, None, None, None)
    return source, {blob: (tuple(net.blobs[blob].data.shape), torch.float32) for blob in source.inputs}


def _on_cpu(net: Any) -> Any:
    """The net without its devices: a model that names a GPU is converted all the same."""
    net.device = None
    for op in net.ops:
        op.device = None
    return net


def _given_shapes(texts: list[str]) -> dict[str, Any]:
    import torch

    made = {}
    for text in texts:
        blob, _, sizes = text.partition("=")
        numbers = sizes.split(",")
        if not blob or not all(n.strip().isdigit() and int(n) for n in numbers):
            raise ArgumentError(f"--shape must be BLOB=N,C,H,W with sizes greater than 0, got '{text}'.")
        made[blob] = (tuple(int(n) for n in numbers), torch.float32)
    return made


def _write_onnx(path: Path, net: Any, source: Any, shapes: dict[str, Any]) -> None:
    from freshpot.convert.onnx import to_onnx
    from freshpot.formats.onnx import write_model

    missing = [blob for blob in source.inputs if blob not in shapes]
    if missing:
        raise ArgumentError(
            f"the shape of {', '.join(missing)} is not known: give --shape {missing[0]}=N,C,H,W."
        )
    inputs = {blob: shapes[blob] for blob in source.inputs}
    write_model(path, to_onnx(net, source.values, inputs, source.outputs))


def _write_state(path: Path, source: Any) -> None:
    import io

    import torch

    from freshpot.formats.atomic import write_bytes
    from freshpot.torch import NetModule

    buffer = io.BytesIO()
    torch.save(NetModule(source).state_dict(), buffer)
    write_bytes(path, buffer.getvalue())


def _write_pair(folder: Path, net: Any, source: Any) -> None:
    from freshpot.convert.netdef import net_to_proto
    from freshpot.formats.atomic import write_bytes
    from freshpot.net import Net, Op

    fills = {"torch.float32": "GivenTensorFill", "torch.int32": "GivenTensorIntFill"}
    fills["torch.int64"] = "GivenTensorInt64Fill"
    init = Net(f"{net.name}_init")
    for blob, value in source.values.items():
        args = {"shape": list(value.shape), "values": value.reshape(-1).tolist()}
        if str(value.dtype) not in fills:
            raise NetError(f"parameter '{blob}' is {value.dtype}, which no init_net holds.", blob=blob)
        init.ops.append(Op(fills[str(value.dtype)], [], [blob], args))
    init.outputs = list(source.values)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "init_net.pb", net_to_proto(init).SerializeToString())
    write_bytes(folder / "predict_net.pb", net_to_proto(net).SerializeToString())
