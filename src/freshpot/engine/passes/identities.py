"""Pass: operators that let their input through leave the net."""

from __future__ import annotations

from freshpot.engine.passes.graph import Graph, Node, unread

#: types whose output is their input; Dropout and Alias only as `_lets_through` says
_TYPES = frozenset(("Copy", "CaffeKeep", "StopGradient", "Alias"))


def drop_identities(graph: Graph) -> None:
    """Copies, Dropout in the test phase and the like go: who read their output reads their input.

    They stay where input and output must both be in blobs of their own after the run, and those get no copies.
    """
    for node in list(graph.nodes):
        if not _lets_through(node) or not unread(node.outputs[1:]):
            continue
        source, made = node.inputs[0], node.outputs[0]
        seen = made.cells or made.shown
        if seen and (source.maker is None or (source.cells and not graph.copies)):
            continue
        graph.redirect(made, source)
        graph.drop(node)


def _lets_through(node: Node) -> bool:
    return node.op.type in _TYPES or (node.op.type == "Dropout" and bool(node.operator.is_test))
