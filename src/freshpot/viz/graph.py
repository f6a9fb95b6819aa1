"""From a list of operators to a graph. Works on plain (name, type, inputs, outputs), whatever door they came from.

Graphs follow Caffe2's net drawer: which nodes there are, what they are called, and their order.

Source: pytorch/pytorch caffe2/python/net_drawer.py (behaviour).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from freshpot.viz.dot import Dot, Edge, Node

__all__ = [
    "BLOB_STYLE",
    "OP_STYLE",
    "Operator",
    "blob_node",
    "dependency_graph",
    "net_graph",
    "op_node",
    "quoted",
]

OP_STYLE = {"shape": "box", "color": "#0F9D58", "style": "filled", "fontcolor": "#FFFFFF"}
BLOB_STYLE = {"shape": "octagon"}


class Operator(NamedTuple):
    """One operator, as much of it as a picture needs; NetDef's operators (``input``, ``output``) do as well."""

    name: str
    type: str
    input: Sequence[str]
    output: Sequence[str]


class AnyOperator(Protocol):
    """What a graph is made from: a NetDef's operator or an :class:`Operator`."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def input(self) -> Any: ...
    @property
    def output(self) -> Any: ...


OpNode = Callable[[Any, int], Node]
BlobNode = Callable[..., Node]


def quoted(text: str) -> str:
    """``text`` in double quotes, escaped."""
    return json.dumps(text)


def op_node(append_output: bool = False, **style: Any) -> OpNode:
    """A maker of operator nodes: "Conv (op#0)", or "name/Conv (op#0)"; outputs below it on request."""

    def make(op: AnyOperator, index: int) -> Node:
        label = f"{op.name}/{op.type} (op#{index})" if op.name else f"{op.type} (op#{index})"
        outputs = op.output if append_output else ()
        return Node("\n".join([label, *outputs]), **style)

    return make


def blob_node(**style: Any) -> BlobNode:
    """A maker of blob nodes from a unique name and a label."""
    return lambda name, label: Node(name, label=label, **style)


def net_graph(
    operators: Iterable[AnyOperator],
    name: str | None = "unnamed",
    rankdir: str = "LR",
    make_op: OpNode | None = None,
    make_blob: BlobNode | None = None,
) -> Dot:
    """Operators and blobs. A blob that is written again is a new node of the same label.

    Args:
        operators: in the order they run.
        name: of the graph.
        rankdir: where it grows to: "LR", "TB", "RL" or "BT".
        make_op: makes an operator's node from (operator, index); default green boxes.
        make_blob: makes a blob's node from (unique name, label); default octagons.
    """
    make_op = make_op or op_node(False, **OP_STYLE)
    make_blob = make_blob or blob_node(**BLOB_STYLE)
    graph = Dot(name, rankdir=rankdir)
    current: dict[str, Node] = {}
    versions: Counter[str] = Counter()

    def new_version(blob: str) -> Node:
        current[blob] = make_blob(quoted(f"{blob}{versions[blob]}"), label=quoted(blob))
        return current[blob]

    for index, op in enumerate(operators):
        node = make_op(op, index)
        graph.add_node(node)
        for blob in op.input:
            source = current[blob] if blob in current else new_version(blob)
            graph.add_node(source)
            graph.add_edge(Edge(source, node))
        for blob in op.output:
            versions[blob] += blob in current
            target = new_version(blob)
            graph.add_node(target)
            graph.add_edge(Edge(node, target))
    return graph


def dependency_graph(
    operators: Iterable[AnyOperator],
    name: str | None = "unnamed",
    rankdir: str = "LR",
    minimal: bool = False,
    make_op: OpNode | None = None,
) -> Dot:
    """Operators only: an edge from the writer of a blob to each of its readers.

    Args:
        operators: in the order they run.
        name: of the graph.
        rankdir: where it grows to.
        minimal: leave out an edge that a longer way already implies.
        make_op: makes an operator's node from (operator, index).
    """
    make_op = make_op or op_node(False, **OP_STYLE)
    graph = Dot(name, rankdir=rankdir)
    nodes: list[Node] = []
    writer: dict[str, int] = {}
    ancestors: list[int] = []  # of each operator: a set of indices, kept as the bits of one integer
    for index, op in enumerate(operators):
        nodes.append(make_op(op, index))
        graph.add_node(nodes[index])
        parents = [writer[blob] for blob in op.input if blob in writer]
        beyond = 0  # what the parents themselves depend on
        for parent in parents:
            beyond |= ancestors[parent]
        ancestors.append(beyond | sum(1 << parent for parent in set(parents)))
        for parent in parents:
            if not (minimal and beyond >> parent & 1):
                graph.add_edge(Edge(nodes[parent], nodes[index]))
        writer.update(dict.fromkeys(op.output, index))
    return graph
