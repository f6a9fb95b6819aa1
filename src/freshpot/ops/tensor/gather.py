"""Rows picked by number."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.grads import GradientMaker
from freshpot.net.op import Op
from freshpot.net.schema import FLOAT, INTS, Arg, Port
from freshpot.ops._operator import Operator


class _Picking(Operator, abstract=True):
    args: ClassVar[tuple[Arg, ...]] = (
        Arg("axis", int, 0, "the dimension that is picked from"),
        Arg("match_outer", bool, False, "1: indices have DATA's dimensions before ``axis``, too"),
    )

    def place(self, DATA: Any) -> int:
        """The dimension, counted from 0."""
        ndim = len(DATA.shape)
        if not -ndim <= self.axis < ndim:
            self.refuse(f"argument 'axis' is {self.axis}, but DATA has {ndim} dimensions.", ArgumentError)
        return self.axis % ndim


def _rule(g: GradientMaker) -> list[Op]:
    axis = g.op.args.get("axis", 0)
    if axis != 0:
        return [g.new("BatchGatherGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0)], {"axis": axis})]
    if g.op.args.get("dense_gradient"):
        return [g.new("SparseToDense", [g.I(1), g.GO(0), g.I(0)], [g.GI(0)])]
    g.set_sparse(0, g.I(1), g.GO(0))
    return []


class Gather(_Picking):
    """OUTPUT = the slices of DATA along ``axis`` whose numbers are in INDICES; negative ones count from the end.

    Shapes:   DATA: (…before, D, …after); INDICES: any -> OUTPUT: (…before, …INDICES, …after)
    Raises:   ArgumentError if there is no such dimension; KernelError for a number outside -D..D-1.
    Source:   caffe2/operators/gather_op.h
    """

    inputs = (Port("DATA"), Port("INDICES", INTS))
    outputs = (Port("OUTPUT"),)
    args = (*_Picking.args, Arg("dense_gradient", bool, False, "1: the gradient of DATA is dense"))
    gradient_rule = staticmethod(_rule)

    def check(self, DATA: Any, INDICES: Tensor) -> None:
        place = self.place(DATA)
        if self.match_outer and INDICES.shape[:place] != DATA.shape[:place]:
            self.refuse(
                f"INDICES {tuple(INDICES.shape)} must begin with {tuple(DATA.shape[:place])}, as DATA does."
            )

    def kernel(self, DATA: Any, INDICES: Tensor) -> Any:
        place = self.place(DATA)
        if not isinstance(DATA, Tensor):
            return DATA.take(INDICES.cpu().numpy(), place)
        if self.match_outer:
            return _match_outer(DATA, INDICES, place)
        at: Any = (*(slice(None),) * place, INDICES.long())
        return DATA[at].contiguous()


def _match_outer(DATA: Tensor, INDICES: Tensor, place: int) -> Tensor:
    outer, inner = DATA.shape[:place], DATA.shape[place + 1 :]
    flat = DATA.reshape(outer.numel(), DATA.shape[place], inner.numel())
    rows = (
        INDICES.reshape(outer.numel(), -1, 1)
        .long()
        .remainder(DATA.shape[place])
        .expand(-1, -1, inner.numel())
    )
    return flat.gather(1, rows).view(*outer, *INDICES.shape[place:], *inner)


def _batch_rule(g: GradientMaker) -> list[Op]:
    return [g.new("BatchGatherGradient", [g.I(0), g.I(1), g.GO(0)], [g.GI(0)])]


class BatchGather(Gather):
    """OUTPUT = the slices of DATA along dimension 1 whose numbers are in INDICES.

    Shapes:   DATA: (B, D, …after); INDICES: any -> OUTPUT: (B, …INDICES, …after)
    Raises:   KernelError for a number outside -D..D-1.
    Source:   caffe2/operators/batch_gather_ops.h
    """

    args = (Arg("axis", int, 1, "the dimension that is picked from"), *Gather.args[1:])
    gradient_rule = staticmethod(_batch_rule)


class BatchGatherGradient(_Picking):
    """dDATA = sums of the gradients of all that was picked from each place.

    Shapes:   DATA, INDICES: as forward; dOUTPUT: as OUTPUT -> dDATA: as DATA
    Source:   caffe2/operators/batch_gather_ops.h
    """

    inputs = (Port("DATA"), Port("INDICES", INTS), Port("dOUTPUT", FLOAT))
    outputs = (Port("dDATA"),)
    args = (Arg("axis", int, 1, "the dimension that was picked from"), *_Picking.args[1:])
    no_gradient = "it is itself a gradient"

    def kernel(self, DATA: Tensor, INDICES: Tensor, dOUTPUT: Tensor) -> Tensor:
        place = self.place(DATA)
        dDATA = torch.zeros_like(DATA)
        if not self.match_outer:
            flat = dOUTPUT.reshape(*DATA.shape[:place], INDICES.numel(), *DATA.shape[place + 1 :])
            return dDATA.index_add_(place, INDICES.reshape(-1) % max(DATA.shape[place], 1), flat)
        outer, inner = DATA.shape[:place].numel(), DATA.shape[place + 1 :].numel()
        rows = INDICES.reshape(outer, -1, 1).long().expand(-1, -1, inner)
        dDATA.view(outer, -1, inner).scatter_add_(1, rows, dOUTPUT.reshape(rows.shape))
        return dDATA
