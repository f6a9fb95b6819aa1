"""Huber loss. Source: caffe2/python/layers/batch_huber_loss.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import cast, require_columns, weighted
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.tags import Tags


class BatchHuberLoss(ModelLayer):
    """0.5 min(e, delta)^2 + delta max(e - delta, 0), averaged, for e = |label - prediction|.

    ``prediction`` is (N, 1), ``label`` (N,); ``weight`` multiplies where it is there.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "batch_huber_loss",
        delta: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(delta > 0, f"delta must be positive; got {delta}.")
        self._delta = delta
        require_columns(input_record, "label", "prediction")
        self.tags.update([Tags.EXCLUDE_FROM_PREDICTION])
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("output"))

    def add_ops(self, net: Any) -> None:
        """Compute the loss."""
        record = self.input_record
        prediction = net.Squeeze(record.prediction(), net.NextScopedBlob("squeezed_prediction"), dims=[1])
        kind = record.prediction.field_type().base
        label = cast(net, record.label.field_blobs()[0], record.label, kind, "cast_label")
        delta = net.ConstantFill(
            label, net.NextScopedBlob("delta"), value=self._delta, dtype=core.DataType.FLOAT
        )
        label = net.StopGradient(label, net.NextScopedBlob("stopped_label"))
        delta = net.StopGradient(delta, net.NextScopedBlob("stopped_delta"))
        error = net.L1Distance([label, prediction], net.NextScopedBlob("abs_error"))
        small = net.Min([error, delta], net.NextScopedBlob("min_error_delta"))
        quadratic = net.Scale(net.Sqr(small), scale=0.5)
        linear = net.Mul([net.Sub([error, small]), delta], net.NextScopedBlob("huber_linear_term"))
        loss = net.Add([quadratic, linear], net.NextScopedBlob("huber_dist"))
        loss = weighted(net, loss, record, "weighted_huber_distance")
        net.AveragedLoss(loss, self.output_schema.field_blobs())
