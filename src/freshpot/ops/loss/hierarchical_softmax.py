"""Softmax over a tree of classes: each step from the root to a class is a softmax over few nodes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError, FormatError
from freshpot.formats import protobuf
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator

#: the least probability that a logarithm is taken of
LEAST = 1e-20


class _Step(NamedTuple):
    """One softmax on the way to a class: rows of the weights from ``index`` on, and which is right."""

    index: int
    length: int
    target: int


def _rule(g: GradientMaker) -> list[Op]:
    inputs = [g.I(0), g.I(1), g.I(2), g.I(3), g.O(1), g.GO(0)]
    return [g.new("HSoftmaxGradient", inputs, [g.GI(0), g.GI(1), g.GI(2), f"{g.O(1)}_grad"])]


class _OnPaths(Operator, abstract=True):
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("hierarchy", bytes, b"", "a HierarchyProto: the path from the root to each class"),
    )

    def setup(self) -> None:
        found = protobuf.load("hsm").HierarchyProto()
        try:
            found.ParseFromString(self.hierarchy)
        except Exception as error:
            raise FormatError(f"{self.op}: argument 'hierarchy' is no HierarchyProto: {error}") from error
        self.paths = {
            path.word_id: [_Step(n.index, n.length, n.target) for n in path.path_nodes]
            for path in found.paths
        }

    def check(self, X: Tensor, W: Tensor, b: Tensor, *_: Any) -> None:
        if not len(X) or X.numel() // len(X) != W.shape[1] or len(W) != len(b):
            self.refuse(f"X {tuple(X.shape)}, W {tuple(W.shape)} and b {tuple(b.shape)} do not fit.")

    def steps(self, labels: Tensor, rows: int) -> Iterator[tuple[int, _Step]]:
        """Each sample's number, with each step on the way to its class."""
        for sample, label in enumerate(labels.reshape(-1).tolist()):
            if label not in self.paths:
                self.refuse(f"the hierarchy has no class {label}, which sample {sample} has.", ArgumentError)
            for step in self.paths[label]:
                if not 0 <= step.target < step.length or not 0 <= step.index <= rows - step.length:
                    self.refuse(f"the path to class {label} needs rows that W has not.", ArgumentError)
                yield sample, step

    def infer(self, *_: Any) -> None:
        return None


