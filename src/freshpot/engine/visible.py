"""Running a net that only predicts in blocks of channels although all of its blobs can be seen.

Owned here: which plans can, for what sizes, and when it does not pay. Who calls it: `plan`, for nets that a program
creates and runs many times.

Every value that a blob holds when the run is over is made. Only what a blob holds for a while, as between SpatialBN
and a Relu in place, is joined with what follows. The tensors that a program sees are cut from the blocks when it looks.
Whether that is faster is found out by timing (`blocked.choice`); parameters that change all the time do not go with
packed weights, so that a net that is tested after each step of training runs as ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from freshpot.engine.blob import Blob
from freshpot.engine.blocked.choice import Blocked
from freshpot.engine.passes import optimize
from freshpot.engine.passes.graph import Graph, Node, Value
from freshpot.native.machine import lanes
from freshpot.ops.remade import Remade

if TYPE_CHECKING:
    from freshpot.engine.plan import Step

#: ordinary runs before it is thought of
_FIRST_RUNS = 2
#: combinations of shapes that are remembered
_MOST_SHAPES = 64
#: weights may be packed anew in one run of so many, after some that are free; else so many runs go as ever
_PACKED_EVERY, _FREE, _REST = 8, 4, 64

_Signature: TypeAlias = tuple[Any, ...]


def suits(steps: list[Step]) -> bool:
    """True if the steps are a net of images that only predicts: it changes nothing that it reads, draws nothing."""
    if os.environ.get("FRESHPOT_FUSE") == "0" or not any(s.operator.type == "Conv" for s in steps):
        return False
    read: set[int] = set()
    made: set[int] = set()
    for step in steps:
        operator = step.operator
        if operator.run is not None or operator.remembers or operator.generator is not None:
            return False
        if operator.device.type != "cpu" or operator.type.endswith("Gradient"):
            return False
        read |= {id(blob) for blob in step.inputs} - made
        made |= {id(blob) for blob in step.outputs}
    return read.isdisjoint(made) and lanes() > 0


class Visible:
    """A way to run steps that ``suits`` holds for.

    Args:
        steps: the steps.
        ordinary: runs them as ever.
        chosen: called when they run in blocks from now on: memory for the ordinary way is not needed then.
    """

    def __init__(self, steps: list[Step], ordinary: Callable[[], None], chosen: Callable[[], None]) -> None:
        self._steps, self._ordinary, self._chosen = steps, ordinary, chosen
        #: ordinary runs until it is tried; negative: never
        self._left = _FIRST_RUNS
        self._graph: Graph | None = None
        self._by_shapes: dict[_Signature, Blocked] = {}
        self._held: list[Blocked] = []
        self._now: Blocked | None = None
        self._at: int | None = None
        self._same = self._anew = 0

    def run(self, epoch: int) -> bool:
        """Run; False, and nothing done, if the steps are to run as ever.

        ``epoch``: another number if shapes may have changed. Errors are those of the ordinary way.
        """
        if self._left:
            self._left -= self._left > 0
            return False
        graph = self._graph
        if graph is None:
            self._watch()
            return True
        try:
            if epoch != self._at:
                self._now = self._for_shapes(graph)
                self._at = epoch
            return self._now is not None and self._run(self._now)
        except Exception:  # as ever it fails again, and says where
            self._left = _REST
            return False

    def _run(self, now: Blocked) -> bool:
        before, packed = now.ready, Remade.made
        ran = now.run(self._ordinary)
        if not before:
            if now.ready:
                self._chosen()
        elif Remade.made == packed:
            self._same += 1
        else:
            self._anew += 1
            if (self._anew - _FREE) * _PACKED_EVERY > self._same:
                self._left, self._same, self._anew = _REST, 0, 0
        return ran

    def _watch(self) -> None:
        """An ordinary run, to see whether it draws random numbers: trying ways would draw more of them."""
        before = torch.get_rng_state()
        self._ordinary()
        if not torch.equal(before, torch.get_rng_state()):
            self._left = -1
            return
        self._graph = Graph(self._steps, lambda blob: True)
        optimize(self._graph)

    def _for_shapes(self, graph: Graph) -> Blocked:
        signature = _signature(graph)
        found = self._by_shapes.get(signature)
        if found is None:
            if len(self._by_shapes) >= _MOST_SHAPES:
                self._by_shapes.clear()
            found = self._by_shapes[signature] = Blocked(graph, _sizes(graph), self._held)
        return found


def _outside(graph: Graph) -> Iterator[Blob]:
    """What the net reads and does not make."""
    found = (value.source for node in graph.nodes for value in node.inputs if value.source is not None)
    yield from dict.fromkeys(found)


def _signature(graph: Graph) -> _Signature:
    """Types and shapes of what the net reads from outside."""
    values = (blob.peek for blob in _outside(graph))
    return tuple((v.dtype, v.shape) if isinstance(v, Tensor) else type(v) for v in values)


def _sizes(graph: Graph) -> dict[Value, Any]:
    """Tensors of one number of the types and shapes of all values that the net makes."""
    last = {value: node for node in graph.nodes for value in node.inputs}
    held: dict[Value, Any] = {}
    made: dict[Value, Any] = {}
    for node in graph.nodes:
        given = [held[v] if v.source is None else v.source.value for v in node.inputs]
        values = node.operator.kernel(*given)
        values = values if isinstance(values, (tuple, list)) else (values,)
        for value, tensor in zip(node.outputs, values, strict=False):
            held[value] = tensor
            made[value] = tensor.new_zeros(()).expand(tensor.shape) if isinstance(tensor, Tensor) else tensor
        for value in _dying(node, last):
            held.pop(value, None)
    return made


def _dying(node: Node, last: dict[Value, Node]) -> list[Value]:
    return [v for v in (*node.inputs, *node.outputs) if last.get(v, node) is node]
