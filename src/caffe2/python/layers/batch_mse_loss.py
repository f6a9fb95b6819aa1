"""Mean squared error. Source: caffe2/python/layers/batch_mse_loss.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python.layers._parts import cast, require_columns, weighted
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.tags import Tags


class BatchMSELoss(ModelLayer):
    """Half the squared distance of ``prediction`` (N, 1) and ``label`` (N,), weighted by ``weight``, averaged."""

    def __init__(self, model: Any, input_record: Any, name: str = "batch_mse_loss", **kwargs: Any) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_columns(input_record, "label", "prediction")
        self.tags.update([Tags.EXCLUDE_FROM_PREDICTION])
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("output"))

    def add_ops(self, net: Any) -> None:
        """Compute the loss."""
        record = self.input_record
        kind = record.prediction.field_type().base
        label = cast(net, record.label.field_blobs()[0], record.label, kind, "cast_label")
        label = net.ExpandDims(label, 1, dims=[1])
        label = net.StopGradient(label, net.NextScopedBlob("stopped_label"))
        loss = net.SquaredL2Distance([label, record.prediction()], net.NextScopedBlob("l2"))
        loss = weighted(net, loss, record, "weighted_l2_distance")
        net.AveragedLoss(loss, self.output_schema.field_blobs())
