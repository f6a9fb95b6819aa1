"""Changes of some rows of a parameter: norms, bounds, counts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, INTS, Arg, Port
from freshpot.ops._operator import Operator
from freshpot.ops.optimizer._update import Update, f32

_ROWS = (Port("indices", INTS), Port("grad", optional=True))


class _Rows(Update, abstract=True):
    """An update of the rows that indices name, once each; the gradient only takes part in the call."""

    inputs: ClassVar[tuple[Port, ...]] = (Port("param", FLOAT), *_ROWS)
    outputs = (Port("output_param"),)
    must_inplace: ClassVar[tuple[tuple[int, int], ...]] = ((0, 0),)

    def rows(self, param: Tensor, indices: Tensor) -> Tensor:
        """Numbers of the rows, checked."""
        flat = indices.reshape(-1).long().unique()
        if len(flat) and not 0 <= int(flat[0]) <= int(flat[-1]) < len(param):
            self.refuse(f"indices must be from 0 to {len(param) - 1} (rows of param).")
        return flat

    def infer(self, param: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(param),)


class SparseNormalize(_Rows):
    """Scale the rows to a norm; with ``use_max_norm`` only those of a greater one.

    Shapes:   param: (N, D); indices: (n,); grad: not looked at -> output_param: param
    Source:   caffe2/operators/sparse_normalize_op.h
    """

    args = (
        Arg("use_max_norm", bool, True, "0: scale rows of a smaller norm, too"),
        Arg("norm", float, 1.0, "the norm, >= 0"),
    )

    def setup(self) -> None:
        if self.norm < 0:
            self.refuse(f"argument 'norm' must be >= 0, got {self.norm}.", ArgumentError)

    def kernel_inplace(self, param: Tensor, indices: Tensor, *grad: Tensor) -> Tensor:
        at = self.rows(param, indices)
        rows = param[at].float()
        size = rows.flatten(1).norm(dim=1).reshape(-1, *[1] * (rows.dim() - 1))
        scaled = rows * (self.norm / (size + 1e-12))
        param[at] = (torch.where(size > self.norm, scaled, rows) if self.use_max_norm else scaled).to(
            param.dtype
        )
        return param


class Float16SparseNormalize(SparseNormalize):
    """As SparseNormalize, in half precision.

    Source:   caffe2/operators/sparse_normalize_op.h
    """

    inputs = (Port("param", ("float16",)), *_ROWS)


class SparseLpRegularizer(_Rows):
    """p = 2: rows * (1 - reg_lambda); p = 1: towards 0 by reg_lambda, and 0 where they are nearer.

    Shapes:   param: (N, ...); indices: (n,); grad: not looked at -> output_param: param
    Raises:   ArgumentError for another p, or a reg_lambda not between 0 and 1.
    Source:   caffe2/operators/sparse_lp_regularizer_op.h
    """

    args = (
        Arg("p", float, 2.0, "1 or 2", choices=(1.0, 2.0)),
        Arg("reg_lambda", float, 1e-5, "strength, between 0 and 1"),
    )

    def setup(self) -> None:
        if not 0 < self.reg_lambda < 1:
            self.refuse(
                f"argument 'reg_lambda' must be between 0 and 1, got {self.reg_lambda}.", ArgumentError
            )

    def kernel_inplace(self, param: Tensor, indices: Tensor, *grad: Tensor) -> Tensor:
        at, amount = self.rows(param, indices), f32(self.reg_lambda)
        rows = param[at]
        param[at] = rows * (1 - amount) if self.p == 2 else rows.sign() * (rows.abs() - amount).clamp(min=0)
        return param


class EnsureClipped(_Rows):
    """Cut the parameter, or the rows that indices name, to a range.

    Shapes:   param: any; indices: (n,); grad: (n, ...) -> output_param: param
    Raises:   ShapeError if the gradient's rows are not those of the parameter.
    Source:   caffe2/operators/ensure_clipped_op.h
    """

    inputs = (Port("param", FLOAT), Port("indices", INTS, optional=True), Port("grad", optional=True))
    args = (Arg("min", float, -math.inf, "least value"), Arg("max", float, math.inf, "greatest value"))
    must_inplace = ()
    inplace = ((0, 0),)

    def check(self, param: Tensor, *rest: Tensor) -> None:
        if len(rest) == 2 and rest[1].shape[rest[0].dim() :].numel() != param.shape[1:].numel():
            self.refuse(
                f"rows of grad {tuple(rest[1].shape)} must be like those of param {tuple(param.shape)}."
            )

    def kernel_inplace(self, param: Tensor, *rest: Tensor) -> Tensor:
        if not rest:
            return param.clamp_(f32(self.min), f32(self.max))
        at = self.rows(param, rest[0])
        param[at] = param[at].clamp(f32(self.min), f32(self.max))
        return param


class RowWiseCounter(Operator):
    """How often each row was used lately: count = 1 + count * 2 ** -(iterations since / half-life).

    Shapes:   prev_iter: (N,) int64; update_counter: (N,) float64; indices: (n,); iter: (1,) -> the first two
    Raises:   ShapeError if sizes do not fit, or an index is not a row.
    Source:   caffe2/sgd/rowwise_counter.h
    """

    inputs = (
        Port("prev_iter", ("int64",)),
        Port("update_counter", ("float64",)),
        Port("indices", INTS),
        Port("iter", ("int64",)),
    )
    outputs = (Port("output_prev_iter"), Port("output_update_counter"))
    args = (Arg("counter_halflife", int, -1, "iterations; 0 or less: nothing is counted"),)
    must_inplace = ((0, 0), (1, 1))
    no_gradient = "it counts"

    def check(self, before: Tensor, counts: Tensor, indices: Tensor, now: Tensor) -> None:
        if before.numel() != counts.numel() or now.numel() != 1:
            self.refuse("prev_iter and update_counter must be equally large, and iter one number.")

    def kernel(self, before: Tensor, counts: Tensor, indices: Tensor, now: Tensor) -> Any:
        return self.kernel_inplace(before.clone(), counts.clone(), indices, now)

    def kernel_inplace(self, before: Tensor, counts: Tensor, indices: Tensor, now: Tensor) -> Any:
        flat = indices.reshape(-1).tolist()
        if flat and not 0 <= min(flat) <= max(flat) < counts.numel():
            self.refuse(f"indices must be from 0 to {counts.numel() - 1}.")
        if self.counter_halflife > 0:
            rate, current = math.log(2) / self.counter_halflife, int(now)
            for i in flat:
                since = max(0, current - int(before[i]))
                counts[i] = 1 + math.exp(-since * rate) * counts[i]
                before[i] = max(current, int(before[i]))
        return before, counts


class LearningRateAdaption(Operator):
    """lr * (1 - lr_alpha * cosine of grad and effgrad), or lr - lr_alpha * their product.

    Shapes:   lr: (1,); grad, effgrad: equally large -> output_lr: as lr
    Raises:   ShapeError if they are not.
    Source:   caffe2/sgd/learning_rate_adaption_op.h
    """

    inputs = (Port("lr", FLOAT), Port("grad", FLOAT), Port("effgrad", FLOAT))
    outputs = (Port("output_lr"),)
    args = (
        Arg("lr_alpha", float, 0.01, "how fast the rate changes"),
        Arg("normalized_lr_adaption", bool, True, "1: by the cosine"),
    )
    inplace = ((0, 0),)
    gradient_stops = True

    def check(self, lr: Tensor, grad: Tensor, effgrad: Tensor) -> None:
        if lr.numel() != 1 or grad.numel() != effgrad.numel():
            self.refuse("lr must be one number, and grad and effgrad equally large.")

    def kernel(self, lr: Tensor, grad: Tensor, effgrad: Tensor) -> Tensor:
        g, e = grad.reshape(-1), effgrad.reshape(-1)
        product = self.lr_alpha * (g @ e)
        if not self.normalized_lr_adaption:
            return lr - product
        return lr * (1 - product / (g.norm().clamp(min=1e-12) * e.norm().clamp(min=1e-12)))
