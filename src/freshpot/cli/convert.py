"""``freshpot convert SRC [WEIGHTS] DST``: a net in the files of one framework as those of another.

Owned here: the command. Who calls it: `freshpot.cli`. Nets are read and written by `freshpot.torch._files`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from freshpot.errors import ArgumentError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "convert",
        help="convert a net between Caffe, Caffe2, Paddle and ONNX, or to a PyTorch state_dict",
        description="Convert a net for use. SRC is a prototxt (then WEIGHTS is its caffemodel), a predict_net.pb or "
        ".pbtxt (then WEIGHTS is its init_net), a Paddle .pdmodel or __model__ (its parameters are found beside it, "
        "or WEIGHTS), or an ONNX model. DST says what to make: FILE.onnx; FILE.prototxt, with FILE.caffemodel beside "
        "it; FILE.pdmodel, with FILE.pdiparams; FILE.pt, a PyTorch state_dict; or a folder, which gets "
        "predict_net.pb and init_net.pb.",
    )
    parser.add_argument(
        "source", type=Path, metavar="SRC", help=".prototxt, predict_net.pb, .pbtxt, .pdmodel or .onnx"
    )
    parser.add_argument(
        "weights", type=Path, nargs="?", metavar="WEIGHTS", help=".caffemodel, init_net.pb or .pdiparams"
    )
    parser.add_argument(
        "target",
        type=Path,
        metavar="DST",
        help="FILE.onnx, FILE.prototxt, FILE.pdmodel, FILE.pt, or a folder",
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
    from freshpot.torch._files import kind_of, read_file, write

    kind_of(args.target)
    given = _given_shapes(args.shape)
    source = read_file(args.source, args.weights, given, args.fixed_batch)
    write(args.target, source, given)
    print(f"{args.target}: {len(source.ops)} operators, {len(source.values)} parameters")
    if args.weights is None and args.source.suffix.lower() == ".prototxt" and source.values:
        print(
            "freshpot: no WEIGHTS were given: the parameters are what the net's fillers drew, none was trained.",
            file=sys.stderr,
        )
    return 0


def _given_shapes(texts: list[str]) -> dict[str, list[int]]:
    made = {}
    for text in texts:
        blob, _, sizes = text.rpartition("=")
        numbers = sizes.split(",")
        if not blob or not all(n.strip().isdigit() and int(n) for n in numbers):
            raise ArgumentError(f"--shape must be BLOB=N,C,H,W with sizes greater than 0, got '{text}'.")
        made[blob] = [int(n) for n in numbers]
    return made
