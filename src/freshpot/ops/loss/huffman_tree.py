"""A tree of classes in which frequent ones lie near the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.formats import protobuf
from freshpot.net.schema import Arg, Port
from freshpot.ops._operator import Operator


@dataclass(slots=True, frozen=True)
class _Node:
    count: int
    label: int = -1
    left: _Node | None = None
    right: _Node | None = None


class _Heap:
    """The least count first; equal counts in the order of C++'s standard heap, which decides the tree."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []

    def push(self, node: _Node) -> None:
        self.nodes.append(node)
        self._rise(len(self.nodes) - 1, node)

    def pop(self) -> _Node:
        nodes = self.nodes
        first, last = nodes[0], nodes.pop()
        if nodes:
            at, size = 0, len(nodes)
            while 2 * at + 2 < size:
                child = 2 * at + 2
                if nodes[child].count > nodes[child - 1].count:
                    child -= 1
                nodes[at] = nodes[child]
                at = child
            if 2 * at + 2 == size:
                nodes[at] = nodes[size - 1]
                at = size - 1
            self._rise(at, last)
        return first

    def _rise(self, at: int, node: _Node) -> None:
        while at and self.nodes[(at - 1) // 2].count > node.count:
            self.nodes[at] = self.nodes[(at - 1) // 2]
            at = (at - 1) // 2
        self.nodes[at] = node


class HuffmanTreeHierarchy(Operator):
    """A TreeProto of the classes 0 … num_classes - 1, by how often each is among the labels.

    Shapes:   Labels: (N,) int64 -> Hierarch: (1,) text, the serialised tree
    Raises:   ArgumentError for a label outside the classes.
    Source:   caffe2/operators/h_softmax_op.cc; Huffman, 1952
    """

    inputs = (Port("Labels", ("int64",), "N"),)
    outputs = (Port("Hierarch"),)
    args = (Arg("num_classes", int, -1, "how many classes there are, > 0"),)
    no_gradient = "a tree has none"

    def setup(self) -> None:
        if self.num_classes < 1:
            self.refuse(f"argument 'num_classes' must be positive, got {self.num_classes}.", ArgumentError)

    def kernel(self, labels: Tensor) -> Any:
        found = labels.cpu().numpy()
        if found.size and not 0 <= found.min() <= found.max() < self.num_classes:
            self.refuse(f"labels must be from 0 to {self.num_classes - 1}.", ArgumentError)
        heap = _Heap()
        for label, count in enumerate(np.bincount(found, minlength=self.num_classes).tolist()):
            heap.push(_Node(count, label))
        node = heap.pop()
        while heap.nodes:
            other = heap.pop()
            heap.push(_Node(node.count + other.count, -1, node, other))
            node = heap.pop()
        tree = protobuf.load("hsm").TreeProto()
        tree.root_node.offset = 0
        self._fill(tree.root_node, node, 2)
        made = np.empty(1, dtype=object)
        made[0] = tree.SerializeToString()
        return made

    def _fill(self, proto: Any, node: _Node, offset: int) -> int:
        """Write a node's children; ``offset`` counts rows of weights, as the original counts them."""
        for child in (node.left, node.right):
            if child is None:
                continue
            if child.left is None:
                proto.word_ids.append(child.label)
                offset += child is node.right
            else:
                made = proto.children.add(offset=offset)
                offset = self._fill(made, child, offset + 2)
        return offset

    def infer(self, *_: Any) -> None:
        return None
