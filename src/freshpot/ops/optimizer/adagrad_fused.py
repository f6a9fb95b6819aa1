"""Sparse Adagrad fused with the gradient of a sum over segments: no row gradients are written out.

One table makes all: a moment for each element or for each row; sums, means or weighted sums of rows. A weighted
sum's weights belong to places within a segment, and get a gradient, the product of gradient and row. "Approx"
takes that product from rows as they are after the updates before.

Source: caffe2/sgd/adagrad_fused.h, caffe2/sgd/rowwise_adagrad_fused.h
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops.optimizer._update import INDICES, LR, f32, rounds, scalar
from freshpot.ops.optimizer.adagrad import RowWiseSparseAdagrad, SparseAdagrad

_STATE = (Port("param", FLOAT), Port("moment", FLOAT))
_AUX = Port("aux_param", FLOAT, doc="weights of the places in a segment")
_REST = (INDICES, Port("grad", FLOAT), LR, Port("lengths", INT, "S"))


class _Fused(SparseAdagrad, abstract=True):
    """What the table's operators share."""

    args: ClassVar[tuple[Arg, ...]] = (
        Arg("epsilon", float, 1e-5, "added to the divisor"),
        Arg("weight_decay", float, 0.0, "share of the parameter that is added to its gradient"),
        Arg("decay", float, 1.0, "must be 1"),
    )
    must_inplace = ((0, 0), (1, 1))
    mean: ClassVar[bool] = False
    weighted: ClassVar[bool] = False
    approximate: ClassVar[bool] = False
    row_moments: ClassVar[bool] = False

    def setup(self) -> None:
        super().setup()
        self.decay_share = f32(self.weight_decay)

    def check(self, *inputs: Tensor) -> None:
        param, moment, *_, grad, lr, lengths = inputs
        row = param.shape[1:].numel()
        if (
            param.dim() < 1
            or grad.dim() < 1
            or grad.shape[0] != lengths.numel()
            or grad.numel() != row * len(grad)
        ):
            self.refuse(
                f"grad {tuple(grad.shape)} must have one row of {row} elements, as param has, "
                f"for each of {lengths.numel()} segments."
            )
        if lr.numel() != 1 or moment.numel() != (param.shape[0] if self.row_moments else param.numel()):
            self.refuse(f"lr must be one number, and moment fit param {tuple(param.shape)}.")

    def grow(self, moment: Tensor, g: Tensor) -> Tensor:
        return (RowWiseSparseAdagrad if self.row_moments else SparseAdagrad).grow(self, moment, g)

    def kernel_inplace(self, param: Tensor, moment: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        indices, grad, lr, lengths = rest[-4:]
        self._check_lengths(indices, lengths)
        sizes = lengths.long()
        segments = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
        rows = grad.reshape(len(sizes), *param.shape[1:])[segments]
        if self.mean:
            rows = rows / spread(sizes[segments], rows)
        table = moment.view(-1) if self.row_moments else moment.view(param.shape)
        if not self.weighted:
            self.update_rows(indices, rows, (param, table), self._step(scalar(lr)))
            return param, moment
        return (
            param,
            moment,
            self._weighted(param, table, rest[0], indices, rows, sizes, scalar(lr), segments),
        )

    def _check_lengths(self, indices: Tensor, lengths: Tensor) -> None:
        if int(lengths.sum()) != indices.numel() or (lengths.numel() and int(lengths.min()) < 0):
            self.refuse(f"lengths must be >= 0 and add up to the {indices.numel()} indices.")

    def _step(self, rate: Any) -> Any:
        def step(g: Tensor, p: Tensor, m: Tensor) -> None:
            if self.weight_decay:
                g = g.add(p, alpha=self.decay_share)
            p.add_(g * rate / self.grow(m, g).sqrt().add_(self.epsilon))

        return step

    def _weighted(
        self,
        param: Tensor,
        table: Tensor,
        weights: Tensor,
        indices: Tensor,
        rows: Tensor,
        sizes: Tensor,
        rate: Any,
        segments: Tensor,
    ) -> Tensor:
        """Update with weighted gradients; the gradient of the weights."""
        place = torch.arange(len(segments), device=sizes.device) - (sizes.cumsum(0) - sizes)[segments]
        if len(place) and int(place.max()) >= weights.numel():
            self.refuse(
                f"a segment has {int(place.max()) + 1} rows, but there are {weights.numel()} weights."
            )
        flat = indices.reshape(-1).long()
        self._check_range(flat, param.shape[0])
        products = (rows * param[flat]).reshape(len(flat), -1).sum(1)
        factors = spread(weights.reshape(-1)[place], rows)
        update = self._step(rate)
        everywhere = torch.arange(len(flat), device=flat.device)
        for at in rounds(flat):
            at = everywhere if at is None else at
            g, p, m = rows[at], param[flat[at]], table[flat[at]]
            if self.approximate:
                products[at] = (g * p).reshape(len(p), -1).sum(1)
            update(g * factors[at], p, m)
            param[flat[at]], table[flat[at]] = p, m
        return products


def spread(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a row, shaped to multiply the rows of ``like``."""
    return numbers.view(-1, *[1] * (like.dim() - 1))


def _define(rowwise: bool, kind: str, approximate: bool) -> None:
    weighted = kind == "WeightedSum"
    name = f"{'RowWise' * rowwise}SparseAdagradFusedWithSparseLengths{kind}Gradient{'Approx' * approximate}"
    type(
        name,
        (_Fused,),
        {
            "__doc__": f"{'RowWise' * rowwise}SparseAdagrad, of rows whose {kind} has the gradient grad.\n\n"
            f"Shapes:   param: (rows, ...); moment: {'(rows,)' if rowwise else 'as param'}; "
            f"{'aux_param: (longest segment,); ' * weighted}indices: (n,); grad: (segments, ...); lr: (1,); "
            f"lengths: (segments,) -> param, moment{', aux_grad: (n,)' * weighted}\n"
            "Raises:   ShapeError if the inputs do not fit each other, or an index is not a row.\n"
            "Source:   caffe2/sgd/adagrad_fused.h, caffe2/sgd/rowwise_adagrad_fused.h",
            "__module__": __name__,
            "inputs": (*_STATE, *([_AUX] if weighted else []), *_REST),
            "outputs": (Port("param"), Port("moment"), *([Port("aux_grad")] if weighted else [])),
            "mean": kind == "Mean",
            "weighted": weighted,
            "approximate": approximate,
            "row_moments": rowwise,
            "alike": (),
        },
    )


for _rowwise in (False, True):
    for _kind in ("Sum", "Mean", "WeightedSum"):
        for _approximate in (False, True):
            _define(_rowwise, _kind, _approximate)
