"""Keys numbered as they come. Source: caffe2/python/layers/build_index.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import cast, require_scalar
from caffe2.python.layers.layers import ModelLayer


class MapToRange(ModelLayer):
    """``indices``: a number below ``max_index`` for each key, new keys getting new ones in training; else 0.

    ``handler``: the index itself.
    """

    def __init__(
        self, model: Any, input_record: Any, max_index: int, name: str = "map_to_range", **kwargs: Any
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require(max_index > 0, f"max_index must be positive; got {max_index}.")
        require_scalar(input_record, "MapToRange")
        self.max_index = max_index
        self.handler = self.create_param(
            param_name="handler",
            shape=[],
            initializer=("LongIndexCreate", {"max_elements": max_index}),
            optimizer=model.NoOptim,
        )
        self.output_schema = schema.Struct(
            ("indices", schema.Scalar(np.int64, self.get_next_blob_reference("indices"))),
            ("handler", schema.Scalar(np.void, self.handler)),
        )

    def add_train_ops(self, net: Any) -> None:
        """Number, with new numbers for new keys."""
        keys = cast(net, self.input_record(), self.input_record, np.int64, "indices_before_mapping")
        indices = net.IndexGet([self.handler, keys], self.output_schema.indices())
        net.StopGradient(indices, indices)

    def add_eval_ops(self, net: Any) -> None:
        """Number, with 0 for new keys."""
        net.IndexFreeze(self.handler, self.handler)
        self.add_train_ops(net)

    def add_ops(self, net: Any) -> None:
        """As in evaluation."""
        self.add_eval_ops(net)
