"""``freshpot run FILE``: a legacy program as it stands, and a table of what became of its cells.

The program runs with the rights of whoever starts it, as ``python FILE`` would; only shell lines ask for leave.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from freshpot.cli._folders import check_out
from freshpot.errors import ArgumentError

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "run",
        help="run a legacy program as it stands: .py, .ipynb, Markdown or reStructuredText",
        description="Run a legacy program as it stands: a Python file (2 or 3), a notebook, or a Markdown or "
        "reStructuredText with code blocks. The program has your rights, as under 'python FILE'. What "
        "it needs and this machine lacks (modules, dead addresses, the authors' files) is put in its place, and the "
        "table at the end says so. Exit status 0 only if every cell ran.",
    )
    parser.add_argument("file", type=Path, help=".py, .ipynb, .md, .rst")
    parser.add_argument("--keep-going", action="store_true", help="run the cells after one that failed")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="for figures and stand-ins (freshpot-run/NAME)"
    )
    parser.add_argument(
        "--to", type=Path, metavar="FILE", help="write the modernised program, .py or .ipynb, instead"
    )
    parser.add_argument(
        "--dialect",
        choices=("caffe", "caffe2", "paddle", "torch"),
        help="use freshpot's package even if the real one is installed",
    )
    parser.add_argument(
        "--allow-shell", action="store_true", help="let the file's shell lines (!command) run"
    )
    parser.add_argument(
        "--quick",
        type=int,
        metavar="N",
        help="stop each training after N steps; the table says that it was done",
    )
    parser.add_argument(
        "--stand-ins",
        action="store_true",
        help="random weights for every Caffe model that is not there, not only for those known to be gone",
    )
    parser.epilog = "Words behind '--' are the program's own: sys.argv[1:]."
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the file or write it anew; 0 if every cell ran, 1 if one did not, 130 if Ctrl-C ended it."""
    from freshpot.legacy.cells import read_document
    from freshpot.legacy.report import format_table
    from freshpot.legacy.runner import Options
    from freshpot.legacy.runner import run as run_document

    if args.quick is not None and args.quick < 1:
        raise ArgumentError(f"--quick must be at least 1, got {args.quick}.")
    document = read_document(args.file)
    if args.to is not None:
        from freshpot.legacy.write import write

        write(document, args.to)
        print(f"{args.to}: {len(document.cells)} cells")
        return 0
    folder = (args.out or Path("freshpot-run") / args.file.stem).resolve()
    if args.out is not None:
        check_out(folder)
    options = Options(
        folder,
        args.keep_going,
        args.dialect,
        args.allow_shell,
        args.quick,
        args.stand_ins,
        tuple(args.program_arguments),
    )
    result = run_document(document, options)
    print("\n" + format_table(result))
    if result.interrupted:
        return 130
    return 0 if result.passed else 1
