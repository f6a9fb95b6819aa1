"""A learned weight for each place in a list. Source: caffe2/python/layers/position_weighted.py."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer, get_categorical_limit
from caffe2.python.layers.tags import Tags

logger = logging.getLogger(__name__)


class PositionWeighted(ModelLayer):
    """``position_weights``: the weight, 1 at first, of each item's place in its list.

    There are as many as the metadata of ``lengths`` allows, or else as there are ids.
    """

    def __init__(
        self, model: Any, input_record: Any, weight_optim: Any = None, name: str = "position_weights"
    ) -> None:
        super().__init__(model, name, input_record)
        require(
            isinstance(input_record, schema.List),
            f"PositionWeighted takes a List; got {type(input_record).__name__}.",
        )
        limits = input_record.lengths.metadata
        if limits is not None and limits.categorical_limit is not None:
            self.shape = limits.categorical_limit
        else:
            self.shape = get_categorical_limit(input_record)
            logger.warning(
                "the longest list of %s is not known: %s weights, one an id.",
                input_record.lengths(),
                self.shape,
            )
        self.pos_w = self.create_param(
            param_name="pos_w",
            shape=[self.shape],
            initializer=("ConstantFill", {"value": 1.0}),
            optimizer=weight_optim,
        )
        blob = self.get_next_blob_reference("pos_w_gather")
        self.output_schema = schema.Struct(
            ("position_weights", schema.Scalar((np.float32, self.shape), blob))
        )
        self.tags.update({Tags.HANDLE_AS_SPARSE_LAYER})

    def get_memory_usage(self) -> int:
        """The number of weights."""
        return self.shape

    def add_ops(self, net: Any) -> None:
        """Look up."""
        lengths = self.input_record.lengths()
        places = net.LengthsRangeFill([lengths], lengths + "_pos_w_seq")
        net.Gather([self.pos_w, places], self.output_schema.position_weights.field_blobs())
