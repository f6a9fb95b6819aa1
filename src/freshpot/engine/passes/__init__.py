"""Passes that make a plan for inference faster: each changes a `Graph` so that the same values come out.

Owned here: which passes there are, and their order. Who calls it: `engine.prediction`.
"""

from __future__ import annotations

from collections.abc import Callable

from freshpot.engine.passes.convolutions import (
    add_in_convolutions,
    fold_into_convolutions,
    pack_convolutions,
    rectify_in_convolutions,
)
from freshpot.engine.passes.graph import Graph
from freshpot.engine.passes.identities import drop_identities
from freshpot.engine.passes.normalizations import fold_normalizations

Pass = Callable[[Graph], None]

PASSES: tuple[Pass, ...] = (
    drop_identities,
    fold_normalizations,
    fold_into_convolutions,
    add_in_convolutions,
    rectify_in_convolutions,
    pack_convolutions,
)


def optimize(graph: Graph, said: Callable[[str], object] | None = None) -> None:
    """Run all passes. ``said`` is told, after each one that changed something, its name and the net as it is then."""
    before = str(graph) if said is not None else ""
    for change in PASSES:
        change(graph)
        if said is None:
            continue
        after = str(graph)
        if after != before:
            said(f"{change.__name__}:\n{after}")
        before = after
