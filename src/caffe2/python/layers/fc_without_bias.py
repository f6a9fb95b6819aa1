"""A fully connected layer without bias. Source: caffe2/python/layers/fc_without_bias.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import inner_shape, uniform
from caffe2.python.layers.layers import ModelLayer
from caffe2.python.layers.sampling_trainable_mixin import SamplingTrainableMixin


class FCWithoutBias(SamplingTrainableMixin, ModelLayer):
    """Y = X W^T, with W (output_dims, D)."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dims: int,
        weight_init: Any = None,
        weight_optim: Any = None,
        name: str = "fc_without_bias",
        uniform_weight_init_scale_numerator: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        size = inner_shape(input_record, "FCWithoutBias")[0]
        require(size > 0, f"FCWithoutBias must know the size of its input's rows; it is {size}.")
        self.output_schema = schema.Scalar(
            (np.float32, (output_dims,)), self.get_next_blob_reference("output")
        )
        self.w = self.create_param(
            param_name="w",
            shape=[output_dims, size],
            initializer=weight_init or uniform(size, uniform_weight_init_scale_numerator),
            optimizer=weight_optim,
        )

    def _add_ops(self, net: Any, params: list[Any]) -> None:
        inputs = self.input_record.field_blobs() + params
        net.MatMul(inputs, self.output_schema.field_blobs(), trans_b=1, **self.kwargs)

    @property
    def param_blobs(self) -> list[Any]:
        """The weights."""
        return [self.w]
