"""Columns added up with weights that are learned. Source: caffe2/python/layers/blob_weighted_sum.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer


class BlobWeightedSum(ModelLayer):
    """The weighted sum of columns of one shape; the weights start as ``init_weights``, or as 1."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        init_weights: Any = None,
        weight_optim: Any = None,
        name: str = "blob_weighted_sum",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.blobs = input_record.field_blobs()
        self.num_weights = len(self.blobs)
        require(self.num_weights > 1, "BlobWeightedSum takes two columns or more.")
        shapes = [kind.shape for kind in input_record.field_types()]
        require(
            len(shapes[0]) > 0 and all(shape == shapes[0] for shape in shapes),
            f"BlobWeightedSum's columns must have one shape, and not that of a number; got {shapes}.",
        )
        values = init_weights or [1.0] * self.num_weights
        require(len(values) == self.num_weights, f"{len(values)} weights for {self.num_weights} columns.")
        self.weights = [
            self.create_param(
                param_name=f"w_{i}",
                shape=[1],
                initializer=("ConstantFill", {"value": float(value)}),
                optimizer=weight_optim,
            )
            for i, value in enumerate(values)
        ]
        self.output_schema = schema.Scalar(
            input_record.field_types()[0], self.get_next_blob_reference("blob_weighted_sum_out")
        )

    def add_ops(self, net: Any) -> None:
        """Add up."""
        pairs = zip(self.blobs, self.weights, strict=True)
        net.WeightedSum([blob for pair in pairs for blob in pair], self.output_schema(), grad_on_w=True)
