"""Batch normalization. Source: caffe2/python/layers/batch_normalization.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class BatchNormalization(ModelLayer):
    """Rows (D,), or images (C, H, W), with order NHWC (H, W, C), normalized over the batch in training."""

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "batch_normalization",
        scale_optim: Any = None,
        bias_optim: Any = None,
        momentum: float = 0.9,
        order: str = "NCHW",
        scale_init_value: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_scalar(input_record, "BatchNormalization")
        self.input_shape = input_record.field_type().shape
        if len(self.input_shape) == 3:
            if order not in ("NCHW", "NHWC"):
                raise ValueError(f"order must be NCHW or NHWC; got {order}.")
            size = self.input_shape[0 if order == "NCHW" else 2]
        else:
            require(
                len(self.input_shape) == 1,
                f"BatchNormalization takes rows of one axis or images; got {self.input_shape}.",
            )
            size = self.input_shape[0]
        self.output_schema = schema.Scalar(
            (np.float32, self.input_shape), self.get_next_blob_reference("output")
        )
        self.momentum = momentum
        self.order = order

        def filled(name: str, value: float, optimizer: Any) -> Any:
            fill = ("ConstantFill", {"value": value})
            return self.create_param(param_name=name, shape=[size], initializer=fill, optimizer=optimizer)

        self.scale = filled("scale", scale_init_value, scale_optim)
        self.bias = filled("bias", 0.0, bias_optim)
        self.rm = filled("running_mean", 0.0, model.NoOptim)
        self.riv = filled("running_inv_var", 1.0, model.NoOptim)

    def _add_ops(self, net: Any, is_test: bool, out_blob: Any = None) -> None:
        given = self.input_record.field_blobs()
        blob = net.NextScopedBlob("expand_input")
        flat = len(self.input_shape) == 1
        blob = net.ExpandDims(given, dims=[2, 3]) if flat else given[0]
        output = out_blob if out_blob is not None else self.output_schema.field_blobs()
        outputs = output
        if not is_test:
            saved = [net.NextScopedBlob("bn_saved_mean"), net.NextScopedBlob("bn_saved_iv")]
            outputs = [*output, self.rm, self.riv, *saved]
        net.SpatialBN(
            [blob, self.scale, self.bias, self.rm, self.riv],
            outputs,
            momentum=self.momentum,
            is_test=is_test,
            order=self.order,
        )
        if flat:
            net.Squeeze(output, output, dims=[2, 3])

    def add_train_ops(self, net: Any) -> None:
        """With the batch's mean and variance."""
        self._add_ops(net, is_test=False)

    def add_eval_ops(self, net: Any) -> None:
        """With the running mean and variance."""
        self._add_ops(net, is_test=True)

    def add_ops(self, net: Any) -> None:
        """As in evaluation."""
        self.add_eval_ops(net)
