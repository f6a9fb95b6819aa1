"""``freshpot bench``: the same nets by freshpot and by others, side by side, as one table and one plot.

Owned here: the command. Who calls it: `freshpot.cli`. What it runs is in `freshpot.bench`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from freshpot.cli._folders import check_out
from freshpot.errors import ArgumentError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "bench",
        help="measure freshpot beside PyTorch and the originals, write a table and a plot",
        description="Run the benchmarks and write DIR/bench.md and DIR/bench.svg. What is not installed or not "
        "named is a row that says so.",
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these benchmarks; see --list")
    parser.add_argument("--list", action="store_true", help="say which benchmarks there are")
    parser.add_argument("--quick", action="store_true", help="short and small, to see that all works")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="of every competitor (default: as PyTorch chooses)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("freshpot-bench"), metavar="DIR", help="where results go"
    )
    parser.add_argument("--data", metavar="DIR", help="folder with MNIST's IDX files, or 'synthetic'")
    parser.add_argument("--caffe2-python", metavar="EXE", help="an interpreter with the original caffe2")
    parser.add_argument("--caffe-binary", metavar="EXE", help="the original caffe command")
    parser.add_argument("--paddle-python", metavar="EXE", help="an interpreter with the original paddle")


def run(args: argparse.Namespace) -> int:
    """Measure and write; 130 if it was interrupted (what was measured is kept)."""
    from freshpot.bench import suite
    from freshpot.bench.rows import JOBS, Options

    if args.list:
        for job in JOBS.values():
            print(f"{job.name:<14}{job.title}")
        return 0
    todo = suite.chosen(args.only)
    if args.threads is not None and args.threads < 1:
        raise ArgumentError(f"--threads must be at least 1, got {args.threads}.")
    check_out(args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    import torch

    threads = args.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    options = Options(
        threads=threads,
        quick=args.quick,
        data=args.data,
        caffe2_python=args.caffe2_python,
        caffe_binary=args.caffe_binary,
        paddle_python=args.paddle_python,
        say=lambda line: print(line, flush=True),
    )
    whole = suite.run(todo, options, args.out)
    print(f"{args.out / 'bench.md'}")
    if not whole:
        print("freshpot: interrupted; the table has what was measured until then", file=sys.stderr)
    return 0 if whole else 130
