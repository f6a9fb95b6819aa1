"""Trees of words for HSoftmax: `create_node_with_words`, `create_node_with_nodes`, `create_hierarchy`.

Source: caffe2/python/hsm_util.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2.proto import hsm_pb2

__all__ = ["create_hierarchy", "create_node_with_nodes", "create_node_with_words"]


def create_node_with_words(words: Iterable[int], name: str = "node") -> Any:
    """A NodeProto whose children are words, given by their ids."""
    return hsm_pb2.NodeProto(name=name, word_ids=list(words))


def create_node_with_nodes(nodes: Iterable[Any], name: str = "node") -> Any:
    """A NodeProto with these children, which are copied."""
    return hsm_pb2.NodeProto(name=name, children=list(nodes))


def create_hierarchy(tree_proto: Any) -> Any:
    """The HierarchyProto of a TreeProto: the way to every word. The tree's nodes get their offsets."""
    made = hsm_pb2.HierarchyProto()
    way: list[tuple[int, int, int]] = []
    total = 0

    def visit(node: Any) -> None:
        nonlocal total
        node.offset = offset = total
        size = len(node.children) + len(node.word_ids)
        total += size
        made.size = max(made.size, total)
        for target, child in enumerate(node.children):
            way.append((offset, size, target))
            visit(child)
            way.pop()
        for target, word in enumerate(node.word_ids, len(node.children)):
            path = made.paths.add(word_id=word)
            for index, length, goal in (*way, (offset, size, target)):
                path.path_nodes.add(index=index, length=length, target=goal)

    visit(tree_proto.root_node)
    return made
