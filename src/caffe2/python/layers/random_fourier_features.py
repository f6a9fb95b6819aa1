"""Random features of the Gaussian kernel. Source: caffe2/python/layers/random_fourier_features.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class RandomFourierFeatures(ModelLayer):
    """sqrt(2 / output_dims) cos(X W^T + b), W and b random and not trained; ``sigma``: the kernel's bandwidth.

    Source: Rahimi, Recht, NIPS 2007.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dims: int,
        sigma: float,
        w_init: Any = None,
        b_init: Any = None,
        name: str = "random_fourier_features",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_scalar(input_record, "RandomFourierFeatures")
        size = input_record.field_type().shape[0]
        require(size >= 1, f"the input's rows must not be empty; their size is {size}.")
        require(output_dims >= 1, f"output_dims must be positive; got {output_dims}.")
        self.output_dims = output_dims
        self.output_schema = schema.Scalar(
            (np.float32, (output_dims,)), self.get_next_blob_reference("output")
        )
        require(sigma > 0.0, f"sigma must be positive; got {sigma}.")
        self.w = self.create_param(
            param_name="w",
            shape=[output_dims, size],
            initializer=w_init or ("GaussianFill", {"mean": 0.0, "std": 1.0 / sigma}),
            optimizer=model.NoOptim,
        )
        self.b = self.create_param(
            param_name="b",
            shape=[output_dims],
            initializer=b_init or ("UniformFill", {"min": 0.0, "max": 2 * np.pi}),
            optimizer=model.NoOptim,
        )

    def add_ops(self, net: Any) -> None:
        """Map."""
        inputs = [*self.input_record.field_blobs(), self.w, self.b]
        angle = net.FC(inputs, net.NextScopedBlob("cosine_arg"))
        cosine = net.Cos([angle], net.NextScopedBlob("new_feature_vec"))
        net.Scale([cosine], self.output_schema.field_blobs(), scale=np.sqrt(2.0 / self.output_dims))
