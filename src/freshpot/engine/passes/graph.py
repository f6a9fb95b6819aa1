"""A plan as passes see it: operators and the values between them, each of which is made once.

Owned here: `Graph`, `Node`, `Value`; building a graph from a plan's steps. Who calls it: `engine.prediction`,
the passes.

Blobs may be written many times; here every write makes a new `Value`, so moving and joining operators is a
matter of who reads what. A value that must be in a blob after the run says so in ``cells``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from freshpot.engine.blob import Blob
from freshpot.net import registry
from freshpot.net.op import Op

if TYPE_CHECKING:
    from freshpot.engine.plan import Step
    from freshpot.ops._operator import Operator


@dataclass(slots=True, eq=False)
class Value:
    """What a blob holds from one write of it to the next.

    ``source``: the blob it is read from, for what the net does not make itself.
    ``cells``: blobs that must hold it after the run. ``shown``: blobs that must hold it when somebody looks; it can
    be computed again then.
    """

    name: str
    maker: Node | None = None
    source: Blob | None = None
    readers: list[Node] = field(default_factory=list)
    cells: list[Blob] = field(default_factory=list)
    shown: list[Blob] = field(default_factory=list)

    @property
    def only_reader(self) -> Node | None:
        """The one node that reads it, once, if that is all that ever happens to it."""
        return self.readers[0] if len(self.readers) == 1 and not self.cells else None

    @property
    def parameter(self) -> torch.Tensor | None:
        """The tensor, if it comes from outside and is there already."""
        held = self.source.value if self.source is not None else None
        return held if isinstance(held, torch.Tensor) else None


@dataclass(slots=True, eq=False)
class Node:
    """One operator. ``positions``: the operators of the net that it stands for, the first one giving it its name."""

    op: Op
    operator: Operator
    inputs: list[Value]
    outputs: list[Value]
    positions: list[int]

    def __str__(self) -> str:
        fused = self.op.args.get("norms") or []
        extras = [*fused, *(["sum"] if self.op.args.get("sum") else []), self.op.args.get("activation")]  # type: ignore[misc]
        said = "".join(f" + {extra}" for extra in extras if extra)
        read, made = (", ".join(v.name for v in values) for values in (self.inputs, self.outputs))
        return f"{self.op.type}{said} ({read}) -> ({made})"


class Graph:
    """The operators of a net, in an order in which they may run.

    Args:
        steps: the steps of a bound plan; none of them has a ``run`` of its own, `CaffeKeep` apart.
        kept: which blobs must hold their last value after the run.
        shown: which others must hold it when somebody looks.
        copies: blobs get copies of the values that they hold, so one value may be in several.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        kept: Callable[[Blob], bool],
        shown: Callable[[Blob], bool] = lambda blob: False,
        copies: bool = False,
    ) -> None:
        self.nodes: list[Node] = []
        self.copies = copies
        latest: dict[int, Value] = {}
        cells: dict[int, Blob] = {}
        outside: set[int] = set()
        for position, step in enumerate(steps):
            inputs = []
            for blob in step.inputs:
                if id(blob) not in latest:
                    latest[id(blob)] = Value(blob.name, source=blob)
                    outside.add(id(blob))
                inputs.append(latest[id(blob)])
            outputs = [Value(blob.name) for blob in step.outputs]
            self.nodes.append(Node(step.operator.op, step.operator, inputs, outputs, [position]))
            for blob, value in zip(step.outputs, outputs, strict=True):
                latest[id(blob)] = value
                cells[id(blob)] = blob
        for key, blob in cells.items():  # what is read before it is written lives on from run to run
            if kept(blob) or key in outside:
                latest[key].cells.append(blob)
            elif shown(blob):
                latest[key].shown.append(blob)
        for node in self.nodes:
            self._enter(node)

    def _enter(self, node: Node) -> None:
        for value in node.inputs:
            value.readers.append(node)
        for value in node.outputs:
            value.maker = node

    def __str__(self) -> str:
        return "\n".join(map(str, self.nodes))

    def redirect(self, old: Value, new: Value) -> None:
        """Let all who read ``old`` read ``new``, also the blobs that must hold it."""
        for node in dict.fromkeys(old.readers):
            node.inputs = [new if value is old else value for value in node.inputs]
        new.readers += old.readers
        new.cells += old.cells
        new.shown += old.shown
        old.readers, old.cells, old.shown = [], [], []

    def drop(self, node: Node) -> None:
        """Take a node out whose outputs nobody reads."""
        for value in dict.fromkeys(node.inputs):
            value.readers = [reader for reader in value.readers if reader is not node]
        self.nodes.remove(node)

    def join(self, first: Node, second: Node, op: Op, inputs: list[Value]) -> None:
        """Put one operator in the place of two, of which the second reads the only output of the first that counts.

        It takes the place of the second one in the order, and makes its first output.
        """
        output = second.outputs[0]
        operator: Any = registry.get(op.type)(op, first.operator.device)
        made = Node(op, operator, inputs, [output], [*first.positions, *second.positions])
        self.nodes[self.nodes.index(second)] = made
        self.nodes.remove(first)
        for node in (first, second):
            for value in dict.fromkeys(node.inputs):
                value.readers = [reader for reader in value.readers if reader is not node]
        self._enter(made)

    def replace(self, node: Node, op: Op, inputs: list[Value]) -> None:
        """Put another operator in a node's place; it makes the node's first output."""
        for value in dict.fromkeys(node.inputs):
            value.readers = [reader for reader in value.readers if reader is not node]
        made = Node(
            op, registry.get(op.type)(op, node.operator.device), inputs, node.outputs[:1], node.positions
        )
        self.nodes[self.nodes.index(node)] = made
        self._enter(made)


def unread(values: Sequence[Value]) -> bool:
    """True if nobody reads any of these values."""
    return not any(value.readers or value.cells or value.shown for value in values)
