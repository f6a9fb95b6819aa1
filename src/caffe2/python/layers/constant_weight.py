"""Columns added up with fixed weights. Source: caffe2/python/layers/constant_weight.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer


class ConstantWeight(ModelLayer):
    """The weighted sum of the columns; without ``weights``, their mean."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        weights: Any = None,
        name: str = "constant_weight",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.output_schema = schema.Scalar(np.float32, self.get_next_blob_reference("constant_weight"))
        self.data = input_record.field_blobs()
        self.num = len(self.data)
        weights = weights if weights is not None else [1.0 / self.num] * self.num
        require(len(weights) == self.num, f"{len(weights)} weights for {self.num} columns.")
        self.weights = [
            model.add_global_constant(f"{self.name}_weight_{i}", float(weight))
            for i, weight in enumerate(weights)
        ]

    def add_ops(self, net: Any) -> None:
        """Add up."""
        pairs = zip(self.data, self.weights, strict=True)
        net.WeightedSum([blob for pair in pairs for blob in pair], self.output_schema())
