"""A net's operators as a graph: their orders, and whether two nets are the same graph.

Owned here: the graph and the checks. Who calls it: `memonger`. Graphs are networkx's, which comes with PyTorch.

Source: caffe2/python/memonger.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def compute_interference_graph(ops: Sequence[Any]) -> Any:
    """Who reads what whom wrote: a node for each operator, an edge to each later reader of its outputs."""
    import networkx

    graph = networkx.DiGraph()
    for i, op in enumerate(ops):
        graph.add_node(i, op=op)
    inputs = [set(op.input) for op in ops]
    for i, writer in enumerate(ops):
        outputs = set(writer.output)
        for j in range(i + 1, len(ops)):
            shared = inputs[j] & outputs
            if shared:
                graph.add_edge(i, j, deps=shared)
    return graph


def topological_sort_traversal(g: Any) -> list[int]:
    """Any order that the edges allow."""
    import networkx

    return list(networkx.topological_sort(g))


def topological_sort_traversal_longest_path(g: Any) -> list[int]:
    """An order in which sources with a longer way to the end come first, so that blobs live shorter."""
    import networkx

    sources, seen = [], set()
    for source in _sorted_sources(g):
        sources.append(source)
        seen.add(source)
    ordered = list(sources)
    for source in sources:
        for node in networkx.descendants(g, source):
            if node not in seen:
                seen.add(node)
                ordered.append(node)
    rank = {node: len(ordered) - i for i, node in enumerate(ordered)}
    return list(networkx.lexicographical_topological_sort(g, key=lambda node: rank[node]))


def _sorted_sources(g: Any) -> list[int]:
    """The sources as leaves of the tree of their longest ways to one end, the lower branches first."""
    import networkx

    whole = g.copy()
    targets = [node for node in g if not list(g.successors(node))]
    if len(targets) > 1:
        end = max(g) + 1
        whole.add_edges_from((node, end) for node in targets)
    paths = [_longest_path(whole, node) for node in whole if not list(whole.predecessors(node))]
    tree = networkx.DiGraph()
    tree.add_nodes_from({node for path in paths for node in path})
    for path in paths:
        tree.add_edges_from(zip(path[1:], path[:-1], strict=True))
    root = paths[0][-1]
    heights: dict[int, int] = {}
    for node in reversed(list(networkx.topological_sort(tree))):
        heights[node] = max((heights[child] + 1 for child in tree.successors(node)), default=0)
    leaves, stack = [], [root]
    while stack:
        node = stack.pop()
        children = sorted(tree.successors(node), key=heights.__getitem__)
        if not children:
            leaves.append(node)
        stack += reversed(children)
    return leaves


def _longest_path(graph: Any, source: int) -> list[int]:
    import networkx

    weighted = networkx.DiGraph()
    weighted.add_nodes_from(graph)
    weighted.add_weighted_edges_from((u, v, -1) for u, v in graph.edges())
    before, distance = networkx.bellman_ford_predecessor_and_distance(weighted, source)
    node = min(distance, key=distance.__getitem__)
    path = [node]
    while before[node]:
        node = before[node][0]
        path.append(node)
    return path[::-1]


def verify_inplace_blobs(net_a: Any, net_b: Any) -> bool:
    """Whether two nets have the same operators, and each works in place in the same inputs and outputs."""

    def inplace(op: Any) -> list[tuple[int, int]]:
        outputs = list(op.output)
        return [(i, outputs.index(name)) for i, name in enumerate(op.input) if name in outputs]

    pairs = zip(net_a.op, net_b.op, strict=False)
    return all(a.type == b.type and inplace(a) == inplace(b) for a, b in pairs)


def verify_graph_equality(net_a: Any, net_b: Any) -> bool:
    """Whether two nets have the same operators, and each reads what the same operators wrote."""
    if len(net_a.op) != len(net_b.op):
        return False
    for a, b in zip(net_a.op, net_b.op, strict=True):
        if (a.type, a.engine) != (b.type, b.engine) or a.device_option != b.device_option:
            return False
    parents_a, parents_b = _parents(net_a.op), _parents(net_b.op)
    for i, (a, b) in enumerate(zip(parents_a, parents_b, strict=True)):
        if a != b:
            print(f"Difference {i} vs {net_a.op[i]} \n {net_b.op[i]}")
            print(f"Parents: {a} vs {b}")
    return parents_a == parents_b


def _parents(ops: Sequence[Any]) -> list[list[int]]:
    """For each operator who wrote its inputs."""
    parents: list[list[int]] = []
    owner: dict[str, int] = {}
    for i, op in enumerate(ops):
        parents.append([owner[name] for name in op.input if name in owner])
        for name in op.output:
            owner[name] = i
    return parents
