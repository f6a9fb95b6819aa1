"""`freshpot conformance FOLDER`: run recorded cases of the originals and print a table.

Owned here: the command. Who calls it: `freshpot.cli`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "conformance",
        help="run the recorded cases of the original programs, print a table",
        description="Run every recorded operator case in FOLDER and print operator, cases, passed.",
    )
    parser.add_argument("folder", type=Path, help="folder of recorded cases (with a folder 'ops' in it)")
    parser.add_argument("--only", nargs="+", metavar="OPERATOR", help="only these operators")
    parser.add_argument("--failures", action="store_true", help="say what is wrong with each failing case")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table; 0 if every case of every operator that freshpot has passed."""
    from freshpot.net import registry
    from freshpot.testing import reference

    names = args.only or reference.operators(args.folder)
    totals = [0, 0, 0]
    print(f"{'operator':<44}{'cases':>7}{'passed':>8}")
    failed = False
    for name in names:
        cases = reference.load(args.folder, name)
        if registry.find(name) is None:
            print(f"{name:<44}{len(cases):>7}{'-':>8}  not supported yet")
            totals[0] += len(cases)
            continue
        wrong = [(c, why) for c in cases if (why := reference.run_case(c)) is not None]
        passed = len(cases) - len(wrong)
        print(f"{name:<44}{len(cases):>7}{passed:>8}{'' if not wrong else '  FAILED'}")
        if args.failures:
            for case, why in wrong:
                print(f"    {case.id}: {why}")
        failed |= bool(wrong)
        totals[0] += len(cases)
        totals[1] += passed
        totals[2] += 1
    print(f"{len(names)} operators, {totals[2]} supported; {totals[0]} cases, {totals[1]} passed")
    return 1 if failed else 0
