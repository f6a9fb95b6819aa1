"""A learned weight for each bucket of a list's values. Source: caffe2/python/layers/bucket_weighted.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer, get_categorical_limit
from caffe2.python.layers.tags import Tags


class BucketWeighted(ModelLayer):
    """``bucket_weights``: the weight, 1 at first, of the bucket that each value of a list falls in.

    Buckets lie between ``bucket_boundaries``; without them a value is its own bucket, of ``max_score`` or of as many
    as the list's ids. ``hash_buckets``: the bucket's number is hashed.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        max_score: int = 0,
        bucket_boundaries: Any = None,
        hash_buckets: bool = True,
        weight_optim: Any = None,
        name: str = "bucket_weighted",
    ) -> None:
        super().__init__(model, name, input_record)
        require(
            isinstance(input_record, schema.List),
            f"BucketWeighted takes a List; got {type(input_record).__name__}.",
        )
        self.bucket_boundaries = bucket_boundaries
        self.hash_buckets = hash_buckets
        if bucket_boundaries is not None:
            self.shape = len(bucket_boundaries) + 1
        else:
            self.shape = max_score if max_score > 0 else get_categorical_limit(input_record)
        self.bucket_w = self.create_param(
            param_name="bucket_w",
            shape=[self.shape],
            initializer=("ConstantFill", {"value": 1.0}),
            optimizer=weight_optim,
        )
        blob = self.get_next_blob_reference("bucket_w_gather")
        self.output_schema = schema.Struct(("bucket_weights", schema.Scalar((np.float32, self.shape), blob)))
        self.tags.update({Tags.HANDLE_AS_SPARSE_LAYER})

    def get_memory_usage(self) -> int:
        """The number of weights."""
        return self.shape

    def add_ops(self, net: Any) -> None:
        """Look up."""
        values = self.input_record.values()
        if self.bucket_boundaries is not None:
            buckets = net.Bucketize(values, "buckets_int", boundaries=self.bucket_boundaries)
        else:
            buckets = net.Cast(values, "buckets_int", to=core.DataType.INT32)
        if self.hash_buckets:
            buckets = net.IndexHash(buckets, "hashed_buckets_int", seed=0, modulo=self.shape)
        net.Gather([self.bucket_w, buckets], self.output_schema.bucket_weights.field_blobs())
