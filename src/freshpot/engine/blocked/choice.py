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

from freshpot.engine.blocked.later import Later, Wanted
from freshpot.engine.passes.graph import Graph, Value
from freshpot.native import pace
from freshpot.native.machine import lanes
from freshpot.ops._tune import choose

if TYPE_CHECKING:  # they need llvmlite, which not every machine has and not every program wants
    from freshpot.engine.blocked.lowering import BlockedNet, Blueprint, Key, Size

#: nets of one plan that are held at a time, for images of as many sizes; more of them where they are small
MOST_NETS = 4
#: bytes of images that small nets have together, at most
MOST_BYTES = 1 << 26
#: runs with images of one size before machine code for it is thought of
_FIRST_RUNS = 3


class Blocked:
    """A net for images of one size.

    Args:
        graph: the net.
        values: what its values were in a run with such images.
        held: those of the same plan that hold memory, the oldest first.
        wanted: which of its blobs are made at each run; None: all that the graph keeps.
    """

    def __init__(
        self, graph: Graph, values: dict[Value, Any], held: list[Blocked], wanted: Wanted | None = None
    ) -> None:
        self._runs = 0
        self._held = held
        self._graph, self._wanted = graph, wanted
        self._blueprint: Blueprint | None = None
        self._net: BlockedNet | None = None
        self._later: Later | None = None
        self._planned = self._is_new = False
        #: how many blobs were wanted when the blueprint was made
        self._count = 0
        if lanes():
            from freshpot.engine.blocked.lowering import Blueprint, sizes_of

            outside = {v: v.source.value for n in graph.nodes for v in n.inputs if v.source is not None}
            self._sizes: dict[Key, Size] = sizes_of({**outside, **values})
            blueprint = Blueprint(graph, self._sizes)
            self._blueprint = blueprint if blueprint.worthwhile else None

    def _plan(self) -> Blueprint:
        """What machine code is to do."""
        from freshpot.engine.blocked.lowering import Blueprint

        self._full: Blueprint | None = None
        blueprint = Blueprint(self._graph, self._sizes)
        if self._wanted is not None:
            self._count = len(self._wanted)
            fast, full = (Blueprint(graph, self._sizes) for graph in self._wanted.graphs())
            if fast.left == full.left and fast.worthwhile:
                blueprint, self._full = fast, full
        self._planned = True
        return blueprint

    @property
    def ready(self) -> bool:
        """True if that is how it runs."""
        return self._net is not None

    def run(self, otherwise: Callable[[], None]) -> bool:
        """Run it; False, and nothing done, if it is to be run ``otherwise``."""
        if self._net is None and self._blueprint is not None:
            self._runs += 1
            if self._runs > _FIRST_RUNS and pace.is_time():
                start = time.perf_counter()
                if not self._planned:
                    self._blueprint = self._plan()
                self._make(self._blueprint, otherwise)
                pace.spent(time.perf_counter() - start)
        elif self._later is not None and self._wanted is not None and self._count != len(self._wanted):
            self._blueprint = self._plan()
            if self._blueprint.make_code():
                self._take(self._blueprint)
        net, later = self._net, self._later  # another thread may take them away
        if net is None or not net.run():
            return False
        if self._is_new:
            net.alone()
            self._is_new = False
        if later is not None:
            later.leave()
        return True

    def _make(self, blueprint: Blueprint, otherwise: Callable[[], None]) -> None:
        if not blueprint.make_code():
            return
        net = self._take(blueprint)
        sizes = [tuple(size) for size in blueprint.sizes.values()]
        text = f"{blueprint.graph} {sizes}"
        job = f"net for prediction {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if choose(job, {"operators": otherwise, "blocks": net.run}) == "blocks":
            self._held.append(self)
            while len(self._held) > MOST_NETS and sum(other.nbytes for other in self._held) > MOST_BYTES:
                self._held.pop(0)._release()
        else:
            self._release()
            self._blueprint = None

    def _take(self, blueprint: Blueprint) -> BlockedNet:
        """Have the net of a blueprint."""
        from freshpot.engine.blocked.lowering import BlockedNet

        net = BlockedNet(blueprint, torch.get_num_threads(), lasting=self._full is not None)
        later = self._full is not None and self._wanted is not None
        self._later = Later(net, self._full, self._wanted) if later else None  # type: ignore[arg-type]
        self._net, self._is_new = net, True
        return net

    @property
    def nbytes(self) -> int:
        """Bytes of the images of its net."""
        return self._net.nbytes if self._net is not None else 0

    def _release(self) -> None:
        self._net = self._later = None
        self._runs = 0  # it is not made again at once, or nets for many sizes in turn would only be made
