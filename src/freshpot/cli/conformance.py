"""`freshpot conformance FOLDER`: run recorded cases of the originals and print a table.

Owned here: the command. Who calls it: `freshpot.cli`. What a folder holds is seen from what is in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from freshpot.errors import DataError


class Group(NamedTuple):
    """Cases under one name; ``run`` gives None for a case that passes; None instead of it: not supported."""

    name: str
    cases: Sequence[Any]
    run: Callable[[Any], str | None] | None


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "conformance",
        help="run the recorded cases of the original programs, print a table",
        description="Run every recorded case in FOLDER and print a table: operator or layer, cases, passed.",
    )
    parser.add_argument("folder", type=Path, help="folder of recorded cases of Caffe2 or of Caffe")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="only these operators, layers or other rows of the table"
    )
    parser.add_argument("--failures", action="store_true", help="say what is wrong with each failing case")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 if every case of everything that freshpot has passed."""
    args.folder = args.folder.resolve()  # cases run in folders of their own
    what, groups = _kind(args.folder)
    counts = {"rows": 0, "supported": 0, "cases": 0, "passed": 0}
    print(f"{what:<44}{'cases':>7}{'passed':>8}", flush=True)
    failed = False
    for group in groups(args.folder, args.only):
        counts["rows"] += 1
        counts["cases"] += len(group.cases)
        if group.run is None:
            print(f"{group.name:<44}{len(group.cases):>7}{'-':>8}  not supported yet")
            continue
        wrong = [(case, why) for case in group.cases if (why := group.run(case)) is not None]
        passed = len(group.cases) - len(wrong)
        print(f"{group.name:<44}{len(group.cases):>7}{passed:>8}{'  FAILED' if wrong else ''}", flush=True)
        for case, why in wrong if args.failures else []:
            print(f"    {case.id}: {why}")
        failed |= bool(wrong)
        counts["supported"] += 1
        counts["passed"] += passed
    print("{rows} {what}s, {supported} supported; {cases} cases, {passed} passed".format(what=what, **counts))
    return 1 if failed else 0


Groups = Callable[[Path, "Sequence[str] | None"], Iterator[Group]]


def _kind(folder: Path) -> tuple[str, Groups]:
    """What the rows of a folder's table are, and the function that makes them."""
    if (folder / "ops").is_dir():
        return "operator", _operators
    if (folder / "layers").is_dir():
        return "group", _caffe
    raise DataError(
        f"{folder} holds no recorded cases: neither a folder 'ops' (Caffe2) nor 'layers' (Caffe)."
    )


def _operators(folder: Path, only: Sequence[str] | None) -> Iterator[Group]:
    from freshpot.net import registry
    from freshpot.testing import reference

    for name in only or reference.operators(folder):
        known = registry.find(name) is not None
        yield Group(name, reference.load(folder, name), reference.run_case if known else None)


def _caffe(folder: Path, only: Sequence[str] | None) -> Iterator[Group]:
    from caffe._net.layer import layer_types
    from freshpot.testing import caffe_layers, caffe_nets, caffe_scripts, caffe_solvers

    def wanted(name: str) -> bool:
        return only is None or name in only

    for name in filter(wanted, caffe_layers.layer_types(folder)):
        run = caffe_layers.run_case if name in layer_types() else None
        yield Group(name, caffe_layers.load(folder, name), run)
    if wanted("nets") and (folder / "nets").is_dir():
        yield Group("nets", caffe_nets.load(folder), caffe_nets.run_case)
    for name in filter(wanted, caffe_solvers.groups(folder)):
        yield Group(name, caffe_solvers.load(folder, name), caffe_solvers.run_case)
    for name in filter(wanted, caffe_scripts.groups(folder)):
        yield Group(name, caffe_scripts.load(folder, name), caffe_scripts.run_case)
