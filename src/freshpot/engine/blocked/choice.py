"""Whether a net is run in blocks of channels, for images of one size.

Owned here: when that is made, and the choice. Who calls it: `engine.prediction`.

After some runs with images of one size machine code is made, a piece at a time, so that no run takes long: at most a
third of the time goes into it. What was made is remembered on disk, as is which way was found to be faster.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from freshpot.engine.passes.graph import Graph, Value
from freshpot.native import pace
from freshpot.native.machine import lanes
from freshpot.ops._tune import choose

if TYPE_CHECKING:  # they need llvmlite, which not every machine has and not every program wants
    from freshpot.engine.blocked.lowering import BlockedNet, Blueprint

#: nets of one plan that are held at a time, for images of as many sizes
MOST_NETS = 4
#: runs with images of one size before machine code for it is thought of
_FIRST_RUNS = 3


class Blocked:
    """A net for images of one size.

    Args:
        graph: the net.
        values: what its values were in a run with such images.
        held: those of the same plan that hold memory, the oldest first.
    """

    def __init__(self, graph: Graph, values: dict[Value, Any], held: list[Blocked]) -> None:
        self._runs = 0
        self._held = held
        self._blueprint: Blueprint | None = None
        self._net: BlockedNet | None = None
        if lanes():
            from freshpot.engine.blocked.lowering import Blueprint

            outside = {v: v.source.value for n in graph.nodes for v in n.inputs if v.source is not None}
            blueprint = Blueprint(graph, {**outside, **values})
            self._blueprint = blueprint if blueprint.worthwhile else None

    def run(self, otherwise: Callable[[], None]) -> bool:
        """Run it; False, and nothing done, if it is to be run ``otherwise``."""
        if self._net is None and self._blueprint is not None:
            self._runs += 1
            if self._runs > _FIRST_RUNS and pace.is_time():
                start = time.perf_counter()
                self._make(self._blueprint, otherwise)
                pace.spent(time.perf_counter() - start)
        net = self._net  # another thread may take it away
        return net is not None and net.run()

    def _make(self, blueprint: Blueprint, otherwise: Callable[[], None]) -> None:
        from freshpot.engine.blocked.lowering import BlockedNet

        if not blueprint.make_code():
            return
        net = BlockedNet(blueprint, torch.get_num_threads())
        sizes = [tuple(size) for size in blueprint.sizes.values()]
        text = f"{blueprint.graph} {sizes}"
        job = f"net for prediction {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if choose(job, {"operators": otherwise, "blocks": net.run}) == "blocks":
            self._net = net
            self._held.append(self)
            if len(self._held) > MOST_NETS:
                self._held.pop(0)._net = None
        else:
            self._blueprint = None
