"""Convolution. Source: caffe2/python/layers/conv.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import require_scalar
from caffe2.python.layers.layers import ModelLayer


class Conv(ModelLayer):
    """Convolution of images (H, W, C), with order NCHW (C, H, W), with ``output_dim`` filters.

    A padding that is not given is (kernel - 1) // 2 along an axis of stride 1, else 0. The output's record knows the
    number of channels alone.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        output_dim: int,
        kernel_h: int,
        kernel_w: int,
        stride_h: int,
        stride_w: int,
        pad_b: int | None = None,
        pad_l: int | None = None,
        pad_r: int | None = None,
        pad_t: int | None = None,
        order: str = "NHWC",
        kernel_init: Any = None,
        bias_init: Any = None,
        kernel_optim: Any = None,
        bias_optim: Any = None,
        name: str = "conv",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        require_scalar(input_record, "Conv")
        window = {"kernel_h": kernel_h, "kernel_w": kernel_w, "stride_h": stride_h, "stride_w": stride_w}
        for what, size in window.items():
            require(isinstance(size, int) and size > 0, f"{what} must be a positive int; got {size!r}.")
        high = (kernel_h - 1) // 2 if stride_h == 1 else 0
        wide = (kernel_w - 1) // 2 if stride_w == 1 else 0
        pads = {
            what: usual if pad is None else pad
            for what, pad, usual in (
                ("pad_t", pad_t, high),
                ("pad_l", pad_l, wide),
                ("pad_b", pad_b, high),
                ("pad_r", pad_r, wide),
            )
        }
        for what, pad in pads.items():
            require(isinstance(pad, int) and pad >= 0, f"{what} must be an int from 0 on; got {pad!r}.")
        require(order in ("NHWC", "NCHW"), f"order must be NHWC or NCHW; got {order}.")
        self.arguments = {**window, **pads, "order": order}
        shape = input_record.field_type().shape
        channels = shape[-1] if order == "NHWC" else shape[0]
        require(channels > 0, f"Conv must know the number of channels; it is {channels}.")
        places = [kernel_h, kernel_w]
        self.kernel = self.create_param(
            param_name="conv_kernel",
            shape=[output_dim, *places, channels] if order == "NHWC" else [output_dim, channels, *places],
            initializer=kernel_init or ("XavierFill", {}),
            optimizer=kernel_optim,
        )
        self.bias = self.create_param(
            param_name="conv_bias",
            shape=[output_dim],
            initializer=bias_init or ("ConstantFill", {"value": 0.0}),
            optimizer=bias_optim,
        )
        self.output_schema = schema.Scalar(
            (np.float32, (output_dim,)), self.get_next_blob_reference("output")
        )

    def add_ops(self, net: Any) -> None:
        """Convolve."""
        inputs = [*self.input_record.field_blobs(), self.kernel, self.bias]
        net.Conv(inputs, self.output_schema.field_blobs(), **self.arguments)
