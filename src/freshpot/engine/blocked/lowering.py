"""From a graph to tasks in memory of their own.

Owned here: `Blueprint`, what is done for images of one size: which nodes by machine code, where values lie;
`BlockedNet`, that made and ready to run. Who calls it: `engine.prediction`.

Parts of a concatenation are made where the whole wants them, and memory is used again for images of the same
size whose values are not needed any more. Nodes that machine code does not do run their kernels on tensors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from freshpot.engine.blob import Blob, Deferred
from freshpot.engine.blocked.images import Border, Image, Memory, Size, take
from freshpot.engine.blocked.kinds import Concatenation, Kind, Refresh, kind_of, pointwise
from freshpot.engine.blocked.watch import Watch
from freshpot.engine.heap import give_back
from freshpot.engine.passes.graph import Graph, Node, Value
from freshpot.native import program
from freshpot.native.blocks import Slot
from freshpot.native.machine import Code, lanes
from freshpot.native.program import Program, Task

#: of values that outlive the run
_FOR_EVER = 1 << 60
#: bytes that are worth looking for pages that nobody uses
_MUCH = 1 << 23

Values = dict[Value, Any]
#: what a value is called in any graph of the same net
Key = tuple[Any, int]


def _first(operator: Any, given: Sequence[Any], count: int) -> Sequence[Any]:
    made = operator.kernel(*given)
    return made[:count] if isinstance(made, (tuple, list)) else (made,)


def key_of(value: Value) -> Key:
    """What a value is called: the last of the net's operators that its maker stands for, and which of its outputs; or
    the blob that it comes from."""
    if value.maker is None:
        return ("outside", id(value.source))
    return (value.maker.positions[-1], value.maker.outputs.index(value))


def sizes_of(values: Values) -> dict[Key, Size]:
    """Of those that are float32 images on the CPU."""
    return {
        key_of(value): Size(*held.shape)
        for value, held in values.items()
        if isinstance(held, Tensor)
        and held.dim() == 4
        and held.dtype == torch.float32
        and held.device.type == "cpu"
        and held.numel()
    }


class Blueprint:
    """What is done with images of one size.

    Args:
        graph: the net.
        sizes: of its images.
    """

    def __init__(self, graph: Graph, sizes: dict[Key, Size]) -> None:
        self.graph = graph
        values = dict.fromkeys(value for node in graph.nodes for value in (*node.inputs, *node.outputs))
        self.sizes = {value: size for value in values if (size := sizes.get(key_of(value))) is not None}
        found = ((node, kind_of(node, self.sizes)) for node in graph.nodes)
        self.kinds: dict[Node, Kind] = {node: kind for node, kind in found if kind is not None}
        self._codes: list[Callable[[], Code]] = [program.driver]
        for kind in self.kinds.values():
            self._codes += kind.codes()

    @property
    def left(self) -> list[list[int]]:
        """The nodes that machine code does not do, as positions in the net."""
        return [node.positions for node in self.graph.nodes if node not in self.kinds]

    @property
    def worthwhile(self) -> bool:
        """True if convolutions are among what machine code does."""
        return bool(lanes()) and any(node.op.type == "FusedConv" for node in self.kinds)

    def make_code(self) -> bool:
        """Make a piece of the code that is wanted; True if all of it is there."""
        while self._codes:
            missed = _makes_new(self._codes.pop())
            if missed and self._codes:
                return False
        return True


def _makes_new(make: Callable[[], Code]) -> bool:
    """Make a piece of code, or find it made; True if it had to be made."""
    before = Code.made
    make()
    return Code.made != before


class BlockedNet:
    """A net for images of one size: ``run()`` computes it.

    Args:
        blueprint: what is done.
        threads: among so many it is shared evenly; it runs on any number.
        lasting: what comes as tensors stays, so that another net can begin with it (`run_again`).
    """

    def __init__(self, blueprint: Blueprint, threads: int, lasting: bool = False) -> None:
        self.lock = threading.RLock()
        self._running = False
        self._lasting = lasting
        #: runs so far
        self.runs = 0
        self._graph, self._sizes, self._kinds = blueprint.graph, blueprint.sizes, blueprint.kinds
        self._threads = threads
        #: it has memory for so many
        self._most_threads = max(threads, program.processors())
        self._scratch: dict[Task, int] = {}
        self._within: dict[Value, tuple[Value, int]] = {}
        self._images: dict[Value, Image] = {}
        self._planes: dict[Value, Image] = {}
        self._refresh: dict[Node, Refresh] = {}
        self._actions: list[Callable[[Values], None]] = []
        #: those that machine code does, and what brings values to it
        self._own_actions: list[Callable[[Values], None]] = []
        self._entries: dict[Value, Image] = {}
        self._tasks: list[Task] = []
        self._place_parts()
        self._take_memory()
        self._outside = [
            (value, value.source, self._sizes[value])
            for value in dict.fromkeys(v for kind in self._kinds.values() for v in kind.images)
            if value.source is not None
        ]
        for value, _, _ in self._outside:
            self._enter(value)
        for node in self._graph.nodes:
            self._add(node)
        self._close()
        self._watch = Watch(list(self._refresh.values()))
        if self._scratch:
            memory = torch.empty(self._most_threads * max(self._scratch.values()))
            for task in self._scratch:
                task.give(Slot.SCRATCH, memory)
        cells = [
            (node, value, cell)
            for node in self._graph.nodes
            for value in node.outputs
            for cell in value.cells
        ]
        self._tensor_cells = list(self._held_by_tensors())
        self._image_cells = [
            (cell, _deferred(self._images[value])) for node, value, cell in cells if node in self._kinds
        ]

    def _held_by_tensors(self) -> Iterator[tuple[Blob, Value, bool]]:
        """Blobs that hold what kernels make, and whether another one holds the same."""
        for node in self._graph.nodes:
            if node not in self._kinds:
                for value in node.outputs:
                    for i, cell in enumerate((*value.cells, *value.shown)):
                        yield cell, value, i > 0

    # ---- where values lie ----------------------------------------------------------------------
    def _place_parts(self) -> None:
        """Let parts of a concatenation be made inside of it, where they are part of one only."""
        for node, kind in self._kinds.items():
            if not isinstance(kind, Concatenation):
                continue
            start = 0
            for value in kind.images:
                mine = value.maker in self._kinds and value not in self._within
                if mine and kind.images.count(value) == 1:
                    self._within[value] = (node.outputs[0], start)
                start += -(-self._sizes[value].C // lanes())

    def _root(self, value: Value) -> tuple[Value, int]:
        first = 0
        while value in self._within:
            value, start = self._within[value]
            first += start
        return value, first

    def _take_memory(self) -> None:
        """Memory for all images."""
        borders: dict[Value, Border] = {}
        spans: dict[Value, tuple[int, int]] = {}
        planes: dict[Value, Border] = {}

        def lives(value: Value, at: int) -> None:
            root, _ = self._root(value)
            first, last = spans.get(root, (at, at))
            spans[root] = (min(first, at), max(last, at))

        places = {node: at for at, node in enumerate(self._graph.nodes)}
        for at, node in enumerate(self._graph.nodes):
            kind = self._kinds.get(node)
            if kind is not None:
                lives(node.outputs[0], at)
                for i, value in enumerate(kind.images):
                    if i == 0 and kind.planar:
                        planes[value] = planes.get(value, Border()).with_(kind.border)
                        continue
                    lives(value, places[value.maker] if value.maker is not None else -1)
                    lives(value, _FOR_EVER if self._lasting and value.maker not in self._kinds else at)
                    border = kind.border if i == 0 else Border()
                    root, _ = self._root(value)
                    borders[root] = borders.get(root, Border()).with_(border)
            for value in node.inputs:  # tensors are taken from images when they are wanted
                if value.maker in self._kinds:
                    lives(value, at)
            for value in node.outputs:
                if value.maker in self._kinds and value.cells:
                    lives(value, _FOR_EVER)
        self._planes = {v: _whole(Memory(self._sizes[v], b, planar=True)) for v, b in planes.items()}
        self._share_memory(borders, spans)

    def _share_memory(self, borders: dict[Value, Border], spans: dict[Value, tuple[int, int]]) -> None:
        free: dict[tuple[Size, Border], list[tuple[int, Memory]]] = {}
        for root, (first, last) in sorted(spans.items(), key=lambda item: item[1][0]):
            key = (self._sizes[root], borders.get(root, Border()))
            old = free.setdefault(key, [])
            ready = next((i for i, (until, _) in enumerate(old) if until < first), None)
            memory = old.pop(ready)[1] if ready is not None else Memory(*key)
            old.append((last, memory))
            self._images[root] = _whole(memory)
        for value in self._within:
            root, start = self._root(value)
            if root in self._images:
                self._images[value] = Image(self._images[root].memory, start, self._sizes[value].C)

    # ---- what is done --------------------------------------------------------------------------
    def _enter(self, value: Value) -> None:
        """A value that comes as a tensor is put where tasks read it."""
        for image in (self._images.get(value), self._planes.get(value)):
            if image is not None:
                self._entries[value] = image
                self._actions.append(_entry(value, image))
                self._own_actions.append(self._actions[-1])

    def _close(self) -> None:
        """What was collected becomes one action."""
        if self._tasks:
            run = Program(self._tasks).run
            self._tasks = []
            self._actions.append(lambda values: run())
            self._own_actions.append(self._actions[-1])

    def _add(self, node: Node) -> None:
        kind = self._kinds.get(node)
        if kind is None:
            self._close()
            self._actions.append(self._by_kernel(node))
            for value in node.outputs:
                if value in self._images or value in self._planes:
                    self._enter(value)
            return
        output = self._images[node.outputs[0]]
        if isinstance(kind, Concatenation):
            self._copy_parts(kind, output)
            return
        inputs = [self._images.get(v) for v in kind.images]
        if kind.planar:
            inputs[0] = self._planes[kind.images[0]]
        work = kind.work([image for image in inputs if image is not None], output, self._threads)
        self._tasks += work.tasks
        if work.scratch:
            self._scratch |= dict.fromkeys(work.tasks, work.scratch)
        if work.refresh is not None:
            self._refresh[node] = work.refresh

    def _copy_parts(self, kind: Concatenation, output: Image) -> None:
        """What could not be made inside of a concatenation."""
        start = output.first
        for value in kind.images:
            part = self._images[value]
            if part.memory is not output.memory or part.first != start:
                there = Image(output.memory, start, part.C)
                self._tasks.append(pointwise([part], there, False, self._threads))
            start += part.blocks

    def _by_kernel(self, node: Node) -> Callable[[Values], None]:
        operator, inputs, outputs = node.operator, node.inputs, node.outputs
        images = [self._images[v] if v.maker in self._kinds else None for v in inputs]
        seen = [image.seen() if image is not None else None for image in images]

        def given_to(values: Values) -> Iterator[Any]:
            for value, image, view in zip(inputs, images, seen, strict=True):
                if view is not None:
                    yield view
                    continue
                if value not in values:
                    values[value] = image.taken() if image is not None else value.source.value  # type: ignore[union-attr]
                yield values[value]

        def run(values: Values) -> None:
            given = list(given_to(values))
            values.update(zip(outputs, _first(operator, given, len(outputs)), strict=True))

        return run

    # ---- running -------------------------------------------------------------------------------
    def run(self) -> bool:
        """Run; False, and nothing done, if what comes from outside has other shapes, if it is running already, or if
        there are more threads than it has memory for."""
        if torch.get_num_threads() > self._most_threads:
            return False
        values: Values = {}
        for value, source, size in self._outside:
            held = source.value
            if not isinstance(held, Tensor) or held.shape != size or held.dtype != torch.float32:
                return False
            values[value] = held
        if not self.lock.acquire(blocking=False):
            return False
        try:
            if self._running:  # an operator of the net calls the net
                return False
            self._running = True
            if not self._watch.unchanged() and not self._watch.refresh():
                return False
            self.runs += 1
            for action in self._actions:
                action(values)
            self._deliver(values)
        finally:
            self._running = False
            self.lock.release()
        return True

    def _deliver(self, values: Values) -> None:
        for cell, value, another in self._tensor_cells:
            cell.value = values[value].clone() if another else values[value]
        for cell, deferred in self._image_cells:
            if not cell.hold(deferred):
                cell.value = deferred.compute()

    def run_again(self, other: BlockedNet) -> None:
        """Do what machine code does on what came as tensors in the last run of ``other``, with its weights.

        ``other`` is of the same net, `lasting`, and leaves the same nodes to their kernels.
        """
        entries = {key_of(value): image for value, image in other._entries.items()}
        values = {value: entries[key_of(value)].taken() for value in self._entries}
        refreshes = {node.positions[0]: refresh for node, refresh in other._refresh.items()}
        for node, refresh in self._refresh.items():
            refresh.take(refreshes[node.positions[0]].current)
        for action in self._own_actions:
            action(values)

    @property
    def nbytes(self) -> int:
        """Bytes of its images."""
        images = [*self._images.values(), *self._planes.values()]
        return sum({id(image.memory): image.memory.tensor.nbytes for image in images}.values())

    def alone(self) -> None:
        """Let go of what only running operator by operator wants."""
        nodes = [node for node in self._refresh if node.op.type == "FusedConv"]
        if sum(self._refresh[node].current.forget() for node in nodes) > _MUCH:
            give_back()

    def image_of(self, value: Value) -> Image:
        """Where a value lies that machine code makes; that of a kept blob stays there until the next run."""
        return self._images[value]

    def made(self) -> Iterator[tuple[Value, Blob]]:
        """The values that machine code makes and blobs hold, with the blobs."""
        for node in self._kinds:
            for value in node.outputs:
                for cell in value.cells:
                    yield value, cell


def _entry(value: Value, image: Image) -> Callable[[Values], None]:
    return lambda values: image.put(values[value])


def _deferred(image: Image) -> Deferred:
    """An image for whoever looks at the blob that holds it: it stays what it is until the next run."""
    return Deferred(take, 0, (image,), like=torch.zeros(()).expand(image.size))


def _whole(memory: Memory) -> Image:
    return Image(memory, 0, memory.size.C)
