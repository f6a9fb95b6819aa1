"""Softmax with loss. Source: caffe2/python/layers/batch_softmax_loss.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import cast, float_weight, require_columns
from caffe2.python.layers.layers import ModelLayer


class BatchSoftmaxLoss(ModelLayer):
    """Gives ``softmax`` (N, D) and ``loss`` of ``prediction`` and ``label``, weighted by ``weight``.

    ``label_prob``: labels are distributions. ``label_smoothing_matrix`` (D, D): row i is the distribution that stands
    for label i.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "batch_softmax_loss",
        label_smoothing_matrix: Any = None,
        label_prob: bool = False,
        scale: float = 1.0,
        average_by_batch_size: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_columns(input_record, "label", "prediction")
        self.label_prob = label_prob
        self.scale = scale
        self.average_by_batch_size = average_by_batch_size
        self.label_smoothing_matrix = label_smoothing_matrix
        if label_smoothing_matrix is not None:
            self.initialize_label_smoothing_constants()
        softmax = schema.Scalar(input_record.prediction.field_type(), self.get_next_blob_reference("softmax"))
        loss = schema.Scalar(np.float32, self.get_next_blob_reference("loss"))
        self.output_schema = schema.Struct(("softmax", softmax), ("loss", loss))

    def initialize_label_smoothing_constants(self) -> None:
        """Make constants of the matrix and of the number of labels."""
        matrix = np.array(self.label_smoothing_matrix).astype(np.float32)
        require(
            matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1],
            f"label_smoothing_matrix must be square; it is {matrix.shape}.",
        )
        add = self.model.add_global_constant
        self.label_smoothing_matrix = add(
            f"{self.name}_label_smoothing_matrix", array=matrix, dtype=np.dtype(np.float32)
        )
        self.label_dim = add(f"{self.name}_label_dim", array=matrix.shape[0], dtype=np.dtype(np.int64))
        self.label_prob = True

    def compute_smoothed_label(self, net: Any) -> Any:
        """The labels as distributions."""
        column = self.input_record.label
        label = cast(net, column(), column, np.int64, "int64_label")
        one_hot = net.OneHot([label, self.label_dim], [net.NextScopedBlob("one_hot_label")])
        return net.MatMul([one_hot, self.label_smoothing_matrix], net.NextScopedBlob("smoothed_label"))

    def add_ops(self, net: Any) -> None:
        """Compute softmax and loss."""
        column = self.input_record.label
        if self.label_smoothing_matrix is not None:
            label = self.compute_smoothed_label(net)
        elif self.label_prob:
            label = column()
        else:
            label = cast(net, column(), column, np.int32, "int32_label")
        inputs = [*self.input_record.prediction.field_blobs(), label]
        if "weight" in self.input_record:
            inputs.append(float_weight(net, self.input_record))
        net.SoftmaxWithLoss(
            inputs,
            self.output_schema.field_blobs(),
            label_prob=self.label_prob,
            scale=self.scale,
            average_by_batch_size=self.average_by_batch_size,
        )
