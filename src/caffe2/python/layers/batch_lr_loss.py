"""Logistic loss. Source: caffe2/python/layers/batch_lr_loss.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import constant, require_columns, weighted
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.tags import Tags


class BatchLRLoss(ModelLayer):
    """The cross entropy of ``logit`` and ``label``, averaged (or summed) over the batch.

    Columns ``weight`` and ``log_variance`` are used where they are there; ``jsd_weight``, ``homotopy_weighting``
    and ``focal_gamma`` need ``prediction``. Labels become ``pos_label_target`` and ``neg_label_target``.
    ``jsd_weight``: the part of the Bernoulli Jensen-Shannon divergence; with ``homotopy_weighting`` it grows slowly.
    ``focal_gamma``: the loss is multiplied with (y + p - 2 y p) ** gamma. ``task_gamma`` below 1: the loss is
    multiplied with a factor that falls by it in each step, down to ``task_gamma_lb``.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "batch_lr_loss",
        average_loss: bool = True,
        jsd_weight: float = 0.0,
        pos_label_target: float = 1.0,
        neg_label_target: float = 0.0,
        homotopy_weighting: bool = False,
        log_D_trick: bool = False,
        unjoined_lr_loss: bool = False,
        uncertainty_penalty: float = 1.0,
        focal_gamma: float = 0.0,
        stop_grad_in_focal_factor: bool = False,
        task_gamma: float = 1.0,
        task_gamma_lb: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.average_loss = average_loss
        require_columns(input_record, "label", "logit")
        require(0 <= jsd_weight <= 1, f"jsd_weight must be from 0 to 1; got {jsd_weight}.")
        self.homotopy_weighting = homotopy_weighting
        self.jsd_fuse = jsd_weight > 0 or homotopy_weighting
        if self.jsd_fuse:
            require_columns(input_record, "prediction")
            self.init_weight(jsd_weight, homotopy_weighting)
        require(
            0 <= neg_label_target <= pos_label_target <= 1,
            f"0 <= neg_label_target {neg_label_target} <= pos_label_target {pos_label_target} <= 1 must hold.",
        )
        self.pos_label_target, self.neg_label_target = pos_label_target, neg_label_target
        require(
            not (log_D_trick and unjoined_lr_loss), "log_D_trick and unjoined_lr_loss exclude each other."
        )
        self.log_D_trick, self.unjoined_lr_loss = log_D_trick, unjoined_lr_loss
        require(
            uncertainty_penalty >= 0, f"uncertainty_penalty must not be negative; got {uncertainty_penalty}."
        )
        self.uncertainty_penalty = uncertainty_penalty
        self.tags.update([Tags.EXCLUDE_FROM_PREDICTION])
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("output"))
        self.focal_gamma = focal_gamma
        self.stop_grad_in_focal_factor = stop_grad_in_focal_factor
        self.apply_exp_decay = task_gamma < 1.0
        if self.apply_exp_decay:
            self.task_gamma_cur = self._kept("task_gamma_cur", 1.0)
            self.task_gamma = self._kept("task_gamma", task_gamma)
            self.task_gamma_lb = self._kept("task_gamma_lb", task_gamma_lb)

    def _kept(self, name: str, value: float, dtype: int = core.DataType.FLOAT) -> Any:
        return self.create_param(
            param_name=f"{self.name}_{name}",
            shape=[1],
            initializer=constant(value, dtype),
            optimizer=self.model.NoOptim,
        )

    def init_weight(self, jsd_weight: float, homotopy_weighting: bool) -> None:
        """Make the blobs of the two parts' weights."""
        if not homotopy_weighting:
            add = self.model.add_global_constant
            self.jsd_weight = add(f"{self.name}_jsd_weight", jsd_weight)
            self.xent_weight = add(f"{self.name}_xent_weight", 1.0 - jsd_weight)
            return
        self.mutex = self.create_param(
            param_name=f"{self.name}_mutex",
            shape=None,
            initializer=("CreateMutex",),
            optimizer=self.model.NoOptim,
        )
        self.counter = self._kept("counter", 0, core.DataType.INT64)
        self.xent_weight = self._kept("xent_weight", 1.0)
        self.jsd_weight = self._kept("jsd_weight", 0.0)

    def update_weight(self, net: Any) -> tuple[Any, Any]:
        """Move the weights: (1 + 1e-6 step) ** -0.1, and 1 less that."""
        net.AtomicIter([self.mutex, self.counter], [self.counter])
        schedule = {"base_lr": 1.0, "policy": "inv", "gamma": 1e-6, "power": 0.1}
        net.LearningRate([self.counter], [self.xent_weight], **schedule)
        net.Sub([self.model.global_constants["ONE"], self.xent_weight], [self.jsd_weight])
        return self.xent_weight, self.jsd_weight

    def _label(self, net: Any) -> Any:
        label = net.Cast(
            self.input_record.label(), net.NextScopedBlob("label_float32"), to=core.DataType.FLOAT
        )
        label = net.ExpandDims(label, net.NextScopedBlob("expanded_label"), dims=[1])
        if (self.pos_label_target, self.neg_label_target) == (1.0, 0.0):
            return label
        targets = {"low_value": self.neg_label_target, "high_value": self.pos_label_target}
        return net.StumpFunc(label, net.NextScopedBlob("smoothed_label"), threshold=0.5, **targets)

    def _focal(self, net: Any, xent: Any, label: Any) -> Any:
        prediction = self.input_record.prediction()
        both = net.Add([prediction, label], net.NextScopedBlob("y_plus_p"))
        product = net.Mul([prediction, label], net.NextScopedBlob("yp"))
        twice = net.Scale(product, net.NextScopedBlob("two_yp"), scale=2.0)
        miss = net.Sub([both, twice], net.NextScopedBlob("y_plus_p_sub_two_yp"))
        factor = net.Pow(
            miss, net.NextScopedBlob("y_plus_p_sub_two_yp_power"), exponent=float(self.focal_gamma)
        )
        if self.stop_grad_in_focal_factor is True:
            factor = net.StopGradient([factor], [net.NextScopedBlob("focal_factor_stop_gradient")])
        return net.Mul([xent, factor], net.NextScopedBlob("focallossxent"))

    def _uncertain(self, net: Any, loss: Any) -> Any:
        """(exp(-s) loss + penalty s) / 2 for s = log_variance, with exp kept finite."""
        variance = self.input_record.log_variance()
        variance = net.ExpandDims(variance, net.NextScopedBlob("expanded_log_variance"), dims=[1])
        negative = net.Negative([variance], net.NextScopedBlob("neg_log_variance"))
        negative = net.Clip([negative], net.NextScopedBlob("clipped_neg_log_variance"), max=88.0)
        factor = net.Exp([negative], net.NextScopedBlob("exp_neg_log_variance"))
        first = net.Mul([factor, loss], net.NextScopedBlob("exp_neg_log_variance_loss"))
        second = net.Scale(
            variance, net.NextScopedBlob("penalized_unceratinty"), scale=float(self.uncertainty_penalty)
        )
        twice = net.Add([first, second], net.NextScopedBlob("loss"))
        return net.Scale(twice, net.NextScopedBlob("loss"), scale=0.5)

    def add_ops(self, net: Any) -> None:
        """Compute the loss."""
        label = self._label(net)
        loss = net.SigmoidCrossEntropyWithLogits(
            [self.input_record.logit(), label],
            net.NextScopedBlob("cross_entropy"),
            log_D_trick=self.log_D_trick,
            unjoined_lr_loss=self.unjoined_lr_loss,
        )
        if self.focal_gamma != 0:
            label = net.StopGradient([label], [net.NextScopedBlob("label_stop_gradient")])
            loss = self._focal(net, loss, label)
        if self.apply_exp_decay:
            net.Mul([self.task_gamma_cur, self.task_gamma], self.task_gamma_cur)
            bounds = [self.task_gamma_cur, self.task_gamma_lb]
            factor = net.Max(bounds, net.NextScopedBlob("task_gamma_cur_multiplier"))
            loss = net.Mul([loss, factor], net.NextScopedBlob("expdecayxent"))
        if self.jsd_fuse:
            jsd = net.BernoulliJSD([self.input_record.prediction(), label], net.NextScopedBlob("jsd"))
            if self.homotopy_weighting:
                self.update_weight(net)
            parts = [loss, self.xent_weight, jsd, self.jsd_weight]
            loss = net.WeightedSum(parts, net.NextScopedBlob("loss"))
        if "log_variance" in self.input_record.fields:
            loss = self._uncertain(net, loss)
        loss = weighted(net, loss, self.input_record, "weighted_cross_entropy")
        reduce = net.AveragedLoss if self.average_loss else net.ReduceFrontSum
        reduce(loss, self.output_schema.field_blobs())
