"""Rows told into partitions by their keys, and back together."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArityError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import INT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.dtypes import describe, name_of
from freshpot.ops.sparse._rows import as_index, join, take


class Partition(Operator):
    """For each of k partitions: the keys with key mod k = its number, and the rows of the others that go with them.

    Shapes:   keys: any; others: keys' shape, then any -> for each partition: (n,), then (n, ...) for each other
    Raises:   ArityError if the outputs are not a multiple of the inputs; ShapeError if a shape does not begin
              with that of the keys.
    Source:   caffe2/operators/partition_ops.h
    """

    inputs: ClassVar[tuple[Port, ...]] = (Port("input", many=True, at_least=0),)
    outputs = (Port("partitions", many=True, at_least=0),)
    args = (Arg("pack_first_input", bool, False, "1: keys become (key - partition) / partitions"),)
    no_gradient = "the original's takes no data"
    main = 0

    def setup(self) -> None:
        if self.num_inputs <= self.main or not self.num_outputs or self.num_outputs % self.num_inputs:
            self.refuse(
                f"there must be a multiple of {self.num_inputs} outputs and at least {self.main + 1} inputs; "
                f"got {self.num_outputs} outputs.",
                ArityError,
            )
        self.parts = self.num_outputs // self.num_inputs

    def check(self, *inputs: Any) -> None:
        keys, *others = inputs[self.main :]
        if name_of(keys) not in INTS or keys.dim() < 1:
            self.refuse(f"the keys must be int32 or int64 with one or more dimensions, got {describe(keys)}.")
        for other in others:
            if tuple(other.shape[: keys.dim()]) != tuple(keys.shape):
                self.refuse(
                    f"a shape must begin with {tuple(keys.shape)}, as the keys do; got {describe(other)}."
                )

    def kernel(self, *inputs: Any) -> tuple[Any, ...]:
        made: list[Any] = []
        keys = inputs[self.main]
        shard = keys.remainder(self.parts)
        for p in range(self.parts):
            where = shard == p
            made += self.extra(where, *inputs[: self.main])
            mine = keys[where]
            made.append(
                torch.div(mine - p, self.parts, rounding_mode="floor") if self.pack_first_input else mine
            )
            made += [other[as_index(where, other)] for other in inputs[self.main + 1 :]]
        return tuple(made)

    def extra(self, where: Tensor, *before: Tensor) -> list[Tensor]:
        """What a partition has before its keys."""
        return []


class LengthsPartition(Partition):
    """As Partition, for keys in segments; each partition begins with how many of its keys are in each segment.

    Shapes:   lengths: (s,); keys: (sum of lengths,); others: (sum of lengths, ...) -> for each partition:
              (s,) int32; (n,); (n, ...) for each other
    Raises:   as Partition; ShapeError if lengths do not add up to the keys.
    Source:   caffe2/operators/partition_ops.h
    """

    main = 1

    def check(self, *inputs: Any) -> None:
        lengths, keys = inputs[:2]
        if name_of(lengths) not in INT or lengths.dim() != 1 or keys.dim() != 1:
            self.refuse("lengths and keys must be vectors, lengths of int32.")
        super().check(*inputs)

    def extra(self, where: Tensor, *before: Tensor) -> list[Tensor]:
        lengths = before[0]
        if int(lengths.sum()) != where.numel():
            self.refuse(f"lengths add up to {int(lengths.sum())}, but there are {where.numel()} keys.")
        segments = torch.repeat_interleave(torch.arange(len(lengths), device=where.device), lengths.long())
        return [torch.bincount(segments[where], minlength=len(lengths)).int()]


def _gather_rule(g: GradientMaker) -> list[Op]:
    outputs = []
    for i in range(1, len(g.op.inputs)):
        outputs += [f"_{g.I(i)}_grad_keys", g.GI(i)]
    return [g.new("Partition", [g.I(0), g.GO(0)], outputs, {"pack_first_input": 0})]


class GatherByKey(Operator):
    """Undoes Partition: row i is the next row, not taken yet, of the partition that keys[i] belongs to.

    Shapes:   keys: (N,); sharded_values: (n, ...) for each partition -> (N, ...)
    Raises:   ShapeError if the partitions differ, or have other numbers of rows than the keys say.
    Source:   caffe2/operators/partition_ops.h
    """

    inputs = (Port("keys", INTS, "N"), Port("sharded_values", many=True))
    outputs = (Port("values"),)
    gradient_rule = staticmethod(_gather_rule)

    def check(self, keys: Tensor, *parts: Any) -> None:
        if any(
            len(p.shape) < 1 or p.shape[1:] != parts[0].shape[1:] or p.dtype != parts[0].dtype for p in parts
        ):
            self.refuse(f"the partitions must be alike; got {', '.join(map(describe, parts))}.")
        if sum(p.shape[0] for p in parts) != keys.numel():
            self.refuse(f"the partitions must have {keys.numel()} rows in all, one for each key.")

    def kernel(self, keys: Tensor, *parts: Any) -> Any:
        shard = keys.remainder(len(parts))
        sizes = torch.tensor([p.shape[0] for p in parts])
        if not torch.equal(torch.bincount(shard.long(), minlength=len(parts)).cpu(), sizes):
            self.refuse("the partitions have other numbers of rows than the keys say.")
        order = torch.argsort(shard, stable=True)
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return take(join(list(parts)), back)

    def infer(self, keys: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        return (parts[0].new_empty(keys.numel(), *parts[0].shape[1:]),)
