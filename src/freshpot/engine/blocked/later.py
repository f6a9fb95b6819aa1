"""Blobs that a net for prediction shows, but computes only when somebody looks.

Owned here: which blobs are written at each run and which later; computing those. Who calls it: `engine.prediction`,
`choice`.

A net whose blobs are all shown runs as two: a fast one, joined across blobs, that makes the blobs that are wanted, and
one that makes every blob. The second is run when somebody looks at a blob that the first did not make: on the images
that came in, which the first keeps, and with the weights that it had, so a change of either in between does not show.
Blobs that are looked at again after another run, or whose memory the user keeps, are wanted from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import torch

from freshpot.engine.blob import Blob, Deferred
from freshpot.engine.passes import optimize
from freshpot.engine.passes.graph import Graph, Value

if TYPE_CHECKING:
    from freshpot.engine.blocked.lowering import BlockedNet, Blueprint, Key, Size
    from freshpot.engine.plan import Step
    from freshpot.ops.convolution.fused_conv import FusedConv


class Wanted:
    """Which of a plan's blobs are written at each run: those that no operator reads, and those that are looked at.

    Args:
        steps: the steps of the plan.
        shown: its blobs that somebody may look at.
        graph: the plan as passes left it, with all of them kept.
    """

    def __init__(self, steps: Sequence[Step], shown: Callable[[Blob], bool], graph: Graph) -> None:
        self._steps, self._shown = steps, shown
        self._blobs = {
            id(cell)
            for node in graph.nodes
            for value in node.outputs
            if not value.readers
            for cell in value.cells
        }
        self._looked_at: dict[int, int] = {}
        self._graph = graph
        self._graphs: tuple[int, Graph, Graph] | None = None

    def __len__(self) -> int:
        return len(self._blobs)

    def graphs(self) -> tuple[Graph, Graph]:
        """The net that makes what is wanted, and the net that makes all that is shown."""
        if self._graphs is None or self._graphs[0] != len(self):
            wanted, shown = self._blobs, self._shown
            fast = Graph(self._steps, lambda blob: id(blob) in wanted, shown, copies=True)
            full = Graph(self._steps, shown, copies=True)
            for graph in (fast, full):
                optimize(graph)
            _share_weights(fast, self._graph)
            self._graphs = (len(self), fast, full)
        return self._graphs[1:]

    def looked_at(self, blob: Blob, run: int) -> None:
        """Somebody looked at a blob that was not made, after a run of this number."""
        if self._looked_at.setdefault(id(blob), run) != run:
            self._blobs.add(id(blob))

    def follows(self, blob: Blob) -> None:
        """The user keeps a blob's memory, which is to follow every run."""
        self._blobs.add(id(blob))


def _share_weights(graph: Graph, other: Graph) -> None:
    """Let convolutions of two graphs of one net keep their weights once."""
    known = {node.positions[0]: node for node in other.nodes if node.op.type == "FusedConv"}
    for node in graph.nodes:
        theirs = known.get(node.positions[0]) if node.op.type == "FusedConv" else None
        if theirs is None:
            continue
        mine, count = cast("FusedConv", node.operator), cast("FusedConv", node.operator).count
        sources = [[v.source for v in n.inputs[1 : 1 + count]] for n in (node, theirs)]
        if sources[0] == sources[1]:
            mine.share_weights(cast("FusedConv", theirs.operator))


class Later:
    """The blobs that a fast net leaves for later.

    Args:
        net: the fast net, `lasting`.
        blueprint: of the net that makes every blob.
        wanted: told what is looked at.
    """

    def __init__(self, net: BlockedNet, blueprint: Blueprint, wanted: Wanted) -> None:
        from freshpot.engine.blocked.lowering import key_of

        self._net, self._blueprint, self._wanted = net, blueprint, wanted
        self._full: BlockedNet | None = None
        #: the run of the fast net that the full one was run after
        self._made_after = 0
        made = {id(cell) for _, cell in net.made()}
        self._blobs = [
            (cell, Deferred(self._value, 0, (key_of(value), cell), like=_like(blueprint.sizes[value])))
            for node in blueprint.kinds
            for value in node.outputs
            for cell in value.cells
            if id(cell) not in made
        ]

    def leave(self) -> None:
        """After a run of the fast net."""
        for blob, deferred in self._blobs:
            if not blob.hold(deferred):
                blob.value = deferred.compute()
                self._wanted.follows(blob)

    def _value(self, key: Key, blob: Blob) -> tuple[torch.Tensor]:
        from freshpot.engine.blocked.lowering import BlockedNet, key_of

        net = self._net
        with net.lock:
            if self._full is None:
                self._full = BlockedNet(self._blueprint, torch.get_num_threads())
                self._values: dict[Key, Value] = {key_of(value): value for value, _ in self._full.made()}
            if self._made_after != net.runs:
                self._full.run_again(net)
                self._made_after = net.runs
            self._wanted.looked_at(blob, net.runs)
            return (self._full.image_of(self._values[key]).taken(),)


def _like(size: Size) -> torch.Tensor:
    return torch.zeros(()).expand(size)
