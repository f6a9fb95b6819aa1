"""A bias for each column. Source: caffe2/python/layers/add_bias.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import inner_shape, uniform
from caffe2.python.layers.layers import ModelLayer


class AddBias(ModelLayer):
    """Y = X + b, with b (D,)."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        bias_init: Any = None,
        bias_optim: Any = None,
        name: str = "add_bias",
    ) -> None:
        super().__init__(model, name, input_record)
        size = inner_shape(input_record, "AddBias")[0]
        require(size > 0, f"AddBias must know the size of its input's rows; it is {size}.")
        init = bias_init or uniform(size)
        self.b = self.create_param(param_name="b", shape=[size], initializer=init, optimizer=bias_optim)
        self.output_schema = schema.Scalar(
            (input_record.field_type().base, (size,)), self.get_next_blob_reference("output")
        )

    def add_ops(self, net: Any) -> None:
        """Add the bias."""
        inputs = [*self.input_record.field_blobs(), self.b]
        net.Add(inputs, self.output_schema.field_blobs(), broadcast=1)
