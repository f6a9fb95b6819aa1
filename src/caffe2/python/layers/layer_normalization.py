"""Layer normalization. Source: caffe2/python/layers/layer_normalization.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers._parts import inner_shape
from caffe2.python.layers.layers import ModelLayer


class LayerNormalization(ModelLayer):
    """Each row normalized, times a scale, plus a bias.

    ``use_layer_norm_op=False`` (rows of one axis only) does it with simple operators.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        name: str = "layer_normalization",
        scale_optim: Any = None,
        bias_optim: Any = None,
        epsilon: float = 1e-4,
        axis: int = 1,
        use_layer_norm_op: bool = True,
        scale_init_value: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        self.input_shape = inner_shape(input_record, "LayerNormalization")
        self.axis = axis
        size = self.input_shape[0]
        self.output_schema = schema.Scalar(
            (np.float32, self.input_shape), self.get_next_blob_reference("output")
        )

        def filled(name: str, value: float, optimizer: Any) -> Any:
            fill = ("ConstantFill", {"value": value})
            return self.create_param(param_name=name, shape=[size], initializer=fill, optimizer=optimizer)

        self.scale = filled("scale", scale_init_value, scale_optim)
        self.bias = filled("bias", 0.0, bias_optim)
        self.use_layer_norm_op = use_layer_norm_op
        self.epsilon: Any = epsilon
        if not use_layer_norm_op:
            require(
                len(self.input_shape) == 1,
                f"without LayerNorm's operator rows have one axis; got {self.input_shape}.",
            )
            self.epsilon = model.maybe_add_global_constant(f"{self.name}_epsilon", float(epsilon))

    def _with_operator(self, net: Any) -> None:
        outputs = [net.NextScopedBlob(name) for name in ("ln_output", "ln_mean", "ln_stdev")]
        normalized, _, _ = net.LayerNorm(
            self.input_record.field_blobs(), outputs, axis=self.axis, epsilon=self.epsilon
        )
        along = {"broadcast": 1, "axis": self.axis}
        scaled = net.Mul([normalized, self.scale], [net.NextScopedBlob("ln_scaled")], **along)
        net.Add([scaled, self.bias], self.output_schema.field_blobs(), **along)

    def _with_simple_operators(self, net: Any) -> None:
        blob = net.NextScopedBlob
        data = self.input_record.field_blobs()
        output, mean_column, deviation_column = blob("ln_output"), blob("ln_mean"), blob("ln_stdev")
        mean = net.ReduceBackMean(data, [blob("ln_mean_arr")])
        net.ExpandDims([mean], [mean_column], dims=[1])
        centered = net.Sub([*data, mean_column], [blob("ln_centered")])
        squares = net.Sqr([centered], [blob("ln_sqr")])
        variance = net.ReduceBackMean([squares], [blob("ln_sqr_mean")])
        variance = net.Add([variance, self.epsilon], blob("ln_var"))
        deviation = net.Pow([variance], [blob("ln_std_arr")], exponent=0.5)
        net.ExpandDims([deviation], [deviation_column], dims=[1])
        net.Div([centered, deviation_column], [output])
        scaled = net.Mul([output, self.scale], [blob("ln_scaled")])
        net.Add([scaled, self.bias], self.output_schema.field_blobs())

    def add_ops(self, net: Any) -> None:
        """Normalize."""
        (self._with_operator if self.use_layer_norm_op else self._with_simple_operators)(net)
