"""Cross entropy of several labels at once. Source: caffe2/python/layers/batch_sigmoid_cross_entropy_loss.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_columns
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.tags import Tags


class BatchSigmoidCrossEntropyLoss(ModelLayer):
    """The cross entropy of ``prediction`` (logits) and ``label``, both (N, D), averaged."""

    def __init__(
        self, model: Any, input_record: Any, name: str = "batch_sigmoid_cross_entropy_loss", **kwargs: Any
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_columns(input_record, "label", "prediction")
        shapes = [input_record[name].field_type().shape for name in ("prediction", "label")]
        require(shapes[0] == shapes[1], f"prediction's rows {shapes[0]} and label's {shapes[1]} differ.")
        self.tags.update([Tags.EXCLUDE_FROM_PREDICTION])
        self.output_schema = schema.Scalar((np.float32, ()), self.get_next_blob_reference("loss"))

    def add_ops(self, net: Any) -> None:
        """Compute the loss."""
        inputs = [self.input_record.prediction(), self.input_record.label()]
        loss = net.SigmoidCrossEntropyWithLogits(inputs, net.NextScopedBlob("sigmoid_cross_entropy"))
        net.AveragedLoss(loss, self.output_schema.field_blobs())
