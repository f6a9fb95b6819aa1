"""`freshpot ops [NAME …]`: the operators there are, or what is known of some.

Owned here: the command. Who calls it: `freshpot.cli`.
"""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "ops",
        help="list the operators, or describe some",
        description="List operators, or describe those named.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="operators to describe")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print; 0."""
    from freshpot.net import registry

    if not args.names:
        for name in registry.names():
            print(f"{name:<40}{(registry.get(name).documentation() or ' ').splitlines()[0]}")
        return 0
    for name in args.names:
        definition = registry.get(name)
        inputs, outputs = (
            ", ".join(p.name for p in ports) for ports in (definition.inputs, definition.outputs)
        )
        print(f"{name}({inputs}) -> ({outputs})\n{definition.documentation()}")
        for arg in definition.args:
            default = "required" if arg.required else f"default {arg.default!r}"
            print(f"  {arg.name}: {arg.kind_name}, {default}. {arg.doc}")
    return 0
