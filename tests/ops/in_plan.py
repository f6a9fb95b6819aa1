"""Operators in memory of a plan: what tests of machine code ask of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from freshpot.engine import Workspace
from freshpot.net import Net, Op


def check_runs_in_memory(ws: Workspace, net: list[Op], names: Sequence[str]) -> None:
    """After some runs the plan makes bound calls: with new data they compute what a first run computes."""
    plan = ws.create_net(Net("often", net))
    plan.run(6)
    ws.feed("x", torch.randn(ws.get("x").shape))
    plan.run(2)
    found = {name: ws.get(name).clone() for name in names}
    ws.run_once(Net("once", net))
    for name in names:
        assert torch.equal(found[name], ws.get(name)), name
