"""A layer trained on some of its outputs. Source: caffe2/python/layers/sampling_train.py."""

from __future__ import annotations

from typing import Any

from caffe2.python import schema
from caffe2.python._errors import require
from caffe2.python.layers.layers import ModelLayer, get_layer_class
from caffe2.python.layers.sampling_trainable_mixin import SamplingTrainableMixin


class SamplingTrain(ModelLayer):
    """The layer named ``prediction_layer`` on ``input``; in training only the rows ``indices`` of its parameters.

    With ``subtract_log_odd`` the logarithm of ``sampling_prob`` is taken off in training.
    """

    def __init__(
        self,
        model: Any,
        input_record: Any,
        prediction_layer: str,
        output_dims: int,
        subtract_log_odd: bool = True,
        name: str = "sampling_train",
        **kwargs: Any,
    ) -> None:
        super().__init__(model, name, input_record, **kwargs)
        layer_class = get_layer_class(prediction_layer)
        require(
            issubclass(layer_class, SamplingTrainableMixin), f"layer {prediction_layer} cannot be sampled."
        )
        wanted = ["indices", "input"] + ["sampling_prob"] * bool(subtract_log_odd)
        missing = [column for column in wanted if column not in input_record]
        require(not missing, f"SamplingTrain takes columns {wanted}; {missing} are missing.")
        require(isinstance(input_record.indices, schema.Scalar), "SamplingTrain's indices must be a Scalar.")
        self.subtract_log_odd = subtract_log_odd
        layer = layer_class(model, input_record.input, output_dims=output_dims, **kwargs)
        layer.train_param_blobs = [model.net.NextBlob(f"{blob}_sampled") for blob in layer.param_blobs]
        self._prediction_layer = layer
        self.params = layer.params
        self.output_schema = layer.output_schema

    def add_ops(self, net: Any) -> None:
        """The whole layer."""
        self._prediction_layer.add_ops(net)

    def add_train_ops(self, net: Any) -> None:
        """The sampled part."""
        layer = self._prediction_layer
        for whole, sampled in zip(layer.param_blobs, layer.train_param_blobs, strict=True):
            net.Gather([whole, self.input_record.indices()], sampled)
        layer.add_train_ops(net)
        if self.subtract_log_odd:
            log_q = net.Log(self.input_record.sampling_prob(), net.NextScopedBlob("log_q"))
            output = self.output_schema()
            net.Sub([output, log_q], output, broadcast=1, use_grad_hack=1)