class HSoftmax(_OnPaths):
    """Y = -log(probability of the label), the product of the softmaxes on the way to it.

    Shapes:   X: (M, K); W: (N, K), the weights of all nodes; b: (N,); labels: (M,) int32 -> Y: (M,);
              intermediate_output: for each sample and step its scores and their softmax
    Raises:   ShapeError if they do not fit; ArgumentError for a label without a path; FormatError for a
              hierarchy that cannot be read.
    Source:   caffe2/operators/h_softmax_op.cc
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT, "N K"), Port("b", FLOAT, "N"), Port("labels", INT))
    outputs = (Port("Y"), Port("intermediate_output"))
    gradient_rule = staticmethod(_rule)

    def kernel(self, X: Tensor, W: Tensor, b: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        rows = X.reshape(len(X), -1)
        Y = X.new_zeros(len(X))
        parts = []
        for sample, (index, length, target) in self.steps(labels, len(W)):
            scores = torch.addmv(b[index : index + length], W[index : index + length], rows[sample])
            chances = scores.softmax(0)
            Y[sample] -= chances[target].clamp(min=LEAST).log()
            parts += [scores, chances]
        return Y, torch.cat(parts) if parts else X.new_zeros(0)


class HSoftmaxGradient(_OnPaths):
    """Gradient of HSoftmax, also by what lies between.

    Source:   caffe2/operators/h_softmax_op.cc
    """

    inputs = (*HSoftmax.inputs, Port("intermediate_output", FLOAT), Port("dY", FLOAT))
    outputs = (Port("dX"), Port("dW"), Port("db"), Port("dintermediate_output"))
    no_gradient = "it is itself a gradient"

    def kernel(
        self, X: Tensor, W: Tensor, b: Tensor, labels: Tensor, between: Tensor, dY: Tensor
    ) -> tuple[Tensor, ...]:
        rows = X.reshape(len(X), -1)
        dX, dW, db, dbetween = (torch.zeros_like(each) for each in (rows, W, b, between))
        at = 0
        for sample, (index, length, target) in self.steps(labels, len(W)):
            chances = between[at + length : at + 2 * length]
            if len(chances) < length:
                self.refuse(f"intermediate_output has {len(between)} elements, too few for these labels.")
            by_chance = torch.zeros_like(chances)
            by_chance[target] = -dY[sample] / chances[target].clamp(min=LEAST)
            by_score = (by_chance - (chances * by_chance).sum()) * chances
            dbetween[at : at + length] = by_score
            dbetween[at + length : at + 2 * length] = by_chance
            dW[index : index + length] += by_score[:, None] * rows[sample]
            db[index : index + length] += by_score
            dX[sample] += (by_score[:, None] * W[index : index + length]).sum(0)
            at += 2 * length
        return dX.reshape(X.shape), dW, db, dbetween


class HSoftmaxSearch(Operator):
    """The ``topN`` likeliest nodes and classes of a tree, with -log of their probabilities.

    A node's children are looked at only where their score is less than its own plus ``beam``.

    Shapes:   X: (M, K); W: (N, K); b: (N,) -> Y_names: (M, topN) text: a node's name, a class's number;
              Y_scores: (M, topN); where fewer are found the rest is "" and 0
    Raises:   ShapeError if they do not fit; ArgumentError if a node lacks name or offset.
    Source:   caffe2/operators/h_softmax_op.cc
    """

    inputs = (Port("X", FLOAT), Port("W", FLOAT, "N K"), Port("b", FLOAT, "N"))
    outputs = (Port("Y_names"), Port("Y_scores"))
    args = (
        Arg("tree", bytes, b"", "a TreeProto, whose nodes all have names and offsets"),
        Arg("beam", float, 0.01, "how much worse than its parent a node may be"),
        Arg("topN", int, 5, "how many to name"),
    )
    no_gradient = "names have none"
    check = _OnPaths.check

    def setup(self) -> None:
        found = protobuf.load("hsm").TreeProto()
        try:
            found.ParseFromString(self.tree)
        except Exception as error:
            raise FormatError(f"{self.op}: argument 'tree' is no TreeProto: {error}") from error
        self.root = found.root_node
        if self.topN < 1:
            self.refuse(f"argument 'topN' must be positive, got {self.topN}.", ArgumentError)

    def kernel(self, X: Tensor, W: Tensor, b: Tensor) -> tuple[Any, Tensor]:
        rows = X.reshape(len(X), -1)
        names = np.full((len(X), self.topN), b"", dtype=object)
        scores = X.new_zeros(len(X), self.topN)
        for sample, row in enumerate(rows):
            found = sorted(self._search(self.root, 0.0, row, W, b), key=lambda pair: pair[1])[: self.topN]
            for i, (name, score) in enumerate(found):
                names[sample, i] = name
                scores[sample, i] = score
        return names, scores

    def _search(
        self, node: Any, score: float, row: Tensor, W: Tensor, b: Tensor
    ) -> Sequence[tuple[bytes, float]]:
        """What is found below a node: its own children and classes first, then theirs."""
        length = len(node.children) + len(node.word_ids)
        if not node.HasField("offset") or not node.HasField("name"):
            self.refuse("every node of the tree must have a name and an offset.", ArgumentError)
        if not 0 <= node.offset <= len(W) - length:
            self.refuse(f"node '{node.name}' needs rows of W that are not there.", ArgumentError)
        part = slice(node.offset, node.offset + length)
        chances = torch.addmv(b[part], W[part], row).softmax(0).clamp(min=LEAST)
        below = (score - chances.log()).tolist()
        limit = score + self.beam
        kept = [(child, s) for child, s in zip(node.children, below, strict=False) if s < limit]
        found = [(child.name.encode(), s) for child, s in kept]
        found += [
            (str(word).encode(), s)
            for word, s in zip(node.word_ids, below[len(node.children) :], strict=True)
            if s < limit
        ]
        for child, s in kept:
            found += self._search(child, s, row, W, b)
        return [pair for pair in found if not math.isnan(pair[1])]

    def infer(self, *_: Any) -> None:
        return None
