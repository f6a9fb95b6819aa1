"""Weights of several losses that are learned. Source: caffe2/python/layers/adaptive_weight.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.regularizer import BoundedGradientProjection, LogBarrier, Regularizer

_METHODS = ("log_std", "inv_var")


class AdaptiveWeight(ModelLayer):
    """The sum of the columns (one number each), weighted by their uncertainty. Source: arXiv:1705.07115.

    ``estimation_method``: "log_std" learns mu, column i counts exp(-mu_i) / 2 and mu_i / 2 is added; "inv_var"
    learns k > 0, column i counts k_i / 2 and - log(k_i) / 2 is added, k kept positive by ``pos_optim_method``
    "log_barrier" (of ``reg_lambda``) or "pos_grad_proj". ``weights``: what the columns count at first, positive.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "adaptive_weight",
        optimizer: Any = None,
        weights: Any = None,
        enable_diagnose: bool = False,
        estimation_method: str = "log_std",
        pos_optim_method: str = "log_barrier",
        reg_lambda: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("adaptive_weight"))
        self.data = input_record.field_blobs()
        self.num = len(self.data)
        self.optimizer = optimizer
        weights = weights if weights is not None else [1.0 / self.num] * self.num
        require(len(weights) == self.num, f"{len(weights)} weights for {self.num} columns.")
        require(min(weights) > 0, f"weights must be positive at first; got {weights}.")
        self.weights = np.array(weights).astype(np.float32)
        self.estimation_method = str(estimation_method).lower()
        self.pos_optim_method = str(pos_optim_method).lower()
        self.reg_lambda = float(reg_lambda)
        self.enable_diagnose = enable_diagnose
        require(
            self.estimation_method in _METHODS,
            f"estimation_method must be one of {', '.join(_METHODS)}; got {estimation_method}.",
        )
        if self.estimation_method == "log_std":
            self.mu = self._learned("mu", np.log(0.5 / self.weights), None)
        else:
            self.k = self._learned("k", 2.0 * self.weights, self._keeps_positive())
        if enable_diagnose:
            self.weight_i = [self.get_next_blob_reference(f"adaptive_weight_{i}") for i in range(self.num)]
            for blob in self.weight_i:
                model.add_ad_hoc_plot_blob(blob)

    def _learned(self, name: str, values: np.ndarray, regularizer: Regularizer | None) -> Any:
        fill = ("GivenTensorFill", {"values": values, "dtype": core.DataType.FLOAT})
        return self.create_param(
            param_name=name,
            shape=[self.num],
            initializer=fill,
            optimizer=self.optimizer,
            regularizer=regularizer,
        )

    def _keeps_positive(self) -> Regularizer:
        if self.pos_optim_method == "log_barrier":
            return LogBarrier(reg_lambda=self.reg_lambda)
        if self.pos_optim_method == "pos_grad_proj":
            return BoundedGradientProjection(lb=0, left_open=True)
        raise TypeError(
            f"pos_optim_method must be log_barrier or pos_grad_proj; got {self.pos_optim_method}."
        )

    def concat_data(self, net: Any) -> Any:
        """The columns in one blob (num,)."""
        parts = [net.NextScopedBlob(f"reshaped_data_{i}") for i in range(self.num)]
        for i, (data, part) in enumerate(zip(self.data, parts, strict=True)):
            net.Reshape([data], [part, net.NextScopedBlob(f"new_shape_{i}")], shape=[1])
        joined = net.NextScopedBlob("concated_data")
        net.Concat(parts, [joined, net.NextScopedBlob("concated_new_shape")], axis=0)
        return joined

    def add_ops(self, net: Any) -> None:
        """Weigh and add up."""
        data = self.concat_data(net)
        names = ("weight", "reg", "weighted_x", "weighted_x_add_reg")
        weight, reg, product, total = (net.NextScopedBlob(name) for name in names)
        if self.estimation_method == "log_std":
            negative = net.Negative(self.mu, net.NextScopedBlob("mu_neg"))
            net.Scale(net.Exp(negative, net.NextScopedBlob("mu_neg_exp")), weight, scale=0.5)
            net.Scale(self.mu, reg, scale=0.5)
        else:
            net.Scale(self.k, weight, scale=0.5)
            net.Scale(net.Log(self.k, net.NextScopedBlob("log_k")), reg, scale=-0.5)
        net.Mul([weight, data], product)
        net.Add([product, reg], total)
        net.SumElements(total, self.output_schema())
        if self.enable_diagnose:
            for i, blob in enumerate(self.weight_i):
                net.Slice(weight, blob, starts=[i], ends=[i + 1])
