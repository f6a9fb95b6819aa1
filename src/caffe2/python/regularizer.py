"""Regularizers: penalties on parameters in the loss, and bounds on them after each update.

A regularizer is called as ``regularizer(net, param_init_net, param, grad, by=…)``; ``by`` is one of
`RegularizationBy`. A penalty returns the blob to add to the loss.

Source: caffe2/python/regularizer.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, utils
from caffe2.python._errors import require
from freshpot.errors import NotSupportedError


class RegularizationBy:
    """When a regularizer acts."""

    AFTER_OPTIMIZER = "after_optimizer"
    ON_LOSS = "on_loss"


def _require_factor(value: float, zero_too: bool = True) -> None:
    bound = "0 or positive" if zero_too else "positive"
    require(
        value > 0 or (zero_too and value == 0), f"the regularization factor must be {bound}; got {value}."
    )


class Regularizer:
    """Base class; does nothing at either time."""

    def __init__(self) -> None:
        self.kEpsilon = 1e-9

    def __call__(
        self, net: Any, param_init_net: Any, param: Any, grad: Any = None, by: str | None = None
    ) -> Any:
        require(
            isinstance(param, core.BlobReference),
            f"a regularizer takes a BlobReference; got {type(param).__name__}.",
        )
        if by == RegularizationBy.ON_LOSS:
            return self._run_on_loss(net, param_init_net, param, grad)
        require(
            by == RegularizationBy.AFTER_OPTIMIZER, f"'by' must be on_loss or after_optimizer; got {by!r}."
        )
        return self._run_after_optimizer(net, param_init_net, param, grad)

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        return None

    def _run_after_optimizer(self, net: Any, param_init_net: Any, param: Any, grad: Any) -> Any:
        return None

    def _feature_grouping(self, param: Any, net: Any) -> Any:
        """The norm of each column."""
        squares = net.Mul([param, param], [net.NextScopedBlob("param_mul")])
        sums = net.ReduceFrontSum([squares], [net.NextScopedBlob("param_reduced")])
        return net.Pow([sums], [net.NextScopedBlob("grouped_feature_weight_vec")], exponent=0.5)

    def _ensure_clipped(
        self,
        net: Any,
        param: Any,
        grad: Any = None,
        min: float | None = None,
        max: float | None = None,
        open_range: bool = False,
        left_open: bool = False,
        right_open: bool = False,
    ) -> None:
        """Clip the parameter (only the rows just updated, if the gradient is sparse)."""
        if min is not None and (open_range or left_open):
            min += self.kEpsilon
        if max is not None and (open_range or right_open):
            max -= self.kEpsilon
        rows = [grad.indices, grad.values] if isinstance(grad, core.GradientSlice) else []
        net.EnsureClipped([param, *rows], [param], min=min, max=max)


def _scaled_norm(net: Any, param: Any, name: str, p: int, factor: float) -> Any:
    """``factor`` times the sum of |w| (p = 1) or of w squared (p = 2)."""
    net.LpNorm([param], [name], p=p)
    return net.Scale([name], [name], scale=factor)


def _trimmed_sum(net: Any, param: Any, name: Any, k: int, factor: float) -> Any:
    """``factor`` times the sum of |w| without the k largest."""
    sizes = net.Abs([param], [net.NextScopedBlob("abs")])
    total = net.SumElements([sizes], [net.NextScopedBlob("sum_abs")], average=False)
    outputs = [net.NextScopedBlob(part) for part in ("topk", "id", "flat_id")]
    largest, _, _ = net.TopK([sizes], outputs, k=k)
    kept = net.SumElements([largest], [net.NextScopedBlob("topk_sum")], average=False)
    net.Sub([total, kept], [name])
    return net.Scale([name], [name], scale=factor)


class L1Norm(Regularizer):
    """reg_lambda * sum |w|."""

    def __init__(self, reg_lambda: float) -> None:
        super().__init__()
        _require_factor(reg_lambda)
        self.reg_lambda = reg_lambda

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_l1_regularization")
        return _scaled_norm(net, param, name, 1, self.reg_lambda)


class L2Norm(Regularizer):
    """reg_lambda * sum w^2."""

    def __init__(self, reg_lambda: float) -> None:
        super().__init__()
        _require_factor(reg_lambda)
        self.reg_lambda = reg_lambda

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_l2_regularization")
        return _scaled_norm(net, param, name, 2, self.reg_lambda)


class LpNorm(Regularizer):
    """reg_lambda * (sum over columns of their norm to the power p_value) ^ (1 / p_value)."""

    def __init__(self, reg_lambda: float, p_value: float = 0.5) -> None:
        super().__init__()
        _require_factor(reg_lambda, zero_too=False)
        require(p_value > 0, f"p_value must be positive; got {p_value}.")
        self.p_value = p_value
        self.reg_lambda = reg_lambda

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_dense_feature_regularization")
        columns = self._feature_grouping(param, net)
        raised = net.Pow([columns], [net.NextScopedBlob("lp_vec_raised")], exponent=self.p_value)
        total = net.ReduceFrontSum([raised], [net.NextScopedBlob("lp_vec_summed")])
        norm = net.Pow([total], [net.NextScopedBlob("lp_vec")], exponent=1 / self.p_value)
        return net.Scale([norm], [name], scale=self.reg_lambda)


class L0ApproxNorm(Regularizer):
    """reg_lambda * (number of columns in use, a column counting min(norm, alpha) / alpha).

    With a ``budget`` > 0 only the columns beyond that number are penalised.
    """

    def __init__(self, reg_lambda: float, alpha: float = 0.01, budget: float = 0) -> None:
        super().__init__()
        _require_factor(reg_lambda, zero_too=False)
        require(alpha > 0, f"alpha must be positive; got {alpha}.")
        require(budget >= 0, f"the budget must not be negative; got {budget}.")
        self.reg_lambda = reg_lambda
        self.alpha = alpha
        self.budget = float(budget)

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_dense_feature_regularization")
        sizes = net.Abs([self._feature_grouping(param, net)], [net.NextScopedBlob("l0_abs")])
        capped = net.Clip([sizes], [net.NextScopedBlob("l0_min")], max=self.alpha)
        total = net.ReduceFrontSum([capped], [net.NextScopedBlob("l0_summed")])
        norm = net.Scale([total], [net.NextScopedBlob("l0_norm")], scale=1 / self.alpha)
        if self.budget:
            budget = net.ConstantFill([], "budget", shape=[1], value=self.budget)
            beyond = net.Sub([norm, budget], [net.NextScopedBlob("l0_budget")])
            norm = net.Relu([beyond], [net.NextScopedBlob("relu_l0_sub_budget")])
        return net.Scale([norm], [name], scale=self.reg_lambda)


class L1NormTrimmed(Regularizer):
    """reg_lambda * sum |w| without the k largest. Source: The Trimmed Lasso, arXiv:1708.04527."""

    def __init__(self, reg_lambda: float, k: int) -> None:
        super().__init__()
        _require_factor(reg_lambda)
        require(isinstance(k, int) and k >= 1, f"k must be an int of at least 1; got {k!r}.")
        self.reg_lambda = reg_lambda
        self.k = k

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_l1_trimmed_regularization")
        return _trimmed_sum(net, param, name, self.k, self.reg_lambda)


class ElasticNet(Regularizer):
    """l1 * sum |w| + l2 * sum w^2."""

    def __init__(self, l1: float, l2: float) -> None:
        super().__init__()
        self.l1 = l1
        self.l2 = l2

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_elastic_net_regularization")
        two = net.NextScopedBlob(param + "_l2_blob")
        one = net.NextScopedBlob(param + "_l1_blob")
        net.LpNorm([param], [two], p=2)
        net.LpNorm([param], [one], p=1)
        net.Scale([two], [two], scale=self.l2)
        net.Scale([one], [one], scale=self.l1)
        return net.Add([one, two], [name])


class ElasticNetL1NormTrimmed(Regularizer):
    """`ElasticNet` whose first part leaves the k largest weights out."""

    def __init__(self, l1: float, l2: float, k: int) -> None:
        super().__init__()
        self.l1 = l1
        self.l2 = l2
        self.k = k

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        name = net.NextScopedBlob(param + "_elastic_net_l1_trimmed_regularization")
        two = _scaled_norm(net, param, net.NextScopedBlob(param + "_l2_blob"), 2, self.l2)
        one = _trimmed_sum(net, param, net.NextScopedBlob(param + "_l1_blob"), self.k, self.l1)
        return net.Add([one, two], [name])


class _RowNorm(Regularizer):
    """Bounds the norm of the rows just updated; for sparse gradients."""

    _largest_only: bool

    def __init__(self, norm: float = 1.0) -> None:
        super().__init__()
        self.norm = norm

    def _run_after_optimizer(self, net: Any, param_init_net: Any, param: Any, grad: Any) -> None:
        require(self.norm > 0, f"the norm must be positive; got {self.norm}.")
        _require_sparse(self, param, grad)
        options = {"use_max_norm": self._largest_only, "norm": self.norm}
        net.SparseNormalize([param, grad.indices], [param], **options)


def _require_sparse(regularizer: Regularizer, param: Any, grad: Any) -> None:
    if not isinstance(grad, core.GradientSlice):
        raise NotSupportedError(
            f"{type(regularizer).__name__} is for sparse gradients; that of '{param}' is dense."
        )


class MaxNorm(_RowNorm):
    """Rows are scaled down to the norm if they are longer."""

    _largest_only = True


class ConstantNorm(_RowNorm):
    """Rows are scaled to the norm."""

    _largest_only = False


class SparseLpNorm(Regularizer):
    """Decay of the rows just updated: by |w| (p = 1) or w^2 (p = 2)."""

    def __init__(self, p: float, reg_lambda: float) -> None:
        super().__init__()
        require(p in (1.0, 2.0), f"p must be 1.0 or 2.0; got {p}.")
        _require_factor(reg_lambda, zero_too=False)
        self.p = p
        self.reg_lambda = reg_lambda

    def _run_after_optimizer(self, net: Any, param_init_net: Any, param: Any, grad: Any) -> None:
        _require_sparse(self, param, grad)
        net.SparseLpRegularizer([param, grad.indices], [param], p=self.p, reg_lambda=self.reg_lambda)


class SparseL1Norm(SparseLpNorm):
    """`SparseLpNorm` with p = 1."""

    def __init__(self, reg_lambda: float) -> None:
        super().__init__(p=1.0, reg_lambda=reg_lambda)


class SparseL2Norm(SparseLpNorm):
    """`SparseLpNorm` with p = 2."""

    def __init__(self, reg_lambda: float) -> None:
        super().__init__(p=2.0, reg_lambda=reg_lambda)


class LogBarrier(Regularizer):
    """-reg_lambda * discount(t) * sum log w: keeps weights positive, the more weakly the longer it trains.

    ``discount_policy`` and ``discount_options`` are those of `LearningRate`.
    Source: Nocedal, Wright, Numerical Optimization, chapter 19.
    """

    def __init__(
        self,
        reg_lambda: float,
        discount_policy: str = "inv",
        discount_options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        _require_factor(reg_lambda, zero_too=False)
        self.reg_lambda = reg_lambda
        self.discount_policy = discount_policy
        self.discount_options = discount_options or {"gamma": 1.0, "power": 1.0}

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        iteration = utils.BuildUniqueMutexIter(param_init_net, net)
        discount = net.NextScopedBlob(param + "_log_barrier_discount")
        policy = {"policy": self.discount_policy, **self.discount_options}
        net.LearningRate([iteration], [discount], base_lr=-self.reg_lambda, **policy)
        positive = net.NextScopedBlob(param + "_non_neg")
        net.Clip([param], [positive], min=self.kEpsilon)  # weights may start, or slip, below zero
        logs = net.NextScopedBlob(param + "_log")
        net.Log([positive], [logs])
        total = net.NextScopedBlob(param + "_log_sum")
        net.SumElements([logs], [total])
        return net.Mul([total, discount], [net.NextScopedBlob(param + "_log_barrier")], broadcast=1)

    def _run_after_optimizer(self, net: Any, param_init_net: Any, param: Any, grad: Any) -> None:
        self._ensure_clipped(net, param, grad, min=0, open_range=True)


class BoundedGradientProjection(Regularizer):
    """Weights are clipped to [lb, ub] after each update; open ends stay ``epsilon`` away.

    Source: Nocedal, Wright, Numerical Optimization, chapter 16.
    """

    def __init__(
        self,
        lb: float | None = None,
        ub: float | None = None,
        left_open: bool = False,
        right_open: bool = False,
        epsilon: float | None = None,
    ) -> None:
        super().__init__()
        self.lb = None if lb is None else float(lb)
        self.ub = None if ub is None else float(ub)
        self.left_open = left_open
        self.right_open = right_open
        self.kEpsilon = self.kEpsilon if epsilon is None else float(epsilon)
        require(self.kEpsilon > 0, f"epsilon must be positive; got {epsilon}.")
        if self.lb is not None and self.ub is not None:
            low = self.lb + self.kEpsilon * left_open
            high = self.ub - self.kEpsilon * right_open
            require(low <= high, f"there is nothing between lb={lb} and ub={ub} (epsilon {self.kEpsilon}).")

    def _run_after_optimizer(self, net: Any, param_init_net: Any, param: Any, grad: Any) -> None:
        open_ends = {"left_open": self.left_open, "right_open": self.right_open}
        self._ensure_clipped(net, param, grad, min=self.lb, max=self.ub, **open_ends)


class GroupL1Norm(Regularizer):
    """reg_lambda * sum over groups of sqrt(size) * norm of the group's columns.

    ``groups`` are the numbers of columns of each group; ``stabilizing_val`` is added below the root, whose
    gradient is steep at zero. Source: Scardapane et al., Neurocomputing 241 (2017).
    """

    def __init__(self, reg_lambda: float, groups: list[int], stabilizing_val: float = 0) -> None:
        super().__init__()
        _require_factor(reg_lambda)
        require(isinstance(groups, list), f"groups must be a list of sizes; got {type(groups).__name__}.")
        self.reg_lambda = reg_lambda
        self.groups = groups
        self.stabilizing_val = stabilizing_val

    def _run_on_loss(self, net: Any, param_init_net: Any, param: Any, grad: Any = None) -> Any:
        count = [len(self.groups)]
        columns = net.ReduceSum(net.Sqr(param), axes=[0], keepdims=0)
        sizes = net.GivenTensorIntFill([], 1, shape=count, values=self.groups)
        sums = net.LengthsSum([columns, sizes])
        if self.stabilizing_val:
            small = net.ConstantFill([], 1, value=self.stabilizing_val)
            net.Add([sums, small], [sums], broadcast=1)
        norms = net.Sqrt(sums)
        factors = net.GivenTensorFill([], shape=count, values=np.sqrt(self.groups) * self.reg_lambda)
        scaled = net.Mul([norms, factors], ["normalized_l2_norm_scaled"])
        return net.LpNorm(scaled, ["group_l1_nrom"], p=1)
