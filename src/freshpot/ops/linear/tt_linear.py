"""Full connection and look-up with weights that are a chain of small tensors (a tensor train)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator


class TT(Operator):
    """Y = X * W + b, where W is the product of ``cores``, one after the other in a vector.

    Shapes:   X: (N, product of inp_sizes); b: (product of out_sizes,); cores: for each factor, the last one first,
              (inp_sizes[i] * tt_ranks[i + 1], tt_ranks[i] * out_sizes[i]) -> Y: (N, product of out_sizes)
    Raises:   ArgumentError if the lists do not go together; ShapeError if sizes do not fit.
    Differs:  not from the original, but from the paper: of several samples the numbers are mixed up.
    Source:   caffe2/operators/tt_linear_op.h; Novikov et al., 2015
    """

    inputs = (Port("X", FLOAT), Port("b", FLOAT, "M"), Port("cores", FLOAT, "L"))
    outputs = (Port("Y"),)
    args = (
        Arg("inp_sizes", [int], [], "factors of the number of X's columns"),
        Arg("out_sizes", [int], [], "factors of the number of Y's columns"),
        Arg("tt_ranks", [int], [], "ranks between them; first and last are 1"),
    )
    no_gradient = "the original has none"

    def setup(self) -> None:
        sizes = self.inp_sizes, self.out_sizes, self.tt_ranks
        if not sizes[0] or len(sizes[0]) != len(sizes[1]) or len(sizes[2]) != len(sizes[0]) + 1:
            self.refuse(
                "'inp_sizes' and 'out_sizes' must be equally long, and 'tt_ranks' by one longer.",
                ArgumentError,
            )
        if min(map(min, sizes)) < 1 or self.tt_ranks[0] != 1 or self.tt_ranks[-1] != 1:
            self.refuse("sizes and ranks must be positive, the first and last rank 1.", ArgumentError)

    def check(self, X: Tensor, b: Tensor, cores: Tensor) -> None:
        K, M = math.prod(self.inp_sizes), math.prod(self.out_sizes)
        factors = zip(self.inp_sizes, self.out_sizes, self.tt_ranks, self.tt_ranks[1:], strict=False)
        length = sum(i * o * r * s for i, o, r, s in factors)
        if X.dim() < 2 or X.shape[1:].numel() != K or b.numel() != M or cores.numel() < length:
            self.refuse(
                f"X {tuple(X.shape)} must have {K} columns, b {M} elements (got {b.numel()}) and cores {length} "
                f"(got {cores.numel()})."
            )

    def kernel(self, X: Tensor, b: Tensor, cores: Tensor) -> Tensor:
        Y, at = X.reshape(-1), 0
        for i in reversed(range(len(self.inp_sizes))):
            rows = self.inp_sizes[i] * self.tt_ranks[i + 1]
            columns = self.tt_ranks[i] * self.out_sizes[i]
            core = cores[at : at + rows * columns].reshape(rows, columns)
            made = Y.reshape(-1, rows) @ core
            # the factor of Y's columns that is done goes to the front
            Y = made.reshape(-1, self.out_sizes[i]).t().reshape(-1)
            at += rows * columns
        # the original takes what is (columns, samples) for (samples, columns) and turns that round
        return Y.reshape(len(X), -1).t().reshape(len(X), -1) + b


class TTLinearGradient(Operator):
    """Gradient of TT, which the original never wrote: its operator fails.

    Raises:   NotSupportedError, always.
    Source:   caffe2/operators/tt_linear_op.h
    """

    inputs = (Port("inputs", many=True, at_least=0),)
    outputs = (Port("outputs", many=True, at_least=0),)
    no_gradient = "it is itself a gradient"

    def kernel(self, *_: Any) -> Any:
        raise NotSupportedError(f"{self.op}: the original has no gradient of TT, its operator fails.")


def _rule(g: GradientMaker) -> list[Op]:
    inputs = [g.I(0), g.I(1), g.I(2), g.I(4), g.O(1), g.O(2), g.O(3), g.GO(0)]
    return [g.new("TTSparseLengthsSumGradient", inputs, [g.GI(0), g.GI(1), g.GI(2)])]


def _sums(lengths: Tensor, rows: Tensor) -> Tensor:
    segments = torch.repeat_interleave(torch.arange(len(lengths), device=rows.device), lengths.long())
    return rows.new_zeros(len(lengths), rows.shape[1]).index_add_(0, segments, rows)


class TTSparseLengthsSum(Operator):
    """Sums of rows of a table that is the product of three cores.

    Row r, written in digits (d0, d1, d2) to the bases ``factor_i``, is core0[d0] * core1[d1] * core2[d2].

    Shapes:   core k: (factor_i[k], ranks[k] * factor_j[k] * ranks[k + 1]) in any form; index: (N,) int64;
              lengths: (S,) int32 -> OUTPUT: (S, emb_size); core0_output: (N, factor_j[0], ranks[1]); core1_output:
              (N, factor_j[0] * factor_j[1], ranks[2]); indices: (N, 3) int64, the digits
    Raises:   ArgumentError if the lists do not go together; ShapeError if sizes do not fit or a row is not there.
    Source:   caffe2/operators/lengths_reducer_ops.h; Yin et al., 2021
    """

    inputs = (
        *(Port(f"core{k}", FLOAT) for k in range(3)),
        Port("index", ("int64",), "N"),
        Port("lengths", INT, "S"),
    )
    outputs = (Port("OUTPUT"), Port("core0_output"), Port("core1_output"), Port("indices"))
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("factor_i", [int], [1, 1, 1], "factors of the number of rows"),
        Arg("factor_j", [int], [1, 1, 1], "factors of the number of columns"),
        Arg("ranks", [int], [1, 1, 1, 1], "ranks between the cores; first and last are 1"),
        Arg("emb_size", int, 64, "number of columns"),
    )
    gradient_rule = staticmethod(_rule)

    def setup(self) -> None:
        if (len(self.factor_i), len(self.factor_j), len(self.ranks)) != (3, 3, 4):
            self.refuse("there must be 3 'factor_i', 3 'factor_j' and 4 'ranks'.", ArgumentError)
        if math.prod(self.factor_j) != self.emb_size or self.ranks[0] != 1 or self.ranks[3] != 1:
            self.refuse(
                "'factor_j' must multiply to 'emb_size', and the first and last rank be 1.", ArgumentError
            )

    def check(self, *inputs: Tensor) -> None:
        for k, core in enumerate(inputs[:3]):
            wanted = self.factor_i[k] * self.ranks[k] * self.factor_j[k] * self.ranks[k + 1]
            if core.numel() < wanted:
                self.refuse(f"core{k} must have {wanted} elements, got {core.numel()}.")

    def core(self, k: int, core: Tensor) -> Tensor:
        """A core as (digit, rank, column and rank)."""
        shape = self.factor_i[k], self.ranks[k], self.factor_j[k] * self.ranks[k + 1]
        return core.reshape(-1)[: math.prod(shape)].reshape(shape)

    def kernel(
        self, c0: Tensor, c1: Tensor, c2: Tensor, index: Tensor, lengths: Tensor
    ) -> tuple[Tensor, ...]:
        if int(lengths.sum()) != len(index) or (lengths.numel() and int(lengths.min()) < 0):
            self.refuse(f"lengths add up to {int(lengths.sum())}, but there are {len(index)} indices.")
        if len(index) and not 0 <= int(index.min()) <= int(index.max()) < math.prod(self.factor_i):
            self.refuse(f"indices must be from 0 to {math.prod(self.factor_i) - 1}.")
        low, middle = self.factor_i[0], self.factor_i[0] * self.factor_i[1]
        digits = torch.stack([index % low, index % middle // low, index // middle], 1)
        N = len(index)
        first = self.core(0, c0)[digits[:, 0]].reshape(N, self.factor_j[0], self.ranks[1])
        second = (first @ self.core(1, c1)[digits[:, 1]]).reshape(N, -1, self.ranks[2])
        rows = (second @ self.core(2, c2)[digits[:, 2]]).reshape(N, -1)
        return _sums(lengths, rows.reshape(N, self.emb_size)), first, second, digits

    def infer(self, *_: Tensor) -> None:
        return None


class TTSparseLengthsSumGradient(Operator):
    """Gradient of TTSparseLengthsSum.

    Source:   caffe2/operators/lengths_reducer_ops.h
    """

    inputs = (
        *TTSparseLengthsSum.inputs[:3],
        Port("lengths", INT, "S"),
        *(Port(name, FLOAT) for name in ("core0_output", "core1_output")),
        Port("indices", ("int64",), "N 3"),
        Port("dY", FLOAT),
    )
    outputs = (Port("dCore0"), Port("dCore1"), Port("dCore2"))
    no_gradient = "it is itself a gradient"

    def kernel(
        self,
        c0: Tensor,
        c1: Tensor,
        c2: Tensor,
        lengths: Tensor,
        first: Tensor,
        second: Tensor,
        digits: Tensor,
        dY: Tensor,
    ) -> tuple[Tensor, ...]:
        N, r1, r2 = len(digits), first.shape[2], second.shape[2]
        dsecond_rows = dY.repeat_interleave(lengths.long(), 0).reshape(N, second.shape[1], -1)
        cores = (
            c0.reshape(c0.shape[0], -1),
            c1.reshape(c1.shape[0], r1, -1),
            c2.reshape(c2.shape[0], r2, -1),
        )
        dc2 = second.transpose(1, 2) @ dsecond_rows
        dsecond = dsecond_rows @ cores[2][digits[:, 2]].transpose(1, 2)
        dmiddle = dsecond.reshape(N, first.shape[1], -1)
        dc1 = first.transpose(1, 2) @ dmiddle
        dfirst = dmiddle @ cores[1][digits[:, 1]].transpose(1, 2)
        made = []
        for core, digit, part in zip((c0, c1, c2), digits.t(), (dfirst, dc1, dc2), strict=True):
            total = torch.zeros_like(core).reshape(core.shape[0], -1)
            made.append(total.index_add_(0, digit, part.reshape(N, -1)).reshape(core.shape))
        return tuple(made)
